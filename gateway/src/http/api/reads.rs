//! The calls that look: channels, presence, history, sessions, nodes. Every list comes in pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::HistoryOrder;
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::limits::{CHANNEL_BYTES_MAX, USER_BYTES_MAX};
use tidegate_protocol::position::{Epoch, Position};
use utoipa::IntoParams;

use super::Shared;
use super::answers::{
    ChannelInfo, ChannelsAnswer, HistoryAnswer, NodesAnswer, PresenceAnswer, SessionInfo, SessionsAnswer,
};
use super::cursor::{Cursor, HistoryCursor};
use super::document::ReadProblems;
use super::fields::{PageLimit, Text};
use super::problem::{Fault, Problem};
use super::request::{ChannelPath, Params, SessionPath};
use super::services::{ChannelsQuery, HistoryQuery, PresenceQuery, SessionsQuery};

/// Entries of a page.
pub(super) const PAGE_MAX: u32 = 1000;

/// Sessions of a page: each brings its subscriptions along.
pub(super) const SESSIONS_PAGE_MAX: u32 = 200;

/// Bytes of `data` in a page of history.
const HISTORY_BYTES_MAX: usize = 8 << 20;

/// Which channels to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChannelsParams {
    /// Only channels whose names start with this.
    #[param(value_type = Option<String>, max_length = 255, example = "chat:")]
    prefix: Option<Text<0, CHANNEL_BYTES_MAX>>,
    /// Channels of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    #[serde(default)]
    limit: PageLimit<PAGE_MAX>,
    /// `next` of the page before, with the same other parameters.
    cursor: Option<String>,
}

/// Which members to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PresenceParams {
    /// Members of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    #[serde(default)]
    limit: PageLimit<PAGE_MAX>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Which publications to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryParams {
    /// With `after_offset`: only publications behind this position, in the order asked for.
    #[param(value_type = Option<String>, example = "k3x")]
    after_epoch: Option<Epoch>,
    /// With `after_epoch`: see there.
    #[param(example = 18)]
    after_offset: Option<u64>,
    /// Publications of a page; fewer come where they hold more than 8 MiB.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    #[serde(default)]
    limit: PageLimit<PAGE_MAX>,
    /// Whether the last publication comes first.
    #[param(required = false)]
    #[serde(default)]
    newest_first: bool,
    /// `next` of the page before. It knows the order and the position.
    cursor: Option<String>,
}

/// Which sessions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionsParams {
    /// Only sessions of this user.
    #[param(value_type = Option<String>, max_length = 255)]
    user: Option<Text<0, USER_BYTES_MAX>>,
    /// Only sessions that this node has, or had last.
    #[param(max_length = 128)]
    node: Option<String>,
    /// Sessions of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 100)]
    #[serde(default)]
    limit: PageLimit<SESSIONS_PAGE_MAX>,
    /// `next` of the page before, with the same other parameters.
    cursor: Option<String>,
}

/// List channels
///
/// Channels that someone is subscribed to, by name. One of which only history is kept is found by its name alone.
#[utoipa::path(
    get,
    path = "/v1/channels",
    tag = "Channels",
    security(("key" = ["read"])),
    params(ChannelsParams),
    responses((status = 200, description = "A page of channels.", body = ChannelsAnswer), ReadProblems),
)]
pub(super) async fn channels(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ChannelsParams>,
) -> Result<Json<ChannelsAnswer>, Problem> {
    let query = ChannelsQuery {
        prefix: params.prefix.map(Text::into_inner).unwrap_or_default(),
        after: decode::<ChannelName>(params.cursor.as_deref())?,
        limit: params.limit.into_inner(),
    };
    let page = shared.services.channels(query).await?;
    Ok(Json(ChannelsAnswer { channels: page.items, next: page.next.map(|next| next.encode()) }))
}

/// Look at a channel
///
/// 404 where nobody is subscribed to it and nothing of it is kept.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}",
    tag = "Channels",
    security(("key" = ["read"])),
    params(("channel" = String, Path, description = "The channel, percent-encoded: a `/` in it is `%2F`.", example = "chat:room1")),
    responses((status = 200, description = "The channel.", body = ChannelInfo), ReadProblems),
)]
pub(super) async fn channel(
    State(shared): State<Arc<Shared>>,
    ChannelPath(channel): ChannelPath,
) -> Result<Json<ChannelInfo>, Problem> {
    let found = shared.services.channel(channel).await?;
    found
        .map(Json)
        .ok_or_else(|| Problem::not_found("nobody is subscribed to this channel, and nothing of it is kept"))
}

