use proptest::prelude::*;
use tidegate_protocol::id::NodeName;

use super::*;

#[test]
fn ordinary_names_stand_for_themselves() {
    let prefix = Prefix::default();
    for name in ["chat:room-1", "a", "user@example", "a/b?c=d&e", "größe", "$SYS", "_INBOX"] {
        assert_eq!(&*prefix.channel(name), format!("tidegate.c.{name}"));
    }
}

#[test]
fn what_nats_gives_a_meaning_to_is_escaped() {
    let prefix = Prefix::parse("eu.tidegate").unwrap();
    assert_eq!(&*prefix.channel("a.b"), "eu.tidegate.c.a%2Eb");
    assert_eq!(&*prefix.channel("*"), "eu.tidegate.c.%2A");
    assert_eq!(&*prefix.channel(">"), "eu.tidegate.c.%3E");
    assert_eq!(&*prefix.channel("a%2Eb"), "eu.tidegate.c.a%252Eb");
    assert_eq!(&*prefix.node(&NodeName::parse("gw-0.eu").unwrap()), "eu.tidegate.n.gw-0%2Eeu");
    assert_eq!(&*prefix.all(), "eu.tidegate.all");
}

#[test]
fn a_prefix_is_tokens_that_mean_nothing_to_nats() {
    for good in ["tidegate", "a.b", "A-1_", &"x".repeat(PREFIX_BYTES_MAX)] {
        assert_eq!(Prefix::parse(good).unwrap().to_string(), good);
    }
    for bad in
        ["", ".", "a.", ".a", "a..b", "a b", "a.*", ">", "$SYS", "ü", &"x".repeat(PREFIX_BYTES_MAX + 1)]
    {
        assert_eq!(Prefix::parse(bad), Err(PrefixError), "{bad}");
    }
}

#[test]
fn subjects_that_this_crate_does_not_write_are_of_no_channel() {
    let prefix = Prefix::default();
    for subject in
        ["tidegate.c.", "tidegate.c.a.b", "tidegate.c.*", "tidegate.c.>", "tidegate.c.a%", "tidegate.c.a%2e"]
    {
        assert_eq!(prefix.channel_of(subject), None, "{subject}");
    }
    for subject in ["tidegate.n.a", "tidegate.all", "other.c.a", "tidegatex.c.a", "c.a", "tidegate.c.%20"] {
        assert_eq!(prefix.channel_of(subject), None, "{subject}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_subject_leads_back_to_the_one_channel_it_was_made_of(name in "[^\\s\\p{Cc}]{1,40}|[a.*>%2E]{1,9}") {
        let prefix = Prefix::default();
        let subject = prefix.channel(&name);

        let token = subject.strip_prefix("tidegate.c.").unwrap();
        prop_assert!(!token.contains(['.', '*', '>']) && !token.contains(char::is_whitespace), "{subject}");
        prop_assert_eq!(prefix.channel_of(&subject), Some(ChannelName::parse(&name).unwrap()));
    }
}
