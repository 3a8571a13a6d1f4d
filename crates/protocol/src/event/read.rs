//! The bodies of the server's objects, read field by field: what a newer server adds is ignored.

use std::borrow::Cow;

use serde::Deserializer;
use serde::de::MapAccess;

use super::{
    Attendance, ChannelState, ClientLimits, Closing, Connected, Direct, Gap, HistoryMessage, HistoryPage,
    Member, Message, Published, Reconnect, Unsubscribed,
};
use crate::error::{ErrorBody, ErrorCode};
use crate::fields::{Body, Entries, Field, FromJson, List, next_key, read_body, skip};
use crate::id::{ResumeSecret, SessionId};
use crate::json::RawJson;
use crate::position::{Epoch, Position};

/// The body of `expiring`.
pub(super) struct Expiring {
    pub(super) in_ms: u64,
}

/// The body of `error`.
pub(super) struct ErrorObject(pub(super) ErrorBody);

/// The body of the reply to `unsubscribe`.
pub(super) struct Unsubscribe;

/// The body of the reply to `send`.
pub(super) struct Send {
    pub(super) sessions: u32,
}

/// The body of the reply to `presence`.
pub(super) struct Presence<'a> {
    pub(super) members: Vec<Member<'a>>,
}

/// The body of the reply to `refresh`.
pub(super) struct Refresh {
    pub(super) token_expires_in_ms: Option<u64>,
}

impl<'de> Body<'de> for Message<'de> {
    const EXPECTED: &'static str = "the body of message";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut channel = Field::<Cow<'de, str>>::new("channel");
        let mut data = Field::<RawJson<'de>>::new("data");
        let mut offset = Field::<Option<u64>>::new("offset");
        let mut from = Field::<Option<Cow<'de, str>>>::new("from");
        let mut trace = Field::<Option<Cow<'de, str>>>::new("trace");
        while let Some(name) = next_key(map)? {
            match &*name {
                "channel" => channel.read(map)?,
                "data" => data.read(map)?,
                "offset" => offset.read(map)?,
                "from" => from.read(map)?,
                "trace" => trace.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            channel: channel.required()?,
            data: data.required()?,
            offset: offset.optional(),
            from: from.optional(),
            trace: trace.optional(),
        })
    }
}

impl<'de> Body<'de> for Direct<'de> {
    const EXPECTED: &'static str = "the body of direct";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut data = Field::<RawJson<'de>>::new("data");
        let mut from = Field::<Option<Cow<'de, str>>>::new("from");
        while let Some(name) = next_key(map)? {
            match &*name {
                "data" => data.read(map)?,
                "from" => from.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { data: data.required()?, from: from.optional() })
    }
}

impl<'de> Body<'de> for Attendance<'de> {
    const EXPECTED: &'static str = "the body of join or leave";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut channel = Field::<Cow<'de, str>>::new("channel");
        let mut user = Field::<Cow<'de, str>>::new("user");
        let mut session = Field::<SessionId>::new("session");
        let mut info = Field::<Option<RawJson<'de>>>::new("info");
        while let Some(name) = next_key(map)? {
            match &*name {
                "channel" => channel.read(map)?,
                "user" => user.read(map)?,
                "session" => session.read(map)?,
                "info" => info.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            channel: channel.required()?,
            user: user.required()?,
            session: session.required()?,
            info: info.optional(),
        })
    }
}

impl<'de> Body<'de> for Gap<'de> {
    const EXPECTED: &'static str = "the body of gap";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut channel = Field::<Cow<'de, str>>::new("channel");
        let mut epoch = Field::<Option<Epoch>>::new("epoch");
        let mut offset = Field::<Option<u64>>::new("offset");
        while let Some(name) = next_key(map)? {
            match &*name {
                "channel" => channel.read(map)?,
                "epoch" => epoch.read(map)?,
                "offset" => offset.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { channel: channel.required()?, position: position_of(epoch, offset) })
    }
}

impl<'de> Body<'de> for Unsubscribed<'de> {
    const EXPECTED: &'static str = "the body of unsubscribed";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut channel = Field::<Cow<'de, str>>::new("channel");
        let mut code = Field::<Cow<'de, str>>::new("code");
        let mut message = Field::<Cow<'de, str>>::new("message");
        while let Some(name) = next_key(map)? {
            match &*name {
                "channel" => channel.read(map)?,
                "code" => code.read(map)?,
                "message" => message.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { channel: channel.required()?, code: code.required()?, message: message.required()? })
    }
}

impl<'de> Body<'de> for Expiring {
    const EXPECTED: &'static str = "the body of expiring";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut in_ms = Field::<u64>::new("in_ms");
        while let Some(name) = next_key(map)? {
            match &*name {
                "in_ms" => in_ms.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { in_ms: in_ms.required()? })
    }
}