/// See who is on a channel
///
/// Sessions that are subscribed to a channel whose namespace has presence, by session. One user may have several.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/presence",
    tag = "Channels",
    security(("key" = ["read"])),
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded: a `/` in it is `%2F`.", example = "chat:room1"),
        PresenceParams,
    ),
    responses((status = 200, description = "A page of members.", body = PresenceAnswer), ReadProblems),
)]
pub(super) async fn presence(
    State(shared): State<Arc<Shared>>,
    ChannelPath(channel): ChannelPath,
    Params(params): Params<PresenceParams>,
) -> Result<Json<PresenceAnswer>, Problem> {
    let after = decode::<SessionId>(params.cursor.as_deref())?;
    let query = PresenceQuery { channel, after, limit: params.limit.into_inner() };
    let presence = shared.services.presence(query).await?;
    let next = presence.page.next.map(|next| next.encode());
    Ok(Json(PresenceAnswer { members: presence.page.items, total: presence.total, next }))
}

/// Read a channel's history
///
/// Earlier publications of a channel whose namespace keeps a history, and where its head is.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/history",
    tag = "Channels",
    security(("key" = ["read"])),
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded: a `/` in it is `%2F`.", example = "chat:room1"),
        HistoryParams,
    ),
    responses((status = 200, description = "A page of publications.", body = HistoryAnswer), ReadProblems),
)]
pub(super) async fn history(
    State(shared): State<Arc<Shared>>,
    ChannelPath(channel): ChannelPath,
    Params(params): Params<HistoryParams>,
) -> Result<Json<HistoryAnswer>, Problem> {
    let (after, order) = params.start()?;
    let limit = params.limit.into_inner();
    let query = HistoryQuery { channel, after, order, limit, bytes_max: HISTORY_BYTES_MAX };
    let history = shared.services.history(query).await?;
    let epoch = history.head.epoch;
    let next =
        history.page.next.map(|offset| HistoryCursor { order, after: Position { epoch, offset } }.encode());
    Ok(Json(HistoryAnswer { epoch, offset: history.head.offset, messages: history.page.items, next }))
}

/// List sessions
///
/// Sessions of the whole cluster by id, with the node that has each and what it is subscribed to.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "Sessions",
    security(("key" = ["read"])),
    params(SessionsParams),
    responses((status = 200, description = "A page of sessions.", body = SessionsAnswer), ReadProblems),
)]
pub(super) async fn sessions(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<SessionsParams>,
) -> Result<Json<SessionsAnswer>, Problem> {
    let node = params.node.as_deref().map(NodeName::parse).transpose();
    let query = SessionsQuery {
        user: params.user.map(Text::into_inner),
        node: node.map_err(|error| in_query("node", error.to_string()))?,
        after: decode::<SessionId>(params.cursor.as_deref())?,
        limit: params.limit.into_inner(),
    };
    let page = shared.services.sessions(query).await?;
    Ok(Json(SessionsAnswer { sessions: page.items, next: page.next.map(|next| next.encode()) }))
}

/// Look at a session
///
/// 404 where there is no such session, or none any more.
#[utoipa::path(
    get,
    path = "/v1/sessions/{session}",
    tag = "Sessions",
    security(("key" = ["read"])),
    params(("session" = String, Path, description = "The session's id.", example = "AQIDBAUGBwgJCgsMDQ4PEA")),
    responses((status = 200, description = "The session.", body = SessionInfo), ReadProblems),
)]
pub(super) async fn session(
    State(shared): State<Arc<Shared>>,
    SessionPath(session): SessionPath,
) -> Result<Json<SessionInfo>, Problem> {
    let found = shared.services.session(session).await?;
    found.map(Json).ok_or_else(|| Problem::not_found("there is no such session, or none any more"))
}

/// List nodes
///
/// Every node of the cluster, as it last told the others.
#[utoipa::path(
    get,
    path = "/v1/nodes",
    tag = "Cluster",
    security(("key" = ["read"])),
    responses((status = 200, description = "The nodes.", body = NodesAnswer), ReadProblems),
)]
pub(super) async fn nodes(State(shared): State<Arc<Shared>>) -> Result<Json<NodesAnswer>, Problem> {
    Ok(Json(NodesAnswer { nodes: shared.services.nodes().await? }))
}

impl HistoryParams {
    /// Where to begin and which way to go: what the cursor says, else the other parameters.
    fn start(&self) -> Result<(Option<Position>, HistoryOrder), Problem> {
        if let Some(cursor) = decode::<HistoryCursor>(self.cursor.as_deref())? {
            return Ok((Some(cursor.after), cursor.order));
        }
        let order = if self.newest_first { HistoryOrder::NewestFirst } else { HistoryOrder::OldestFirst };
        match (self.after_epoch, self.after_offset) {
            (None, None) => Ok((None, order)),
            (Some(epoch), Some(offset)) => Ok((Some(Position { epoch, offset }), order)),
            (Some(_), None) => {
                Err(in_query("after_offset", "belongs to `after_epoch` and is missing".to_owned()))
            }
            (None, Some(_)) => {
                Err(in_query("after_epoch", "belongs to `after_offset` and is missing".to_owned()))
            }
        }
    }
}

fn decode<C: Cursor>(cursor: Option<&str>) -> Result<Option<C>, Problem> {
    cursor.map(C::decode).transpose()
}

fn in_query(name: &str, message: String) -> Problem {
    Problem::invalid(Fault { path: format!("?{name}"), message })
}
