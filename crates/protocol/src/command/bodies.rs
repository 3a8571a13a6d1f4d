//! The bodies of commands, read field by field. Keys that nobody here knows are ignored, those we know come once.

use std::borrow::Cow;

use serde::Deserializer;
use serde::de::{Error, MapAccess};

use super::{
    ClientSoftware, Connect, History, HistoryOrder, Publish, Resume, Send, StartFrom, Subscribe, Target,
};
use crate::channel::Channel;
use crate::fields::{Body, Bounded, Entries, Field, FromJson, List, next_key, read_body, skip};
use crate::id::{ResumeSecret, SessionId};
use crate::json::RawJson;
use crate::limits::{
    CLIENT_BYTES_MAX, CONFLATE_BYTES_MAX, CONNECT_CHANNELS_MAX, HISTORY_LIMIT_DEFAULT, INFO_BYTES_MAX,
    KEY_BYTES_MAX, TOKEN_BYTES_MAX, USER_BYTES_MAX,
};
use crate::position::Position;

type Token<'a> = Bounded<'a, 1, TOKEN_BYTES_MAX>;
type Key<'a> = Bounded<'a, 1, KEY_BYTES_MAX>;
type Conflate<'a> = Bounded<'a, 1, CONFLATE_BYTES_MAX>;

/// A body that only names a channel.
pub(super) struct ChannelOnly<'a>(pub(super) Channel<'a>);

/// The body of `refresh`.
pub(super) struct Refresh<'a>(pub(super) Cow<'a, str>);

impl<'de> Body<'de> for Connect<'de> {
    const EXPECTED: &'static str = "the body of connect: an object, which may be empty";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut token = Field::<Option<Token<'de>>>::new("token");
        let mut session = Field::<Option<SessionId>>::new("session");
        let mut secret = Field::<Option<ResumeSecret>>::new("resume");
        let mut positions = Field::<Option<Positions<'de>>>::new("positions");
        let mut subscribe = Field::<Option<Channels<'de>>>::new("subscribe");
        let mut client = Field::<Option<ClientSoftware<'de>>>::new("client");
        let mut info = Field::<Option<RawJson<'de>>>::new("info");
        while let Some(name) = next_key(map)? {
            match &*name {
                "token" => token.read(map)?,
                "session" => session.read(map)?,
                "resume" => secret.read(map)?,
                "positions" => positions.read(map)?,
                "subscribe" => subscribe.read(map)?,
                "client" => client.read(map)?,
                "info" => info.read(map)?,
                _ => skip(map)?,
            }
        }

        let resume = match (session.optional(), secret.optional()) {
            (Some(session), Some(secret)) => Some(Resume { session, secret }),
            (None, None) => None,
            (Some(_), None) => return Err(A::Error::custom("`session` needs its `resume` beside it")),
            (None, Some(_)) => return Err(A::Error::custom("`resume` needs its `session` beside it")),
        };
        let info = info.optional();
        if info.is_some_and(|info| info.as_str().len() > INFO_BYTES_MAX) {
            return Err(A::Error::custom(format_args!("`info` has more than {INFO_BYTES_MAX} bytes")));
        }
        Ok(Self {
            token: token.optional().map(|token| token.0),
            resume,
            positions: positions.optional().map(|list| list.0).unwrap_or_default(),
            subscribe: subscribe.optional().map(|list| list.0).unwrap_or_default(),
            client: client.optional(),
            info,
        })
    }
}

/// A position for each channel.
struct Positions<'a>(Vec<(Channel<'a>, Position)>);

impl<'de> FromJson<'de> for Positions<'de> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Entries(mut list) =
            Entries::<Channel<'de>, Position, CONNECT_CHANNELS_MAX>::from_json(deserializer)?;
        list.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        match list.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(D::Error::custom(format_args!("`{}` appears twice", pair[0].0))),
            None => Ok(Self(list)),
        }
    }
}

/// Channels in the order they were named.
struct Channels<'a>(Vec<Channel<'a>>);

impl<'de> FromJson<'de> for Channels<'de> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let List(list) = List::<Channel<'de>, CONNECT_CHANNELS_MAX>::from_json(deserializer)?;
        let mut sorted: Vec<_> = list.iter().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(D::Error::custom(format_args!("`{}` appears twice", pair[0]))),
            None => Ok(Self(list)),
        }
    }
}

impl<'de> FromJson<'de> for ClientSoftware<'de> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_body(deserializer)
    }
}

impl<'de> Body<'de> for ClientSoftware<'de> {
    const EXPECTED: &'static str = "an object with `name` and `version`";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut name = Field::<Bounded<'de, 0, CLIENT_BYTES_MAX>>::new("name");
        let mut version = Field::<Bounded<'de, 0, CLIENT_BYTES_MAX>>::new("version");
        while let Some(key) = next_key(map)? {
            match &*key {
                "name" => name.read(map)?,
                "version" => version.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { name: name.required()?.0, version: version.required()?.0 })
    }
}

