//! What this worker's sessions hold, told anew: to a store that has forgotten it, and now and then so that a node that dies
//! leaves behind where its sessions were.
//!
//! Place in the data path: beside it. The broker asks for a part of the connections at a time.

use std::sync::Arc;

use tidegate_cluster::presence::Member;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::position::Position;

use super::Worker;
use crate::broker::standing::{Standing, Wish};
use crate::connection::{Endpoint, Phase};
use crate::native::{NativeClient, Place};

impl Worker {
    /// Tells the broker what is wished for of every session in this part of the connections.
    pub(super) fn tell_standing(&mut self, wish: Wish) {
        let mut standings = Vec::new();
        for (slot, connection) in &mut self.connections {
            let Phase::Open(Endpoint::Native(client)) = &mut connection.phase else { continue };
            if slot % wish.parts != wish.part || !client.session.is_ready() {
                continue;
            }
            let positions =
                positions(client, |channel| Some(self.hub.channel(channel)?.feed.as_ref()?.head()));
            let moved: u64 = positions.iter().map(|(_, position)| position.offset).sum();
            let has_moved = moved != std::mem::replace(&mut client.offsets_saved, moved);
            if let Some(standing) = standing(client, self.now_unix, wish, positions, has_moved) {
                standings.push(standing);
            }
        }
        if !standings.is_empty() {
            self.start(Arc::clone(&self.node.broker).restate(standings));
        }
    }
}

/// How far the members of channels with history are.
fn positions(client: &NativeClient, head: impl Fn(u32) -> Option<Position>) -> Vec<(ChannelName, Position)> {
    let live = client.subscriptions.iter().filter_map(|(_, held)| match held.place {
        Place::Live(membership) => Some((held.channel.clone(), head(membership.channel)?)),
        Place::Asked | Place::Gated(_) => None,
    });
    live.collect()
}

fn standing(
    client: &NativeClient,
    now: tidegate_protocol::time::Millis,
    wish: Wish,
    positions: Vec<(ChannelName, Position)>,
    has_moved: bool,
) -> Option<Standing> {
    let (session, grants) = (client.session.id()?, client.grants.as_ref()?);
    let member = |held: &crate::native::Subscription| {
        let info = grants.info.as_ref().map(|info| Arc::from(info.as_str().as_bytes()));
        let member = Member { session, user: Arc::clone(&grants.user), info, since: now };
        (held.channel.clone(), member)
    };
    let present: Vec<_> = match wish.presence {
        true => client
            .subscriptions
            .iter()
            .filter(|(_, held)| held.is_present)
            .map(|(_, held)| member(held))
            .collect(),
        false => Vec::new(),
    };
    let positions = if has_moved { positions } else { Vec::new() };
    (wish.places || !present.is_empty() || !positions.is_empty()).then(|| Standing {
        session,
        fence: client.fence,
        user: wish.places.then(|| Arc::clone(&grants.user)),
        positions,
        present,
    })
}
