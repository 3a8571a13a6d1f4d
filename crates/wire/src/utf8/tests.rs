use super::*;

/// Texts on both sides of every rule: lengths, overlong forms, surrogates, the end of Unicode.
const SAMPLES: &[&[u8]] = &[
    b"",
    b"plain",
    "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".as_bytes(),
    "κόσμε".as_bytes(),
    "\u{d7ff}\u{e000}".as_bytes(),
    b"\x80",
    b"a\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc2",
    b"\xc2\x41",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xe0\xa0",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xef\xbf\xbd",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf0\x90\x80",
    b"\xf4\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xff",
];

#[test]
fn every_cut_of_every_sample_gives_the_verdict_of_the_standard_library() {
    for sample in SAMPLES {
        for first in 0..=sample.len() {
            for second in first..=sample.len() {
                let pieces = [&sample[..first], &sample[first..second], &sample[second..]];
                let expected = std::str::from_utf8(sample).is_ok();
                assert_eq!(verdict(&pieces).is_ok(), expected, "{sample:x?} cut at {first}, {second}");
            }
        }
    }
}

#[test]
fn the_first_byte_that_cannot_fit_is_refused_at_once() {
    for sample in SAMPLES {
        let mut validator = Validator::new();
        for end in 1..=sample.len() {
            let expected = match std::str::from_utf8(&sample[..end]) {
                Ok(_) => true,
                Err(error) => error.error_len().is_none(),
            };
            let accepted = validator.push(&sample[end - 1..end]).is_ok();
            assert_eq!(accepted, expected, "{sample:x?} at byte {end}");
            if !accepted {
                break;
            }
        }
    }
}

#[test]
fn a_wrong_second_byte_at_the_end_of_a_piece_does_not_wait_for_the_third() {
    assert_eq!(Validator::new().push(b"text \xf4\x90"), Err(InvalidUtf8));
    assert_eq!(Validator::new().push(b"text \xed\xa0"), Err(InvalidUtf8));
    assert_eq!(Validator::new().push(b"text \xe0\x80"), Err(InvalidUtf8));
}

#[test]
fn text_may_not_end_inside_a_character() {
    let mut validator = Validator::new();
    assert_eq!(validator.push("é".as_bytes().split_at(1).0), Ok(()));
    assert_eq!(validator.finish(), Err(InvalidUtf8));
}

#[test]
fn a_wrong_byte_is_found_at_any_place_of_a_short_and_a_long_text() {
    for len in [1, SHORT_BYTES_MAX - 1, SHORT_BYTES_MAX, SHORT_BYTES_MAX + 1, 4 * SHORT_BYTES_MAX] {
        let mut text = vec![b'a'; len];
        assert_eq!(check(&text), Ok(()));
        for at in (0..len).step_by(7) {
            text[at] = 0xff;
            assert_eq!(check(&text), Err(InvalidUtf8), "{at} of {len}");
            text[at] = b'a';
        }
    }
}

#[test]
fn the_state_is_four_bytes() {
    assert_eq!(size_of::<Validator>(), 4);
}

fn verdict(pieces: &[&[u8]]) -> Result<(), InvalidUtf8> {
    let mut validator = Validator::new();
    for piece in pieces {
        validator.push(piece)?;
    }
    validator.finish()
}
