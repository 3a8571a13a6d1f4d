//! What calls take: the same types that serde reads and OpenAPI shows.
//!
//! They are strict, unlike the client dialect: a name that is not known is refused, for here it is always a slip of a
//! developer, who wants to be told. `data` is checked and kept as the bytes that came.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::Target;
use tidegate_protocol::id::SessionId;
use tidegate_protocol::json::OwnedJson;
use tidegate_protocol::limits::{KEY_BYTES_MAX, USER_BYTES_MAX};
use utoipa::ToSchema;

use super::fields::{CloseCode, List, Text, read_json};
use super::problem::{Fault, Problem};
use super::services::{Disconnect, Publish, Send, Subject, SubscriptionChange};

/// Channels of one broadcast, and commands of one batch.
pub(crate) const PARTS_MAX: usize = 1000;

/// Bytes of a close frame's reason (RFC 6455, section 5.5: 125 with the code).
const REASON_BYTES_MAX: usize = 123;

/// Bytes of a token's `jti`.
const TOKEN_ID_BYTES_MAX: usize = 255;

/// A message to all subscribers of a channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "channel": "chat:room1", "data": { "text": "hello" }, "key": "order-4711-shipped" }))]
pub(super) struct PublishBody {
    /// Where to.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    channel: ChannelName,
    /// The message: any JSON, at most `limits.message_bytes` long and 32 levels deep. Delivered as the bytes that came,
    /// but for line feeds between tokens, which become spaces.
    #[schema(value_type = serde_json::Value)]
    #[serde(deserialize_with = "read_json")]
    data: OwnedJson,
    /// Makes the same publish idempotent: sent again, it is answered with the first one's position and not delivered.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    key: Option<Text<1, KEY_BYTES_MAX>>,
    /// A later message with the same value replaces this one for a slow reader.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    conflate: Option<Text<1, KEY_BYTES_MAX>>,
}

/// The same message to several channels.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "channels": ["chat:room1", "chat:room2"], "data": { "text": "back in five minutes" } }))]
pub(super) struct BroadcastBody {
    /// Where to. One that is no channel name is told in its result; the others get the message.
    #[schema(value_type = Vec<String>, max_items = 1000)]
    channels: List<String, PARTS_MAX>,
    /// The message: any JSON, as in `publish`.
    #[schema(value_type = serde_json::Value)]
    #[serde(deserialize_with = "read_json")]
    data: OwnedJson,
    /// Makes the same publish idempotent, on each channel by itself.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    key: Option<Text<1, KEY_BYTES_MAX>>,
}

/// A message to one user or session. Names exactly one of `user` and `session`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "user": "ann", "data": { "text": "your order has shipped" } }))]
pub(super) struct SendBody {
    /// All sessions of this user.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    user: Option<Text<1, USER_BYTES_MAX>>,
    /// This session.
    #[schema(value_type = Option<String>, min_length = 22, max_length = 22)]
    session: Option<SessionId>,
    /// The message: any JSON, as in `publish`.
    #[schema(value_type = serde_json::Value)]
    #[serde(deserialize_with = "read_json")]
    data: OwnedJson,
    /// Makes the same send idempotent.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    key: Option<Text<1, KEY_BYTES_MAX>>,
}

/// A subscription of one user or session. Names exactly one of `user` and `session`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "user": "ann", "channel": "chat:room1" }))]
pub(super) struct SubscriptionBody {
    /// All sessions of this user.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    user: Option<Text<1, USER_BYTES_MAX>>,
    /// This session.
    #[schema(value_type = Option<String>, min_length = 22, max_length = 22)]
    session: Option<SessionId>,
    /// Of what.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    channel: ChannelName,
}

/// Whom to disconnect. Names exactly one of `user`, `session` and `token_id`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "user": "ann", "reason": "account closed", "revoke": true }))]
pub(super) struct DisconnectBody {
    /// All sessions of this user.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    user: Option<Text<1, USER_BYTES_MAX>>,
    /// This session.
    #[schema(value_type = Option<String>, min_length = 22, max_length = 22)]
    session: Option<SessionId>,
    /// All sessions that showed the token with this `jti`.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    token_id: Option<Text<1, TOKEN_ID_BYTES_MAX>>,
    /// The close code: 4000 to 4499 tell the client to come back, 4500 to 4999 to stay away.
    #[schema(value_type = Option<u16>, minimum = 4000, maximum = 4999, default = 4505)]
    code: Option<CloseCode>,
    /// The close frame's reason.
    #[schema(value_type = Option<String>, max_length = 123)]
    reason: Option<Text<0, REASON_BYTES_MAX>>,
    /// Whether the user, session or token may not come back, either.
    #[serde(default)]
    revoke: bool,
}

