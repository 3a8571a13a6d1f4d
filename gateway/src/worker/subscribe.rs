//! Subscriptions of clients of the native dialect: asked for, granted, caught up, live in the hub, and left again.
//!
//! Place in the data path: behind the session machine, beside [`perform`](super::perform). A subscription listens before its
//! past is read, so that nothing falls between the two.

use std::sync::Arc;

use tidegate_cluster::presence::Member;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::StartFrom;
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::position::Position;
use tidegate_session::{Ask, AskedBy, Delivery, Feed, Subscribed};

use super::Worker;
use super::native::Answer;
use super::perform::asker;
use crate::admission::permission::Granted;
use crate::broker::outcome::Outcome;
use crate::connection::{Endpoint, Phase};
use crate::hub::directory::Realm;
use crate::hub::{ChannelIndex, Member as Listener, Moved};
use crate::native::{Place, Subscription};

/// A subscription that is being made.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) channel: ChannelName,
    pub(crate) from: StartFrom,
    pub(crate) ask: Ask,
}

impl Worker {
    /// The client wants to subscribe, or is to be subscribed: whoever decides about it is asked.
    pub(super) fn subscribe(&mut self, slot: usize, wanted: Wanted) -> Option<Answer> {
        let node = Arc::clone(&self.node);
        let client = self.native_mut(slot)?;
        let grants = client.grants.clone()?;
        if client.find(wanted.channel.as_str()).is_none() {
            let counted = match wanted.ask.by {
                AskedBy::Client => client.share.try_subscribe(),
                AskedBy::Resume | AskedBy::Server | AskedBy::Gate => {
                    client.share.subscribe();
                    Ok(())
                }
            };
            if let Err(error) = counted {
                let (channel, refused) = (wanted.channel.as_str(), Err(error.into()));
                self.with_session(slot, |session, cx| {
                    session.handle_subscribed(channel, wanted.ask, refused, cx);
                });
                return None;
            }
            let channel = wanted.channel.clone();
            client.add(Subscription { channel, place: Place::Asked, is_present: false });
            self.stats.subscriptions.add(1);
        }
        let granted = match wanted.ask.by {
            AskedBy::Client => node.broker.namespaces.may_subscribe(wanted.channel.as_str(), asker(&grants)),
            AskedBy::Resume | AskedBy::Server | AskedBy::Gate => {
                node.broker.namespaces.of(wanted.channel.as_str()).map(Granted::Now)
            }
        };
        match granted {
            Err(error) => Some(Answer::Subscribed(wanted, Err(error))),
            Ok(Granted::Now(_)) => Some(Answer::MaySubscribe(wanted, Ok(()))),
            Ok(Granted::IfHookAgrees) => {
                let session = self.native_mut(slot)?.session.id()?;
                let outcome = Outcome::Later(node.clients.may_subscribe(
                    &grants.user,
                    session,
                    &wanted.channel,
                    self.now_unix,
                ));
                self.now_or_mail(slot, outcome.map(move |agreed| Answer::MaySubscribe(wanted, agreed)))
            }
        }
    }

    /// The client may subscribe: it listens from now on, and its past is read.
    pub(super) fn subscribe_granted(&mut self, slot: usize, wanted: Wanted) {
        let channel = wanted.channel.clone();
        let Some(client) = self.native_mut(slot) else { return };
        // The client may have left the channel while the hook was asked.
        let Some(index) = client.find(channel.as_str()) else { return };
        let place = client.subscriptions[index].place;
        let broker = &self.node.broker;
        let namespace = broker.namespaces.of(channel.as_str());
        // Nobody has to be asked about a channel that keeps nothing on a node that is alone.
        let is_asked = !broker.is_alone() || namespace.is_ok_and(|namespace| namespace.history_size > 0);
        let member = listener(slot, index);
        if place == Place::Asked {
            let place = if is_asked {
                Place::Gated(self.hub.gate(Realm::Native, channel.as_str(), member))
            } else {
                // What was published before goes out before this one is among the members.
                if !self.deliver_behind_replies(slot) {
                    return;
                }
                Place::Live(self.hub.join(Realm::Native, channel.as_str(), member))
            };
            if let Some(client) = self.native_mut(slot) {
                client.subscriptions[index].place = place;
            }
        }
        if !is_asked {
            return self.apply_subscribed(slot, wanted, Ok(Subscribed::default()));
        }
        let past = Arc::clone(&self.node.broker).begin(channel, wanted.from);
        let outcome = Outcome::begin(past).map(move |past| Answer::Subscribed(wanted, past));
        if let Some(Answer::Subscribed(wanted, result)) = self.now_or_mail(slot, outcome) {
            self.apply_subscribed(slot, wanted, result);
        }
    }

    /// The past of a subscription is known, or there is none to be had.
    pub(super) fn apply_subscribed(
        &mut self,
        slot: usize,
        wanted: Wanted,
        result: Result<Subscribed, ErrorBody>,
    ) {
        let channel = wanted.channel.clone();
        let head = result.as_ref().ok().and_then(|subscribed| subscribed.head);
        let Some(index) = self.native_mut(slot).and_then(|client| client.find(channel.as_str())) else {
            return;
        };
        if let (Some(head), Some(Place::Gated(at))) = (head, self.place_of(slot, index))
            && let Some(entry) = self.hub.channel_mut(at)
        {
            let feed = entry.feed.get_or_insert_with(|| Box::new(Feed::new(head, None)));
            // One of the two has not heard that the channel began anew.
            if feed.head().epoch != head.epoch && feed.compare(head) {
                self.gaps.push(at);
            }
        }
        let (ask, name) = (wanted.ask, wanted.channel);
        self.with_session(slot, |session, cx| {
            session.handle_subscribed(name.as_str(), ask, result.map_err(Into::into), cx);
        });
        let Some(client) = self.native_mut(slot) else { return };
        if client.session.subscription(channel.as_str()).is_none() {
            return self.unsubscribe(slot, &channel);
        }
        self.release_if_live(slot, index);
        self.attend(slot, index);
        if ask.by != AskedBy::Gate {
            self.save_subscription(slot, channel, head);
        }
    }

