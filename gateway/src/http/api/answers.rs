//! What calls are answered with: the same types that the node fills in, serde writes and OpenAPI shows.

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::json::OwnedJson;
use tidegate_protocol::position::{Epoch, Position};
use utoipa::ToSchema;

use super::problem::Problem;

/// A publication that was taken.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
#[schema(example = json!({ "epoch": "k3x", "offset": 18 }))]
pub(crate) struct Published {
    /// The stream that `offset` counts in; only on channels with history.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Number of the publication; only on channels with history.
    #[schema(value_type = u64, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The same `key` was used before: nothing was delivered, and the position is that of the first publication.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "is_false")]
    pub duplicate: bool,
}

/// How many sessions a call reached.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(example = json!({ "sessions": 2 }))]
pub(crate) struct Reached {
    /// Sessions, at the time of the call; 0 where nobody was there.
    pub sessions: u32,
}

/// What became of a broadcast.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "results": [
    { "channel": "chat:room1", "epoch": "k3x", "offset": 18 },
    { "channel": "no spaces", "error": {
        "title": "Unprocessable Entity", "status": 422, "code": "bad_request",
        "detail": "/channels/1: a channel name holds no white space and no control characters; U+0020 is at byte 2",
        "errors": [{ "path": "/channels/1",
            "message": "a channel name holds no white space and no control characters; U+0020 is at byte 2" }],
    } },
] }))]
pub(crate) struct BroadcastAnswer {
    /// One for each of `channels`, in their order.
    pub results: Vec<BroadcastResult>,
}

/// What became of a broadcast on one channel: a publication, or an `error`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BroadcastResult {
    /// The channel, as it was named.
    pub channel: String,
    /// The stream that `offset` counts in; only on channels with history.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Number of the publication; only on channels with history.
    #[schema(value_type = u64, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The same `key` was used on this channel before: nothing was delivered.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "is_false")]
    pub duplicate: bool,
    /// Why nothing was published here.
    #[schema(value_type = Problem, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "results": [
    { "publish": { "epoch": "k3x", "offset": 19 } },
    { "error": { "title": "Forbidden", "status": 403, "code": "forbidden",
        "detail": "this key lacks the right `send`: add it to `rights` of the key in [[api.keys]]" } },
] }))]
pub(crate) struct BatchAnswer {
    /// One for each of `commands`, in their order.
    pub results: Vec<BatchResult>,
}

/// What became of one command: its answer under its name, or an `error`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BatchResult {
    /// Of `publish`.
    Publish(Published),
    /// Of `send`.
    Send(Reached),
    /// Of `subscribe`.
    Subscribe(Reached),
    /// Of `unsubscribe`.
    Unsubscribe(Reached),
    /// Of `disconnect`.
    Disconnect(Reached),
    /// Why the command was not carried out.
    Error(Problem),
}

/// A channel that someone subscribes to, or of which something is kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({ "channel": "chat:room1", "subscribers": 12, "epoch": "k3x", "offset": 18 }))]
pub(crate) struct ChannelInfo {
    /// Its name.
    #[schema(value_type = String)]
    pub channel: ChannelName,
    /// Sessions that are subscribed to it, over all nodes.
    pub subscribers: u64,
    /// The stream that `offset` counts in; only on channels with history.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Number of the last publication; only on channels with history.
    #[schema(value_type = u64, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// Some channels, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelsAnswer {
    /// The channels.
    pub channels: Vec<ChannelInfo>,
    /// `cursor` of the next page; missing on the last one.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A session on a channel with presence.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "user": "ann", "session": "AQIDBAUGBwgJCgsMDQ4PEA", "info": { "colour": "teal" }, "since_ms": 1_760_000_000_000_u64
}))]
pub(crate) struct Member {
    /// Its user; empty: anonymous.
    pub user: String,
    /// The session.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// What it shows of itself.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_some_json")]
    pub info: Option<OwnedJson>,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
}

/// Some members of a channel, by session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PresenceAnswer {
    /// The members.
    pub members: Vec<Member>,
    /// How many there are in all.
    pub total: u64,
    /// `cursor` of the next page; missing on the last one.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An earlier publication.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({ "offset": 18, "data": { "text": "hello" }, "from": "ann", "at_ms": 1_760_000_000_000_u64 }))]
pub(crate) struct HistoryMessage {
    /// Its number.
    pub offset: u64,
    /// What was published, as the bytes that came.
    #[schema(value_type = serde_json::Value)]
    #[serde(serialize_with = "write_json")]
    pub data: OwnedJson,
    /// The user who published it; missing where that was a server or nobody in particular.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When it was published, in Unix milliseconds.
    pub at_ms: u64,
}