/// Several commands at once, carried out one after the other.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "commands": [
    { "publish": { "channel": "chat:room1", "data": { "text": "welcome ann" } } },
    { "send": { "user": "ann", "data": { "text": "mind the rules" } } },
] }))]
pub(super) struct BatchBody<'a> {
    /// The commands, each an object with one key: its name.
    #[schema(value_type = Vec<BatchCommand>, max_items = 1000)]
    #[serde(borrow)]
    pub(super) commands: List<&'a RawValue, PARTS_MAX>,
}

/// A command under its name; its body is that of the call of this name.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum BatchCommand {
    /// As `POST /v1/publish`.
    Publish(PublishBody),
    /// As `POST /v1/send`.
    Send(SendBody),
    /// As `POST /v1/subscribe`.
    Subscribe(SubscriptionBody),
    /// As `POST /v1/unsubscribe`.
    Unsubscribe(SubscriptionBody),
    /// As `POST /v1/disconnect`.
    Disconnect(DisconnectBody),
}

impl PublishBody {
    pub(super) fn into_publish(
        self,
        data_bytes_max: usize,
        trace: Option<Arc<str>>,
    ) -> Result<Publish, Problem> {
        check_size(&self.data, data_bytes_max)?;
        let (key, conflate) = (self.key.map(Text::into_inner), self.conflate.map(Text::into_inner));
        Ok(Publish { channel: self.channel, data: self.data, key, conflate, trace })
    }
}

impl BroadcastBody {
    pub(super) fn into_broadcast(self, data_bytes_max: usize) -> Result<Broadcast, Problem> {
        check_size(&self.data, data_bytes_max)?;
        let key = self.key.map(Text::into_inner);
        Ok(Broadcast { channels: self.channels.into_inner(), data: self.data, key })
    }
}

/// A broadcast whose message is checked; its channels are yet to be.
pub(super) struct Broadcast {
    pub(super) channels: Vec<String>,
    pub(super) data: OwnedJson,
    pub(super) key: Option<Arc<str>>,
}

impl SendBody {
    pub(super) fn into_send(self, data_bytes_max: usize) -> Result<Send, Problem> {
        check_size(&self.data, data_bytes_max)?;
        let target = target(self.user, self.session)?;
        Ok(Send { target, data: self.data, key: self.key.map(Text::into_inner) })
    }
}

impl SubscriptionBody {
    pub(super) fn into_change(self) -> Result<SubscriptionChange, Problem> {
        Ok(SubscriptionChange { target: target(self.user, self.session)?, channel: self.channel })
    }
}

impl DisconnectBody {
    pub(super) fn into_disconnect(self) -> Result<Disconnect, Problem> {
        let subject = match (self.user, self.session, self.token_id) {
            (Some(user), None, None) => Subject::User(user.into_inner()),
            (None, Some(session), None) => Subject::Session(session),
            (None, None, Some(token)) => Subject::Token(token.into_inner()),
            (None, None, None) => return Err(whole("name one of `user`, `session` and `token_id`")),
            _ => return Err(whole("`user`, `session` and `token_id` exclude each other: send one of them")),
        };
        let (code, reason) = (self.code.map(CloseCode::into_inner), self.reason.map(Text::into_inner));
        Ok(Disconnect { subject, code, reason, revoke: self.revoke })
    }
}

fn target(
    user: Option<Text<1, USER_BYTES_MAX>>,
    session: Option<SessionId>,
) -> Result<Target<'static>, Problem> {
    match (user, session) {
        (Some(user), None) => Ok(Target::User(Cow::Owned(user.into_inner().as_ref().to_owned()))),
        (None, Some(session)) => Ok(Target::Session(session)),
        (None, None) => Err(whole("name one of `user` and `session`")),
        (Some(_), Some(_)) => Err(whole("`user` and `session` exclude each other: send one of them")),
    }
}

fn check_size(data: &OwnedJson, bytes_max: usize) -> Result<(), Problem> {
    let bytes = data.as_str().len();
    if bytes <= bytes_max {
        return Ok(());
    }
    let message = format!("has {bytes} bytes; limits.message_bytes allows {bytes_max}");
    Err(Problem::too_large(Fault { path: "/data".to_owned(), message }))
}

/// A fault of the body as a whole.
fn whole(message: &str) -> Problem {
    Problem::invalid(Fault { path: String::new(), message: message.to_owned() })
}
