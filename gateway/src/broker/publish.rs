//! Publishing: a position where the channel keeps a history, once for each key, then to the subscribers.

use std::sync::Arc;

use tidegate_cluster::bus::{Loss, Receiver};
use tidegate_cluster::history::{Append, Entry, Retention};
use tidegate_cluster::idempotency::{IdempotencyKey, Scope, Use};
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, Message, Published};
use tidegate_protocol::json::{OwnedJson, RawJson};
use tidegate_protocol::node::PublicationKind;
use tidegate_service::trace::TraceParent;
use tokio::sync::oneshot;

use super::exchange::Outbound;
use super::{Broker, refusal};
use crate::hub::conflate_key;
use crate::worker::mail::Publication;

/// Bytes of a `message` object around channel and data, in most cases.
const OBJECT_OVERHEAD_BYTES: usize = 96;
/// Bytes of a message on the bus beside what is counted: its frame, headers, and the object around the data.
const BUS_OVERHEAD_BYTES: usize = 4096 + 512;

/// A publication that somebody was allowed to make.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) channel: ChannelName,
    pub(crate) data: OwnedJson,
    /// Who publishes: what makes one publisher's keys different from another's.
    pub(crate) publisher: Arc<str>,
    /// The user that subscribers are told.
    pub(crate) from: Option<Arc<str>>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) conflate: Option<Arc<str>>,
    /// The client's `traceparent`.
    pub(crate) trace: Option<Arc<str>>,
    /// The span of the upgrade of its connection, if that is traced.
    pub(crate) upgrade: Option<TraceParent>,
    /// Where only the publisher's order counts: when it may be sent.
    pub(crate) turn: Option<Turn>,
}

/// A publication's place behind an earlier one of its publisher. Dropped, it lets the next one go.
#[derive(Debug)]
pub(crate) struct Turn {
    behind: Option<oneshot::Receiver<()>>,
    _passes: oneshot::Sender<()>,
}

impl Turn {
    /// Comes when the sender of `behind` is gone, and lets the next one go with `passes`.
    pub(crate) fn new(behind: Option<oneshot::Receiver<()>>, passes: oneshot::Sender<()>) -> Self {
        Self { behind, _passes: passes }
    }

    async fn come(&mut self) {
        if let Some(behind) = self.behind.take() {
            // Nothing is ever sent: the sender ends with its publication, whatever came of that.
            let _ = behind.await;
        }
    }
}

impl Broker {
    /// Publishes.
    ///
    /// # Errors
    ///
    /// `unknown_channel`, or `unavailable` when a part of the cluster did not answer.
    pub(crate) async fn publish(self: Arc<Self>, mut publish: Publish) -> Result<Published, ErrorBody> {
        let turn = publish.turn.take();
        let (trace, upgrade) = (publish.trace.as_deref(), publish.upgrade);
        let mut traced = self.spans.publish(publish.channel.as_str(), trace, upgrade);
        let published = self.publish_traced(&publish, turn, traced.trace.as_ref()).await;
        if let Err(error) = &published {
            traced.span.fail(error.code.as_str());
        }
        published
    }

