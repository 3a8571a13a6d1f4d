//! The calls that do something: publish, broadcast, send, subscribe, unsubscribe, disconnect.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures_util::{StreamExt, stream};
use tidegate_protocol::channel::ChannelName;

use super::Shared;
use super::answers::{BroadcastAnswer, BroadcastResult, Published, Reached};
use super::bodies::{BroadcastBody, DisconnectBody, PublishBody, SendBody, SubscriptionBody};
use super::document::CommandProblems;
use super::problem::{Fault, Problem};
use super::request::{JsonBody, Trace};
use super::services::Publish;

/// Channels of a broadcast that are being published to at once.
const PUBLISHING_MAX: usize = 32;

/// Publish on a channel
///
/// Sends a message to everyone who is subscribed to the channel, on all nodes. On a channel with history the answer says
/// which position it got; everyone who is subscribed or comes back in time gets it once, in that order.
#[utoipa::path(
    post,
    path = "/v1/publish",
    tag = "Messages",
    security(("key" = ["publish"])),
    params(("traceparent" = Option<String>, Header, description = "W3C trace context: the message joins this trace.")),
    request_body = PublishBody,
    responses((status = 200, description = "It is published.", body = Published), CommandProblems),
)]
pub(super) async fn publish(
    State(shared): State<Arc<Shared>>,
    Trace(trace): Trace,
    body: JsonBody,
) -> Result<Json<Published>, Problem> {
    let publish = body.parse::<PublishBody>()?.into_publish(shared.limits.data_bytes_max, trace)?;
    Ok(Json(shared.services.publish(publish).await?))
}

/// Publish on several channels
///
/// Sends the same message to at most 1,000 channels. Each is a publication of its own: some may succeed and others not,
/// which the results say, one for each channel and in the same order.
#[utoipa::path(
    post,
    path = "/v1/broadcast",
    tag = "Messages",
    security(("key" = ["publish"])),
    params(("traceparent" = Option<String>, Header, description = "W3C trace context: the messages join this trace.")),
    request_body = BroadcastBody,
    responses((status = 200, description = "What became of it on each channel.", body = BroadcastAnswer), CommandProblems),
)]
pub(super) async fn broadcast(
    State(shared): State<Arc<Shared>>,
    Trace(trace): Trace,
    body: JsonBody,
) -> Result<Json<BroadcastAnswer>, Problem> {
    let broadcast = body.parse::<BroadcastBody>()?.into_broadcast(shared.limits.data_bytes_max)?;
    let (data, key) = (&broadcast.data, &broadcast.key);
    let publications = broadcast.channels.into_iter().enumerate().map(|(index, name)| {
        let publish = ChannelName::parse(&name).map(|channel| Publish {
            channel,
            data: data.clone(),
            key: key.clone(),
            conflate: None,
            trace: trace.clone(),
        });
        let services = &shared.services;
        async move {
            let published = match publish {
                Ok(publish) => services.publish(publish).await.map_err(Problem::from),
                Err(error) => {
                    let path = format!("/channels/{index}");
                    Err(Problem::invalid(Fault { path, message: error.to_string() }))
                }
            };
            BroadcastResult::new(name, published)
        }
    });
    let results = stream::iter(publications).buffered(PUBLISHING_MAX).collect().await;
    Ok(Json(BroadcastAnswer { results }))
}

/// Send to a user or session
///
/// Sends a message past all channels: to every session of a user, or to one session. It reaches who is connected at the
/// moment; nothing is kept for others.
#[utoipa::path(
    post,
    path = "/v1/send",
    tag = "Messages",
    security(("key" = ["send"])),
    request_body = SendBody,
    responses((status = 200, description = "It is on its way to that many sessions.", body = Reached), CommandProblems),
)]
pub(super) async fn send(
    State(shared): State<Arc<Shared>>,
    body: JsonBody,
) -> Result<Json<Reached>, Problem> {
    let send = body.parse::<SendBody>()?.into_send(shared.limits.data_bytes_max)?;
    Ok(Json(shared.services.send(send).await?))
}

/// Subscribe a user or session
///
/// Subscribes sessions to a channel as if each had asked for it itself, whatever its token allows.
#[utoipa::path(
    post,
    path = "/v1/subscribe",
    tag = "Sessions",
    security(("key" = ["subscribe"])),
    request_body = SubscriptionBody,
    responses((status = 200, description = "That many sessions are told.", body = Reached), CommandProblems),
)]
pub(super) async fn subscribe(
    State(shared): State<Arc<Shared>>,
    body: JsonBody,
) -> Result<Json<Reached>, Problem> {
    let change = body.parse::<SubscriptionBody>()?.into_change()?;
    Ok(Json(shared.services.subscribe(change).await?))
}

/// Unsubscribe a user or session
///
/// Ends subscriptions of a channel; the clients get `unsubscribed`.
#[utoipa::path(
    post,
    path = "/v1/unsubscribe",
    tag = "Sessions",
    security(("key" = ["subscribe"])),
    request_body = SubscriptionBody,
    responses((status = 200, description = "That many sessions are told.", body = Reached), CommandProblems),
)]
pub(super) async fn unsubscribe(
    State(shared): State<Arc<Shared>>,
    body: JsonBody,
) -> Result<Json<Reached>, Problem> {
    let change = body.parse::<SubscriptionBody>()?.into_change()?;
    Ok(Json(shared.services.unsubscribe(change).await?))
}

/// Disconnect a user, session or token
///
/// Closes connections with a close code and ends their sessions. With `revoke` the user, session or token is refused
/// from now on, too: without it, a client with a valid token can connect again.
#[utoipa::path(
    post,
    path = "/v1/disconnect",
    tag = "Sessions",
    security(("key" = ["disconnect"])),
    request_body = DisconnectBody,
    responses((status = 200, description = "That many sessions are told.", body = Reached), CommandProblems),
)]
pub(super) async fn disconnect(
    State(shared): State<Arc<Shared>>,
    body: JsonBody,
) -> Result<Json<Reached>, Problem> {
    let disconnect = body.parse::<DisconnectBody>()?.into_disconnect()?;
    Ok(Json(shared.services.disconnect(disconnect).await?))
}

impl BroadcastResult {
    fn new(channel: String, published: Result<Published, Problem>) -> Self {
        let (Published { epoch, offset, duplicate }, error) = match published {
            Ok(published) => (published, None),
            Err(problem) => (Published::default(), Some(problem)),
        };
        Self { channel, epoch, offset, duplicate, error }
    }
}
