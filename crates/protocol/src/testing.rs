//! Arbitrary words for property tests: what a peer could send if it kept to the rules.

use std::borrow::Cow;
use std::ops::Range;

use proptest::prelude::*;

use crate::channel::Channel;
use crate::id::SessionId;
use crate::json::RawJson;
use crate::position::{Epoch, Position};

/// Text of any characters, of that many; up to four bytes each.
pub(crate) fn any_text(chars: Range<usize>) -> impl Strategy<Value = Cow<'static, str>> {
    prop::collection::vec(any::<char>(), chars).prop_map(|chars| Cow::Owned(chars.into_iter().collect()))
}

pub(crate) fn any_channel() -> impl Strategy<Value = Channel<'static>> {
    "([a-z]{1,5}:)?[!-~äß€😀]{1,12}"
        .prop_map(|name| Channel::try_from(Cow::Owned(name)).expect("by the rules"))
}

pub(crate) fn any_session() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId::from_bytes)
}

pub(crate) fn any_position() -> impl Strategy<Value = Position> {
    any::<(u64, u64)>().prop_map(|(epoch, offset)| Position { epoch: Epoch::new(epoch), offset })
}

/// Values are few and static, so that they can be borrowed; what else `data` may be is tested where it is checked.
pub(crate) fn any_json() -> impl Strategy<Value = RawJson<'static>> {
    prop::sample::select(vec![
        RawJson::trusted("{}"),
        RawJson::trusted(r#"{ "a" : [1, {"b":null}] , "a":2 }"#),
        RawJson::trusted("-1.50e+400"),
        RawJson::trusted(r#""ü\u00e9\"\\ \ud800""#),
        RawJson::trusted("false"),
    ])
}
