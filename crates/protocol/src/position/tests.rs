use proptest::prelude::*;

use super::*;

#[test]
fn an_epoch_is_base_36_in_lower_case() {
    assert_eq!(Epoch::new(0).to_string(), "0");
    assert_eq!(Epoch::new(36 * 36 * 20 + 3 * 36 + 33).to_string(), "k3x");
    assert_eq!(Epoch::new(u64::MAX).to_string(), "3w5e11264sgsf");
}

#[test]
fn only_the_spelling_that_is_given_out_is_taken_back() {
    for text in ["", "00", "0k3x", "K3X", "+1", "k 3", "3w5e11264sgsg", "10000000000000"] {
        assert_eq!(text.parse::<Epoch>(), Err(EpochError), "{text}");
    }
}

#[test]
fn a_position_needs_both_of_its_parts() {
    let position: Position = serde_json::from_str(r#"{"offset":7,"epoch":"k3x","later":[1]}"#).unwrap();
    assert_eq!(position, Position { epoch: "k3x".parse().unwrap(), offset: 7 });

    let error = serde_json::from_str::<Position>(r#"{"epoch":"k3x"}"#).unwrap_err();
    assert!(error.to_string().starts_with("`offset` is missing"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_epoch_is_read_back(number: u64) {
        let epoch = Epoch::new(number);
        prop_assert_eq!(epoch.to_string().parse(), Ok(epoch));
    }
}