/// Some publications of a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryAnswer {
    /// The stream that offsets count in.
    #[schema(value_type = String, example = "k3x")]
    pub epoch: Epoch,
    /// Number of the channel's last publication; 0: nothing was published yet.
    pub offset: u64,
    /// The publications, in the order asked for.
    pub messages: Vec<HistoryMessage>,
    /// `cursor` of the next page; missing on the last one.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A session: everything but its secrets.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "session": "AQIDBAUGBwgJCgsMDQ4PEA", "user": "ann", "node": "gateway-0", "connected": true,
    "since_ms": 1_760_000_000_000_u64, "subscriptions": [{ "channel": "chat:room1", "epoch": "k3x", "offset": 18 }]
}))]
pub(crate) struct SessionInfo {
    /// Its name.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// Its user; empty: anonymous.
    pub user: String,
    /// The node that has it, or had it last.
    #[schema(value_type = String)]
    #[serde(serialize_with = "write_node")]
    pub node: NodeName,
    /// Whether its client is there; otherwise it may come back.
    pub connected: bool,
    /// When it was made, in Unix milliseconds.
    pub since_ms: u64,
    /// When its token ends, in Unix milliseconds; missing where it has none, or one without end.
    #[schema(value_type = u64, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires_ms: Option<u64>,
    /// What it is subscribed to, by channel.
    pub subscriptions: Vec<Subscription>,
}

/// A channel that a session is subscribed to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Subscription {
    /// The channel.
    #[schema(value_type = String)]
    pub channel: ChannelName,
    /// The stream that `offset` counts in; only on channels with history.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Number of the last publication known to be delivered; only on channels with history.
    #[schema(value_type = u64, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// Some sessions, by id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionsAnswer {
    /// The sessions.
    pub sessions: Vec<SessionInfo>,
    /// `cursor` of the next page; missing on the last one.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A node, as it last told the others.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "node": "gateway-0", "phase": "serving", "version": "0.1.0", "connections": 1200, "capacity": 100_000,
    "load": 0.12, "since_ms": 1_760_000_000_000_u64
}))]
pub(crate) struct NodeInfo {
    /// Its name.
    #[schema(value_type = String)]
    #[serde(serialize_with = "write_node")]
    pub node: NodeName,
    /// Where it is between start and stop: `starting`, `serving`, `draining`, `stopped`.
    pub phase: String,
    /// Its program's version.
    pub version: String,
    /// Connections it has.
    pub connections: u64,
    /// Connections it takes at most.
    pub capacity: u64,
    /// How busy its workers are: 0 idle, 1 no more to give.
    pub load: f64,
    /// When it started, in Unix milliseconds.
    pub since_ms: u64,
}

/// Every node, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodesAnswer {
    /// The nodes.
    pub nodes: Vec<NodeInfo>,
}

impl Published {
    /// What was published where, and whether it had been before.
    pub(crate) fn new(position: Option<Position>, duplicate: bool) -> Self {
        let (epoch, offset) = (position.map(|at| at.epoch), position.map(|at| at.offset));
        Self { epoch, offset, duplicate }
    }
}

impl ChannelInfo {
    /// A channel with its head, where it has a history.
    pub(crate) fn new(channel: ChannelName, subscribers: u64, head: Option<Position>) -> Self {
        let (epoch, offset) = (head.map(|at| at.epoch), head.map(|at| at.offset));
        Self { channel, subscribers, epoch, offset }
    }
}

impl Subscription {
    /// A subscription with the last position known, on channels with history.
    pub(crate) fn new(channel: ChannelName, position: Option<Position>) -> Self {
        let (epoch, offset) = (position.map(|at| at.epoch), position.map(|at| at.offset));
        Self { channel, epoch, offset }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Writes JSON as the bytes it came in. Fails on text that is none, which only a broken store hands out.
fn write_json<S: Serializer>(json: &OwnedJson, serializer: S) -> Result<S::Ok, S::Error> {
    let raw: &RawValue = serde_json::from_str(json.as_str()).map_err(S::Error::custom)?;
    raw.serialize(serializer)
}

fn write_some_json<S: Serializer>(json: &Option<OwnedJson>, serializer: S) -> Result<S::Ok, S::Error> {
    match json {
        Some(json) => write_json(json, serializer),
        None => serializer.serialize_none(),
    }
}

fn write_node<S: Serializer>(node: &NodeName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(node.as_str())
}