    async fn publish_traced(
        &self,
        publish: &Publish,
        mut turn: Option<Turn>,
        trace: Option<&Arc<str>>,
    ) -> Result<Published, ErrorBody> {
        let channel = publish.channel.borrowed();
        let namespace = self.namespaces.of(channel.as_str())?;
        self.check_length(publish)?;
        let window = self.terms.idempotency_window;
        let key =
            publish.key.as_deref().map(|key| IdempotencyKey { publisher: &publish.publisher, key, window });
        let (mut position, mut link) = (None, None);
        if namespace.history_size > 0 {
            let answer = self.outside.history.append(Append {
                channel: &channel,
                retention: Retention { entries_max: namespace.history_size, ttl: namespace.history_ttl },
                key,
                data: Arc::from(publish.data.as_str().as_bytes()),
                from: publish.from.clone(),
                conflate: publish.conflate.clone(),
                trace: trace.cloned(),
            });
            let span = self.spans.store_append(channel.as_str(), trace.map(|trace| &**trace));
            let appended = answer.await.map_err(refusal)?;
            drop(span);
            (position, link) = (Some(appended.position), appended.link);
            if appended.duplicate {
                // The first time it may have got no further than here.
                self.outside.ingress.inbox.lose(Loss::Channel(publish.channel.clone()));
                return Ok(Published { position, duplicate: true });
            }
        } else if let Some(key) = key {
            let answer = self.outside.idempotency.claim(Scope::Channel(channel.as_str()), key);
            if answer.await.map_err(refusal)? == Use::Again {
                return Ok(Published { position, duplicate: true });
            }
        }
        let mut object = Vec::with_capacity(publish.data.as_str().len() + OBJECT_OVERHEAD_BYTES);
        let message = Message {
            channel: channel.as_str().into(),
            data: publish.data.borrowed(),
            offset: position.map(|position| position.offset),
            from: publish.from.as_deref().map(Into::into),
            trace: trace.map(|trace| (&**trace).into()),
        };
        event::append_message(&mut object, &message);
        let conflate = publish.conflate.as_deref().map_or(0, conflate_key);
        if let Some(turn) = &mut turn {
            turn.come().await;
        }
        let sent = self.put_out(Outbound {
            channel: &channel,
            kind: PublicationKind::Message,
            publication: Publication { position, link, conflate, ..Publication::of(object.into()) },
            conflate: publish.conflate.as_deref(),
            trace: trace.map(|trace| &**trace),
        });
        if let Err(unavailable) = sent.await {
            if let Some(key) = key {
                // Nobody has it: its repetition must not pass for a second one.
                let released = self.outside.idempotency.release(Scope::Channel(channel.as_str()), key);
                if let Err(unavailable) = released.await {
                    tracing::debug!(%unavailable, "a key could not be released");
                }
            }
            return Err(refusal(unavailable));
        }
        Ok(Published { position, duplicate: false })
    }
}

impl Broker {
    /// Refuses what other nodes cannot be sent, before it is kept: a client's limit may be higher than the bus's.
    fn check_length(&self, publish: &Publish) -> Result<(), ErrorBody> {
        let Some(most) = self.outside.bus_bytes_max() else { return Ok(()) };
        let most = most.saturating_sub(BUS_OVERHEAD_BYTES);
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        // The channel is named in the object and beside it.
        let bytes = publish.data.as_str().len()
            + 2 * publish.channel.as_str().len()
            + text(&publish.from)
            + text(&publish.conflate);
        if bytes <= most {
            return Ok(());
        }
        let message = format!("the bus between the nodes takes {most} bytes, this is {bytes}");
        Err(ErrorBody::new(ErrorCode::TooLarge, message))
    }

    /// Warns the operator of a bus that takes less than clients may send.
    pub(crate) fn warn_of_small_bus(&self, message_bytes: usize) {
        if let Some(most) = self.outside.bus_bytes_max()
            && most < message_bytes + BUS_OVERHEAD_BYTES
        {
            tracing::warn!(
                max_payload = most,
                message_bytes,
                "the bus takes less than limits.message_bytes and what goes with it: longer publications are refused"
            );
        }
    }
}

/// An entry of the history as subscribers get it.
pub(super) fn message_object(channel: &str, entry: &Entry) -> Arc<[u8]> {
    let mut object = Vec::with_capacity(entry.data.len() + OBJECT_OVERHEAD_BYTES);
    let message = Message {
        channel: channel.into(),
        data: data_of(entry),
        offset: Some(entry.offset),
        from: entry.from.as_deref().map(Into::into),
        trace: entry.trace.as_deref().map(Into::into),
    };
    event::append_message(&mut object, &message);
    object.into()
}

/// What was published. A store that gives back something else than it was given is not repeated to clients.
pub(crate) fn data_of(entry: &Entry) -> RawJson<'_> {
    std::str::from_utf8(&entry.data).map_or(RawJson::NULL, RawJson::trusted)
}
