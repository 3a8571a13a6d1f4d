//! What this worker's sessions hold, told anew: to a store that has forgotten it, and now and then so that a node that dies
//! leaves behind where its sessions were.
//!
//! Place in the data path: beside it. The broker asks for a part of the connections at a time.

use std::sync::Arc;

use tidegate_cluster::presence::Member;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::position::Position;
use tidegate_protocol::time::Millis;
use tidegate_session::Delivery;

use super::Worker;
use crate::broker::attendance::{Attendance, News, PresenceKey};
use crate::broker::standing::{Standing, Wish};
use crate::connection::{Endpoint, Phase};
use crate::hub::Hub;
use crate::native::{NativeClient, Place, Subscription};

impl Worker {
    /// Tells the broker what is wished for of every session in this part of the connections.
    pub(super) fn tell_standing(&mut self, wish: Wish) {
        let attendance = &self.node.broker.attendance;
        let mut standings = Vec::new();
        for (slot, connection) in &mut self.connections {
            let Phase::Open(Endpoint::Native(client)) = &mut connection.phase else { continue };
            // One that is connecting has told of itself, in part.
            let is_meant = client.session.is_ready() || wish.places || wish.presence;
            if slot % wish.parts != wish.part || !is_meant {
                continue;
            }
            let positions = positions(client, &self.hub);
            let moved: u64 = positions.iter().filter_map(|(_, at)| Some((*at)?.offset)).sum();
            let has_moved = client.note_saved(moved);
            let subscribed = if has_moved { positions } else { Vec::new() };
            if let Some(standing) = standing(client, attendance, self.now_unix, wish, subscribed) {
                standings.push(standing);
            }
        }
        if !standings.is_empty() {
            self.start(Arc::clone(&self.node.broker).restate(standings));
        }
    }

    /// Tells the broker all of a session. Of one that is connecting there is more to tell in a moment.
    pub(super) fn restate(&mut self, slot: usize, left: Vec<ChannelName>) {
        let now = self.now_unix;
        let Some(Phase::Open(Endpoint::Native(client))) =
            self.connections.get_mut(slot).map(|connection| &mut connection.phase)
        else {
            return;
        };
        let mut subscribed = held(client);
        for (channel, at) in positions(client, &self.hub) {
            if let Some((_, position)) = subscribed.iter_mut().find(|(held, _)| *held == channel) {
                *position = at;
            }
        }
        let all = Wish { part: 0, parts: 1, places: true, presence: true };
        let Some(mut standing) = standing(client, &self.node.broker.attendance, now, all, subscribed) else {
            return;
        };
        standing.unsubscribed = left;
        standing.unsubscribed.retain(|channel| client.session.subscription(channel.as_str()).is_none());
        standing.record = client.record();
        self.start(Arc::clone(&self.node.broker).restate(vec![standing]));
    }
}

/// What a client is subscribed to, with the positions that its session knows.
pub(super) fn held(client: &NativeClient) -> Vec<(ChannelName, Option<Position>)> {
    let position = |delivery| match delivery {
        Delivery::Gated { delivered } => delivered,
        Delivery::Live => None,
    };
    client.session.subscriptions().map(|(channel, delivery)| (channel.clone(), position(delivery))).collect()
}

/// How far the members of channels with history are.
fn positions(client: &NativeClient, hub: &Hub) -> Vec<(ChannelName, Option<Position>)> {
    let head = |channel| Some(hub.channel(channel)?.feed.as_ref()?.head());
    let live = client.subscriptions.iter().filter_map(|(_, held)| match held.place {
        Place::Live(membership) => Some((held.channel.clone(), Some(head(membership.channel)?))),
        Place::Asked | Place::Gated(_) => None,
    });
    live.collect()
}

/// Its presence is noted here, where what the client does next is noted too.
fn standing(
    client: &NativeClient,
    attendance: &Attendance,
    now: Millis,
    wish: Wish,
    subscribed: Vec<(ChannelName, Option<Position>)>,
) -> Option<Standing> {
    let (session, grants) = (client.session.id()?, client.grants.as_ref()?);
    let note = |held: &Subscription| {
        let info = grants.info.as_ref().map(|info| Arc::from(info.as_str().as_bytes()));
        let member = Member { session, user: Arc::clone(&grants.user), info, since: now };
        let key = PresenceKey { session, channel: held.channel.clone() };
        attendance.note(key.clone(), client.fence, News::Present(member)).then_some(key)
    };
    let present: Vec<_> = match wish.presence {
        true => client
            .subscriptions
            .iter()
            .filter(|(_, held)| held.is_present)
            .filter_map(|(_, held)| note(held))
            .collect(),
        false => Vec::new(),
    };
    (wish.places || !present.is_empty() || !subscribed.is_empty()).then(|| Standing {
        user: wish.places.then(|| Arc::clone(&grants.user)),
        subscribed,
        present,
        ..Standing::bare(session, client.fence)
    })
}