impl<'de> Body<'de> for Reconnect<'de> {
    const EXPECTED: &'static str = "the body of reconnect";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut after_ms = Field::<u64>::new("after_ms");
        let mut within_ms = Field::<u64>::new("within_ms");
        let mut reason = Field::<Cow<'de, str>>::new("reason");
        while let Some(name) = next_key(map)? {
            match &*name {
                "after_ms" => after_ms.read(map)?,
                "within_ms" => within_ms.read(map)?,
                "reason" => reason.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            after_ms: after_ms.required()?,
            within_ms: within_ms.required()?,
            reason: reason.required()?,
        })
    }
}

impl<'de> Body<'de> for Closing<'de> {
    const EXPECTED: &'static str = "the body of closing";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut code = Field::<u16>::new("code");
        let mut name = Field::<Cow<'de, str>>::new("name");
        let mut reconnect = Field::<bool>::new("reconnect");
        let mut after_ms = Field::<Option<u64>>::new("after_ms");
        while let Some(key) = next_key(map)? {
            match &*key {
                "code" => code.read(map)?,
                "name" => name.read(map)?,
                "reconnect" => reconnect.read(map)?,
                "after_ms" => after_ms.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            code: code.required()?,
            name: name.required()?,
            reconnect: reconnect.required()?,
            after_ms: after_ms.optional(),
        })
    }
}

impl<'de> Body<'de> for ErrorObject {
    const EXPECTED: &'static str = "the body of error";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut code = Field::<Cow<'de, str>>::new("code");
        let mut message = Field::<Cow<'de, str>>::new("message");
        let mut retry_after_ms = Field::<Option<u64>>::new("retry_after_ms");
        while let Some(name) = next_key(map)? {
            match &*name {
                "code" => code.read(map)?,
                "message" => message.read(map)?,
                "retry_after_ms" => retry_after_ms.read(map)?,
                _ => skip(map)?,
            }
        }
        // A word of a newer server: nothing is known of it but that this is an error.
        let code = ErrorCode::parse(&code.required()?).unwrap_or(ErrorCode::Internal);
        Ok(Self(ErrorBody {
            code,
            message: Cow::Owned(message.required()?.into_owned()),
            retry_after_ms: retry_after_ms.optional(),
        }))
    }
}

impl<'de> Body<'de> for Unsubscribe {
    const EXPECTED: &'static str = "the reply to unsubscribe";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        while next_key(map)?.is_some() {
            skip(map)?;
        }
        Ok(Self)
    }
}

impl<'de> Body<'de> for Send {
    const EXPECTED: &'static str = "the reply to send";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut sessions = Field::<u32>::new("sessions");
        while let Some(name) = next_key(map)? {
            match &*name {
                "sessions" => sessions.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { sessions: sessions.required()? })
    }
}

impl<'de> Body<'de> for Presence<'de> {
    const EXPECTED: &'static str = "the reply to presence";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut members = Field::<List<Member<'de>, { usize::MAX }>>::new("members");
        while let Some(name) = next_key(map)? {
            match &*name {
                "members" => members.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { members: members.required()?.0 })
    }
}

impl<'de> Body<'de> for Refresh {
    const EXPECTED: &'static str = "the reply to refresh";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut token_expires_in_ms = Field::<Option<u64>>::new("token_expires_in_ms");
        while let Some(name) = next_key(map)? {
            match &*name {
                "token_expires_in_ms" => token_expires_in_ms.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { token_expires_in_ms: token_expires_in_ms.optional() })
    }
}

impl<'de> Body<'de> for ChannelState {
    const EXPECTED: &'static str = "the state of a subscription";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut epoch = Field::<Option<Epoch>>::new("epoch");
        let mut offset = Field::<Option<u64>>::new("offset");
        let mut recovered = Field::<Option<bool>>::new("recovered");
        while let Some(name) = next_key(map)? {
            match &*name {
                "epoch" => epoch.read(map)?,
                "offset" => offset.read(map)?,
                "recovered" => recovered.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { position: position_of(epoch, offset), recovered: recovered.optional() })
    }
}

impl<'de> Body<'de> for Published {
    const EXPECTED: &'static str = "the reply to publish";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut epoch = Field::<Option<Epoch>>::new("epoch");
        let mut offset = Field::<Option<u64>>::new("offset");
        let mut duplicate = Field::<Option<bool>>::new("duplicate");
        while let Some(name) = next_key(map)? {
            match &*name {
                "epoch" => epoch.read(map)?,
                "offset" => offset.read(map)?,
                "duplicate" => duplicate.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { position: position_of(epoch, offset), duplicate: duplicate.optional().unwrap_or(false) })
    }
}

impl<'de> Body<'de> for Member<'de> {
    const EXPECTED: &'static str = "a member";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut user = Field::<Cow<'de, str>>::new("user");
        let mut session = Field::<SessionId>::new("session");
        let mut info = Field::<Option<RawJson<'de>>>::new("info");
        let mut since_ms = Field::<u64>::new("since_ms");
        while let Some(name) = next_key(map)? {
            match &*name {
                "user" => user.read(map)?,
                "session" => session.read(map)?,
                "info" => info.read(map)?,
                "since_ms" => since_ms.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            user: user.required()?,
            session: session.required()?,
            info: info.optional(),
            since_ms: since_ms.required()?,
        })
    }
}