impl<'de> Body<'de> for Subscribe<'de> {
    const EXPECTED: &'static str = "the body of subscribe: an object with `channel`";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut channel = Field::<Channel<'de>>::new("channel");
        let mut position = Field::<Option<Position>>::new("position");
        let mut last = Field::<Option<u32>>::new("last");
        while let Some(name) = next_key(map)? {
            match &*name {
                "channel" => channel.read(map)?,
                "position" => position.read(map)?,
                "last" => last.read(map)?,
                _ => skip(map)?,
            }
        }

        let from = match (position.optional(), last.optional()) {
            (None, None) => StartFrom::Live,
            (Some(position), None) => StartFrom::Position(position),
            (None, Some(count)) => StartFrom::Newest(count),
            (Some(_), Some(_)) => {
                return Err(A::Error::custom("`position` and `last` exclude each other: send one of them"));
            }
        };
        Ok(Self { channel: channel.required()?, from })
    }
}

impl<'de> Body<'de> for ChannelOnly<'de> {
    const EXPECTED: &'static str = "an object with `channel`";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut channel = Field::<Channel<'de>>::new("channel");
        while let Some(name) = next_key(map)? {
            match &*name {
                "channel" => channel.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self(channel.required()?))
    }
}

impl<'de> Body<'de> for Publish<'de> {
    const EXPECTED: &'static str = "the body of publish: an object with `channel` and `data`";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut channel = Field::<Channel<'de>>::new("channel");
        let mut data = Field::<RawJson<'de>>::new("data");
        let mut key = Field::<Option<Key<'de>>>::new("key");
        let mut conflate = Field::<Option<Conflate<'de>>>::new("conflate");
        let mut trace = Field::<Option<Cow<'de, str>>>::new("trace");
        while let Some(name) = next_key(map)? {
            match &*name {
                "channel" => channel.read(map)?,
                "data" => data.read(map)?,
                "key" => key.read(map)?,
                "conflate" => conflate.read(map)?,
                "trace" => trace.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            channel: channel.required()?,
            data: data.required()?,
            key: key.optional().map(|key| key.0),
            conflate: conflate.optional().map(|value| value.0),
            trace: trace.optional().filter(|trace| is_traceparent(trace)),
        })
    }
}

impl<'de> Body<'de> for Send<'de> {
    const EXPECTED: &'static str = "the body of send: an object with `user` or `session`, and `data`";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut user = Field::<Option<Bounded<'de, 1, USER_BYTES_MAX>>>::new("user");
        let mut session = Field::<Option<SessionId>>::new("session");
        let mut data = Field::<RawJson<'de>>::new("data");
        let mut key = Field::<Option<Key<'de>>>::new("key");
        while let Some(name) = next_key(map)? {
            match &*name {
                "user" => user.read(map)?,
                "session" => session.read(map)?,
                "data" => data.read(map)?,
                "key" => key.read(map)?,
                _ => skip(map)?,
            }
        }

        let target = match (user.optional(), session.optional()) {
            (Some(user), None) => Target::User(user.0),
            (None, Some(session)) => Target::Session(session),
            (None, None) => {
                return Err(A::Error::custom("`user` or `session` is missing: name whom it is for"));
            }
            (Some(_), Some(_)) => {
                return Err(A::Error::custom("`user` and `session` exclude each other: send one of them"));
            }
        };
        Ok(Self { target, data: data.required()?, key: key.optional().map(|key| key.0) })
    }
}

impl<'de> Body<'de> for History<'de> {
    const EXPECTED: &'static str = "the body of history: an object with `channel` and `limit`";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut channel = Field::<Channel<'de>>::new("channel");
        let mut after = Field::<Option<Position>>::new("after");
        let mut limit = Field::<Option<u32>>::new("limit");
        let mut newest_first = Field::<Option<bool>>::new("newest_first");
        while let Some(name) = next_key(map)? {
            match &*name {
                "channel" => channel.read(map)?,
                "after" => after.read(map)?,
                "limit" => limit.read(map)?,
                "newest_first" => newest_first.read(map)?,
                _ => skip(map)?,
            }
        }
        let order = match newest_first.optional() {
            Some(true) => HistoryOrder::NewestFirst,
            Some(false) | None => HistoryOrder::OldestFirst,
        };
        Ok(Self {
            channel: channel.required()?,
            after: after.optional(),
            limit: limit.optional().unwrap_or(HISTORY_LIMIT_DEFAULT),
            order,
        })
    }
}

impl<'de> Body<'de> for Refresh<'de> {
    const EXPECTED: &'static str = "the body of refresh: an object with `token`";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut token = Field::<Token<'de>>::new("token");
        while let Some(name) = next_key(map)? {
            match &*name {
                "token" => token.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self(token.required()?.0))
    }
}

/// Whether text keeps to the form of `traceparent` (W3C Trace Context, section 3.2).
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let bytes = text.as_bytes();
    // Later versions may be longer; what they add is not for us.
    if bytes.len() != 55 || [2, 35, 52].iter().any(|at| bytes[*at] != b'-') {
        return false;
    }
    let (version, trace, parent, flags) = (&bytes[..2], &bytes[3..35], &bytes[36..52], &bytes[53..]);
    [version, trace, parent, flags].into_iter().all(is_hex)
        && version != b"ff"
        && !is_zero(trace)
        && !is_zero(parent)
}
