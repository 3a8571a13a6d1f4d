//! What leaves a node for others: publications to whoever listens, orders to the node that has a session.
//!
//! Place in the data path: behind publishing. With a bus a publication reaches the subscribers of this node as it does
//! those of others, by coming in (`ingress.rs`): one way, one order. Without one, the node is alone and keeps it short.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tidegate_cluster::Unavailable;
use tidegate_cluster::directory::Target as Place;
use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::command::Target;
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::node::{
    self, Access, Direct, Disconnect, DisconnectTarget, NodeMessage, PublicationKind,
};

use super::{Broker, refusal};
use crate::worker::mail::{Close, Order, Publication};

/// Sessions that one order reaches at most.
const RECIPIENTS_MAX: usize = 1_000;

/// A publication on its way to every node with a subscriber.
pub(super) struct Outbound<'a> {
    pub(super) channel: &'a Channel<'a>,
    pub(super) kind: PublicationKind,
    pub(super) publication: Publication,
    /// The publisher's `conflate` value, of which the publication has the hash.
    pub(super) conflate: Option<&'a str>,
    pub(super) trace: Option<&'a str>,
}

impl Broker {
    /// Sends a publication to the subscribers of all nodes. What has a place in a history is on its way even if the bus is
    /// down: other nodes find it there, and this one's subscribers get it now.
    ///
    /// # Errors
    ///
    /// The bus did not take a publication that no history has.
    pub(super) async fn put_out(&self, outbound: Outbound<'_>) -> Result<(), Unavailable> {
        let Some(bus) = &self.outside.bus else {
            let Outbound { channel, publication, trace, .. } = outbound;
            let fan_out = self.spans.fan_out(channel.as_str(), trace);
            self.distribute(channel.as_str(), Publication { fan_out, ..publication }).await;
            return Ok(());
        };
        let Outbound { channel, kind, publication, conflate, trace } = outbound;
        let span = self.spans.bus_publish(channel.as_str(), trace);
        let mut message = Vec::with_capacity(publication.object.len() + 2 * channel.as_str().len() + 64);
        node::append(
            &mut message,
            &NodeMessage::Publication(node::Publication {
                channel: channel.clone(),
                kind,
                object: &publication.object,
                position: publication.position,
                from: None,
                origin: None,
                conflate,
                trace: span.trace.as_deref(),
                link: publication.link,
            }),
        );
        let sent = bus.publish(channel, Bytes::from(message)).await;
        let Err(unavailable) = sent else { return Ok(()) };
        if publication.position.is_none() {
            return Err(unavailable);
        }
        self.stats.stored_only.fetch_add(1, Ordering::Relaxed);
        self.distribute(channel.as_str(), publication).await;
        Ok(())
    }

    /// Asks the bus for a channel's publications, before its history is read. A bus that is down is asked again when it is
    /// back: until then history tells what was published.
    pub(super) async fn listen(&self, channel: &ChannelName) {
        let Some(bus) = &self.outside.bus else { return };
        if let Err(unavailable) = bus.subscribe(&channel.borrowed()).await {
            self.stats.unheard.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%unavailable, %channel, "a channel is listened to later");
        }
    }

    /// Gives an order to all sessions of a user, or to one, wherever they are. The result is how many it was sent to.
    ///
    /// # Errors
    ///
    /// `unavailable`.
    pub(super) async fn order_all(
        &self,
        target: &Target<'_>,
        order: impl Fn() -> Order,
    ) -> Result<u32, ErrorBody> {
        let place = match target {
            Target::User(user) => Place::User(user),
            Target::Session(session) => Place::Session(*session),
        };
        let routes = self.outside.places.locate(place, RECIPIENTS_MAX).await.map_err(refusal)?;
        let mut reached = 0;
        let mut elsewhere: BTreeMap<NodeName, Vec<SessionId>> = BTreeMap::new();
        for route in routes {
            if route.node == self.node {
                reached += u32::from(self.order(route.session, order()).await);
            } else {
                elsewhere.entry(route.node).or_default().push(route.session);
            }
        }
        let Some(bus) = &self.outside.bus else { return Ok(reached) };
        for (node, sessions) in elsewhere {
            let mut message = Vec::new();
            for &session in &sessions {
                append_order(&mut message, session, &order());
            }
            bus.send(&node, Bytes::from(message)).await.map_err(refusal)?;
            reached += u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        }
        Ok(reached)
    }

    /// Tells the node that had a session that it has a new owner.
    pub(super) async fn tell_taken_over(&self, node: &NodeName, session: SessionId, fence: u64) {
        let Some(bus) = &self.outside.bus else { return };
        let mut message = Vec::new();
        node::append(&mut message, &NodeMessage::TakenOver { session, fence });
        if let Err(unavailable) = bus.send(node, Bytes::from(message)).await {
            // It finds out when it next writes the session, or renews it.
            tracing::debug!(%unavailable, %session, "the node that had a session was not told");
        }
    }

    /// Tells every node to close the connections that showed a token.
    pub(super) async fn broadcast_token(&self, token: &str, close: &Close) -> Result<(), ErrorBody> {
        let Some(bus) = &self.outside.bus else { return Ok(()) };
        let mut message = Vec::new();
        let target = DisconnectTarget::Token(token);
        node::append(&mut message, &NodeMessage::Disconnect(disconnect(target, close)));
        bus.broadcast(Bytes::from(message)).await.map_err(refusal)
    }
}

fn append_order(out: &mut Vec<u8>, session: SessionId, order: &Order) {
    let target = || Target::Session(session);
    match order {
        Order::Deliver(object) => {
            node::append(out, &NodeMessage::Direct(Direct { target: target(), object }));
        }
        Order::Subscribe(channel) => {
            node::append(out, &NodeMessage::Subscribe { target: target(), channel: channel.borrowed() });
        }
        Order::Unsubscribe(channel) => {
            node::append(out, &NodeMessage::Unsubscribe { target: target(), channel: channel.borrowed() });
        }
        // Of what a node holds it tells the store itself.
        Order::Restate { .. } => {}
        Order::Close(Close { below: Some(fence), .. }) => {
            node::append(out, &NodeMessage::TakenOver { session, fence: fence.number() });
        }
        Order::Close(close) => {
            let target = DisconnectTarget::Sessions(target());
            node::append(out, &NodeMessage::Disconnect(disconnect(target, close)));
        }
    }
}

fn disconnect<'a>(target: DisconnectTarget<'a>, close: &'a Close) -> Disconnect<'a> {
    let access = if close.cause == CloseCause::Revoked { Access::Revoked } else { Access::Kept };
    Disconnect { target, code: close.code, reason: close.reason.as_deref(), access }
}