impl<'de> Body<'de> for HistoryPage<'de> {
    const EXPECTED: &'static str = "the reply to history";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut epoch = Field::<Epoch>::new("epoch");
        let mut offset = Field::<u64>::new("offset");
        let mut messages = Field::<List<HistoryMessage<'de>, { usize::MAX }>>::new("messages");
        while let Some(name) = next_key(map)? {
            match &*name {
                "epoch" => epoch.read(map)?,
                "offset" => offset.read(map)?,
                "messages" => messages.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            head: Position { epoch: epoch.required()?, offset: offset.required()? },
            messages: messages.required()?.0,
        })
    }
}

impl<'de> Body<'de> for HistoryMessage<'de> {
    const EXPECTED: &'static str = "an earlier message";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut offset = Field::<u64>::new("offset");
        let mut data = Field::<RawJson<'de>>::new("data");
        let mut from = Field::<Option<Cow<'de, str>>>::new("from");
        let mut at_ms = Field::<u64>::new("at_ms");
        while let Some(name) = next_key(map)? {
            match &*name {
                "offset" => offset.read(map)?,
                "data" => data.read(map)?,
                "from" => from.read(map)?,
                "at_ms" => at_ms.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            offset: offset.required()?,
            data: data.required()?,
            from: from.optional(),
            at_ms: at_ms.required()?,
        })
    }
}

impl<'de> Body<'de> for Connected<'de> {
    const EXPECTED: &'static str = "the reply to connect";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut session = Field::<SessionId>::new("session");
        let mut resume = Field::<ResumeSecret>::new("resume");
        let mut resumed = Field::<bool>::new("resumed");
        let mut user = Field::<Cow<'de, str>>::new("user");
        let mut node = Field::<Cow<'de, str>>::new("node");
        let mut ping_ms = Field::<u64>::new("ping_ms");
        let mut session_ttl_ms = Field::<u64>::new("session_ttl_ms");
        let mut token_expires_in_ms = Field::<Option<u64>>::new("token_expires_in_ms");
        let mut channels = Field::<Entries<Cow<'de, str>, ChannelState, { usize::MAX }>>::new("channels");
        let mut limits = Field::<ClientLimits>::new("limits");
        while let Some(name) = next_key(map)? {
            match &*name {
                "session" => session.read(map)?,
                "resume" => resume.read(map)?,
                "resumed" => resumed.read(map)?,
                "user" => user.read(map)?,
                "node" => node.read(map)?,
                "ping_ms" => ping_ms.read(map)?,
                "session_ttl_ms" => session_ttl_ms.read(map)?,
                "token_expires_in_ms" => token_expires_in_ms.read(map)?,
                "channels" => channels.read(map)?,
                "limits" => limits.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            session: session.required()?,
            resume: resume.required()?,
            resumed: resumed.required()?,
            user: user.required()?,
            node: node.required()?,
            ping_ms: ping_ms.required()?,
            session_ttl_ms: session_ttl_ms.required()?,
            token_expires_in_ms: token_expires_in_ms.optional(),
            channels: channels.required()?.0,
            limits: limits.required()?,
        })
    }
}

impl<'de> Body<'de> for ClientLimits {
    const EXPECTED: &'static str = "the limits of a client";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let mut message_bytes = Field::<u64>::new("message_bytes");
        let mut subscriptions = Field::<u32>::new("subscriptions");
        let mut messages_per_second = Field::<Option<u32>>::new("messages_per_second");
        let mut bytes_per_second = Field::<Option<u32>>::new("bytes_per_second");
        while let Some(name) = next_key(map)? {
            match &*name {
                "message_bytes" => message_bytes.read(map)?,
                "subscriptions" => subscriptions.read(map)?,
                "messages_per_second" => messages_per_second.read(map)?,
                "bytes_per_second" => bytes_per_second.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self {
            message_bytes: message_bytes.required()?,
            subscriptions: subscriptions.required()?,
            messages_per_second: messages_per_second.optional(),
            bytes_per_second: bytes_per_second.optional(),
        })
    }
}

impl<'de> FromJson<'de> for ChannelState {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_body(deserializer)
    }
}

impl<'de> FromJson<'de> for ClientLimits {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_body(deserializer)
    }
}

impl<'de> FromJson<'de> for Member<'de> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_body(deserializer)
    }
}

impl<'de> FromJson<'de> for HistoryMessage<'de> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_body(deserializer)
    }
}

fn position_of(epoch: Field<Option<Epoch>>, offset: Field<Option<u64>>) -> Option<Position> {
    Some(Position { epoch: epoch.optional()?, offset: offset.optional()? })
}
