use std::fs;
use std::path::Path;

use super::*;

#[test]
fn the_documented_close_codes_are_those_of_the_table() {
    let page = close_codes_page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/close-codes.md");

    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == page, "docs/close-codes.md is stale; run `make docs`");
}

#[test]
fn causes_are_in_the_order_of_their_discriminants_and_their_names_are_unique() {
    for (index, cause) in CloseCause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, index);
    }
    let mut names: Vec<_> = CloseCause::ALL.iter().map(|cause| cause.row().name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CloseCause::ALL.len());
}

#[test]
fn a_native_code_says_by_its_range_what_its_comeback_says() {
    for cause in CloseCause::ALL {
        let row = cause.row();
        let Some(code) = row.native_code.filter(|code| *code >= 4000) else { continue };
        let comeback = match (code, code % 100) {
            (4000..=4499, 0..=49) => Comeback::Now,
            (4000..=4499, _) => Comeback::BackOff,
            (4500..=4999, _) => Comeback::Never,
            _ => panic!("{code} is no code of ours"),
        };
        assert_eq!(row.comeback, comeback, "{cause}");
    }
}

#[test]
fn codes_of_the_rfc_are_the_same_in_both_dialects_and_ours_are_never_sent_raw() {
    for cause in CloseCause::ALL {
        let row = cause.row();
        assert_eq!(row.native_code.is_some(), row.raw_code.is_some(), "{cause}");
        assert!(row.reason.len() <= 123, "{cause}");
        let (Some(native), Some(raw)) = (row.native_code, row.raw_code) else { continue };
        if native < 4000 {
            assert_eq!(native, raw, "{cause}");
        } else {
            assert!(matches!(raw, 1001 | 1008 | 1012 | 1013), "{cause}");
        }
    }
}

#[test]
fn one_native_code_has_one_name() {
    for one in CloseCause::ALL.map(CloseCause::row) {
        for other in CloseCause::ALL.map(CloseCause::row) {
            let same_code = one.native_code.is_some() && one.native_code == other.native_code;
            assert!(!same_code || one.native_name == other.native_name, "{} {}", one.name, other.name);
        }
    }
}

#[test]
fn a_decode_error_that_exhausted_the_pool_is_our_fault_and_not_the_clients() {
    assert_eq!(CloseCause::of_decode(1013), CloseCause::Overloaded);
    assert_eq!(CloseCause::of_decode(1002), CloseCause::ProtocolError);
}
