use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[test]
fn names_have_1_to_255_bytes() {
    let longest = "c".repeat(255);

    assert_eq!(Channel::parse("c").unwrap().as_str(), "c");
    assert_eq!(Channel::parse(&longest).unwrap().as_str(), longest);
    assert_eq!(Channel::parse(""), Err(ChannelError::Empty));
    assert_eq!(Channel::parse(&"c".repeat(256)), Err(ChannelError::TooLong { bytes: 256 }));
    // 85 characters of three bytes fit, 86 do not.
    assert!(Channel::parse(&"€".repeat(85)).is_ok());
    assert_eq!(Channel::parse(&"€".repeat(86)), Err(ChannelError::TooLong { bytes: 258 }));
}

#[test]
fn white_space_and_control_characters_are_refused_with_their_place() {
    for found in [' ', '\t', '\n', '\0', '\x7f', '\u{85}', '\u{a0}', '\u{2028}', '\u{3000}'] {
        let name = format!("größe{found}x");
        assert_eq!(Channel::parse(&name), Err(ChannelError::BadCharacter { found, at: 7 }), "{name:?}");
    }
    let error = Channel::parse("a b").unwrap_err().to_string();
    assert_eq!(error, "a channel name holds no white space and no control characters; U+0020 is at byte 1");
}

#[test]
fn the_namespace_is_what_stands_before_the_first_colon() {
    let namespace = |name| Channel::parse(name).unwrap().namespace().to_owned();

    assert_eq!(namespace("chat:room:1"), "chat");
    assert_eq!(namespace("lobby"), "default");
    assert_eq!(namespace("chat:"), "chat");
    assert_eq!(namespace(":x"), "");
}

#[test]
fn a_map_of_names_is_asked_with_text() {
    let name = ChannelName::from(&Channel::parse("chat:1").unwrap());
    let map = HashMap::from([(name.clone(), 1)]);

    assert_eq!(map.get("chat:1"), Some(&1));
    assert_eq!(name.namespace(), "chat");
    assert_eq!(name.borrowed(), Channel::parse("chat:1").unwrap());
}

#[test]
fn a_pattern_is_one_name_or_a_prefix() {
    let matches = |pattern: &str, name| ChannelPattern::parse(pattern).unwrap().matches(name);

    assert!(matches("chat:*", "chat:1") && matches("chat:*", "chat:"));
    assert!(!matches("chat:*", "chat") && !matches("chat:*", "other:1"));
    assert!(matches("*", "anything"));
    assert!(matches("chat:1", "chat:1") && !matches("chat:1", "chat:12"));
    assert!(matches("a*b", "a*b") && !matches("a*b", "axb"));
    assert_eq!(ChannelPattern::parse("chat *"), Err(ChannelError::BadCharacter { found: ' ', at: 4 }));
    assert_eq!(ChannelPattern::parse(""), Err(ChannelError::Empty));
    assert_eq!(ChannelPattern::parse("chat:*").unwrap().to_string(), "chat:*");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_rules_hold_for_any_text(name in "\\PC{0,200}|[ -~]{0,300}|.{0,40}") {
        let allowed = (1..=255).contains(&name.len())
            && !name.chars().any(|c| c.is_control() || c.is_whitespace());
        prop_assert_eq!(Channel::parse(&name).is_ok(), allowed);
        prop_assert_eq!(ChannelName::parse(&name).is_ok(), allowed);
    }
}