    /// Writes down a new subscription, so that the session comes back with it and the server API sees it.
    fn save_subscription(&mut self, slot: usize, channel: ChannelName, position: Option<Position>) {
        let Some(client) = self.native_mut(slot) else { return };
        let Some(session) = client.session.id() else { return };
        let (fence, broker) = (client.fence, Arc::clone(&self.node.broker));
        self.start(broker.save(session, fence, vec![(channel, position)], Vec::new(), None));
    }

    fn place_of(&mut self, slot: usize, index: usize) -> Option<Place> {
        Some(self.native_mut(slot)?.subscriptions.get(index)?.place)
    }

    /// A subscription whose session says that it has caught up becomes a member of the hub's channel.
    pub(super) fn release_if_live(&mut self, slot: usize, index: usize) {
        let Some(client) = self.native_mut(slot) else { return };
        let Some(Subscription { channel, place: Place::Gated(at), .. }) = client.subscriptions.get(index)
        else {
            return;
        };
        let (at, delivery) = (*at, client.session.subscription(channel.as_str()));
        if delivery != Some(Delivery::Live) {
            return;
        }
        // Members get what is published in this turn; this one has it already.
        if !self.deliver_behind_replies(slot) {
            return;
        }
        let membership = self.hub.release(at, listener(slot, index));
        if let Some(client) = self.native_mut(slot) {
            client.subscriptions[index].place = Place::Live(membership);
        }
    }

    /// All those of a channel whose sessions say so become members of it.
    pub(super) fn release_live(&mut self, channel: ChannelIndex) {
        let Some(entry) = self.hub.channel(channel) else { return };
        for Listener { connection, subscription } in entry.gated().to_vec() {
            self.release_if_live(connection as usize, subscription as usize);
        }
    }

    /// Tells presence of a new subscription.
    fn attend(&mut self, slot: usize, index: usize) {
        let node = Arc::clone(&self.node);
        let now = self.now_unix;
        let Some(client) = self.native_mut(slot) else { return };
        let (Some(session), Some(grants)) = (client.session.id(), client.grants.clone()) else { return };
        let fence = client.fence;
        let subscription = &mut client.subscriptions[index];
        let has_presence = node
            .broker
            .namespaces
            .of(subscription.channel.as_str())
            .is_ok_and(|namespace| namespace.presence);
        if !has_presence || std::mem::replace(&mut subscription.is_present, true) {
            return;
        }
        let member = Member {
            session,
            user: Arc::clone(&grants.user),
            info: grants.info.as_ref().map(|info| Arc::from(info.as_str().as_bytes())),
            since: now,
        };
        let channel = subscription.channel.clone();
        self.start(Arc::clone(&node.broker).attend(channel, member, fence));
    }

    /// Takes a subscription out of the hub.
    pub(super) fn unsubscribe(&mut self, slot: usize, channel: &ChannelName) {
        let Some(client) = self.native_mut(slot) else { return };
        let Some(index) = client.find(channel.as_str()) else { return };
        let subscription = client.subscriptions.remove(index);
        client.share.unsubscribe();
        let (session, fence) = (client.session.id(), client.fence);
        self.stats.subscriptions.sub(1);
        self.leave(slot, index, subscription.place);
        let Some(session) = session else { return };
        let broker = Arc::clone(&self.node.broker);
        if subscription.is_present {
            self.start(Arc::clone(&broker).depart(vec![channel.clone()], session, fence));
        }
        self.start(broker.save(session, fence, Vec::new(), vec![channel.clone()], None));
    }

    /// Takes a connection out of a channel of the hub.
    pub(super) fn leave(&mut self, slot: usize, index: usize, place: Place) {
        match place {
            Place::Asked => {}
            Place::Gated(channel) => self.hub.ungate(channel, listener(slot, index)),
            Place::Live(membership) => {
                for moved in self.hub.leave(membership) {
                    self.note_move(moved);
                }
            }
        }
    }

    /// A member's place in its channel has changed.
    pub(super) fn note_move(&mut self, Moved { member, position }: Moved) {
        let Some(connection) = self.connections.get_mut(member.connection as usize) else { return };
        match &mut connection.phase {
            Phase::Open(Endpoint::Channel(membership)) => membership.position = position,
            Phase::Open(Endpoint::Native(client)) => {
                let subscription = client.subscriptions.get_mut(member.subscription as usize);
                if let Some(Subscription { place: Place::Live(membership), .. }) = subscription {
                    membership.position = position;
                }
            }
            Phase::Open(Endpoint::Echo) | Phase::Handshaking(_) | Phase::Closing(_) => {}
        }
    }
}

fn listener(slot: usize, subscription: usize) -> Listener {
    let index = |value: usize| u32::try_from(value).expect("connections and subscriptions are u32s");
    Listener { connection: index(slot), subscription: index(subscription) }
}
