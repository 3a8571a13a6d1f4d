//! Publishing: a position where the channel keeps a history, once for each key, then to the subscribers.

use std::sync::Arc;

use tidegate_cluster::history::{Append, Entry, Retention};
use tidegate_cluster::idempotency::{IdempotencyKey, Scope, Use};
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::event::{self, Message, Published};
use tidegate_protocol::json::{OwnedJson, RawJson};
use tidegate_protocol::node::PublicationKind;

use super::exchange::Outbound;
use super::{Broker, refusal};
use crate::hub::conflate_key;
use crate::worker::mail::Publication;

/// Bytes of a `message` object around channel and data, in most cases.
const OBJECT_OVERHEAD_BYTES: usize = 96;

/// A publication that somebody was allowed to make.
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    pub(crate) channel: ChannelName,
    pub(crate) data: OwnedJson,
    /// Who publishes: what makes one publisher's keys different from another's.
    pub(crate) publisher: Arc<str>,
    /// The user that subscribers are told.
    pub(crate) from: Option<Arc<str>>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) conflate: Option<Arc<str>>,
    pub(crate) trace: Option<Arc<str>>,
}

impl Broker {
    /// Publishes.
    ///
    /// # Errors
    ///
    /// `unknown_channel`, or `unavailable` when a part of the cluster did not answer.
    pub(crate) async fn publish(self: Arc<Self>, publish: Publish) -> Result<Published, ErrorBody> {
        let channel = publish.channel.borrowed();
        let namespace = self.namespaces.of(channel.as_str())?;
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
                trace: publish.trace.clone(),
            });
            let appended = answer.await.map_err(refusal)?;
            (position, link) = (Some(appended.position), appended.link);
            if appended.duplicate {
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
            trace: publish.trace.as_deref().map(Into::into),
        };
        event::append_message(&mut object, &message);
        let conflate = publish.conflate.as_deref().map_or(0, conflate_key);
        let sent = self.put_out(Outbound {
            channel: &channel,
            kind: PublicationKind::Message,
            publication: Publication { position, link, conflate, object: object.into() },
            conflate: publish.conflate.as_deref(),
            trace: publish.trace.as_deref(),
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
