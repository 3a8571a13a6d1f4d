//! [`Presence`] in memory. Channels are spread over shards by name.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::time::Millis;

use crate::answer::{Answer, Part, ready};
use crate::clock::Clock;
use crate::directory::Lease;
use crate::fence::Fence;
use crate::presence::{Ghost, Holder, Joined, Member, Members, Presence};

use super::count::{Counter, Level};
use super::leases::{Leases, Live, Tenure};
use super::shards::{Shards, lock};

/// Members of the channels of this process.
#[derive(Debug)]
pub struct MemoryPresence {
    config: PresenceConfig,
    clock: Clock,
    leases: Mutex<Leases<()>>,
    shards: Shards<HashMap<ChannelName, Room>>,
    channels: Level,
    members: Level,
    reaped_total: Counter,
    refused_total: Counter,
}

/// The bounds of a [`MemoryPresence`].
#[derive(Clone, Copy, Debug)]
pub struct PresenceConfig {
    /// Most channels with members.
    pub channels_max: usize,
    /// Most members of one channel.
    pub channel_members_max: usize,
    /// Most members over all channels.
    pub members_max: usize,
    /// Most nodes with a lease.
    pub nodes_max: usize,
}

/// What a [`MemoryPresence`] holds now and has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PresenceStats {
    /// Channels with members.
    pub channels: usize,
    /// Members over all channels, ghosts that were not reaped among them.
    pub members: usize,
    /// Nodes with a lease.
    pub nodes: usize,
    /// Ghosts handed out.
    pub reaped_total: u64,
    /// Joins and leases refused for lack of room.
    pub refused_total: u64,
}

/// Members of one channel.
type Room = BTreeMap<SessionId, Seat>;

#[derive(Debug)]
struct Seat {
    user: Arc<str>,
    info: Option<Arc<[u8]>>,
    since: Millis,
    fence: Fence,
    tenure: Tenure,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self { channels_max: 100_000, channel_members_max: 10_000, members_max: 500_000, nodes_max: 1_000 }
    }
}

impl MemoryPresence {
    /// Nobody anywhere.
    pub fn new(config: PresenceConfig, clock: Clock) -> Self {
        Self {
            config,
            clock,
            leases: Mutex::new(Leases::new(config.nodes_max)),
            shards: Shards::new(),
            channels: Level::default(),
            members: Level::default(),
            reaped_total: Counter::default(),
            refused_total: Counter::default(),
        }
    }

    /// What it holds and has done.
    pub fn stats(&self) -> PresenceStats {
        PresenceStats {
            channels: self.channels.now(),
            members: self.members.now(),
            nodes: lock(&self.leases).len(),
            reaped_total: self.reaped_total.total(),
            refused_total: self.refused_total.total(),
        }
    }

    fn seat(&self, channel: &Channel<'_>, member: Member, fence: Fence, tenure: Tenure) -> Joined {
        let mut shard = self.shards.lock(channel.as_str());
        let Some(room) = shard.get_mut(channel.as_str()) else {
            if !self.try_count(0, || self.channels.try_take(self.config.channels_max)) {
                return Joined::Full;
            }
            let (session, seat) = seat_of(member, fence, tenure);
            shard.insert(channel.into(), Room::from([(session, seat)]));
            return Joined::New;
        };
        if let Some(seat) = room.get_mut(&member.session) {
            if seat.fence > fence {
                return Joined::Fenced;
            }
            (seat.info, seat.fence, seat.tenure) = (member.info, fence, tenure);
            return Joined::Kept;
        }
        if !self.try_count(room.len(), || true) {
            return Joined::Full;
        }
        room.extend([seat_of(member, fence, tenure)]);
        Joined::New
    }

    /// Counts one member more, and what `also` counts with it, if nothing is at its bound.
    fn try_count(&self, channel_members: usize, also: impl FnOnce() -> bool) -> bool {
        let is_room = channel_members < self.config.channel_members_max
            && self.members.try_take(self.config.members_max);
        if is_room && also() {
            return true;
        }
        if is_room {
            self.members.give(1);
        }
        self.refused_total.add(1);
        false
    }

    fn unseat(&self, channel: &Channel<'_>, session: SessionId, fence: Fence) -> Option<Member> {
        let mut shard = self.shards.lock(channel.as_str());
        let room = shard.get_mut(channel.as_str())?;
        room.get(&session).filter(|seat| seat.fence <= fence)?;
        let seat = room.remove(&session)?;
        self.members.give(1);
        if room.is_empty() {
            shard.remove(channel.as_str());
            self.channels.give(1);
        }
        Some(seat.into_member(session))
    }

    /// Removes at most `limit` ghosts of one shard.
    fn reap_rooms(
        &self,
        rooms: &mut HashMap<ChannelName, Room>,
        live: &Live,
        limit: usize,
        ghosts: &mut Vec<Ghost>,
    ) {
        let before = ghosts.len();
        rooms.retain(|channel, room| {
            let room_limit = limit - (ghosts.len() - before);
            let dead = room.extract_if(.., |_, seat| !live.has(seat.tenure)).take(room_limit);
            ghosts.extend(dead.map(|(session, seat)| Ghost {
                channel: channel.clone(),
                member: seat.into_member(session),
            }));
            if room.is_empty() {
                self.channels.give(1);
            }
            !room.is_empty()
        });
        self.members.give(ghosts.len() - before);
    }
}

impl Presence for MemoryPresence {
    fn touch(&self, node: &NodeName, ttl: Duration) -> Answer<Lease> {
        let now = self.clock.now();
        let lease = lock(&self.leases).renew(node, now + ttl, (), now);
        if lease.is_none() {
            self.refused_total.add(1);
        }
        ready(lease.ok_or(Part::Presence.full()))
    }

    fn join(&self, channel: &Channel<'_>, member: Member, holder: Holder) -> Answer<Joined> {
        let now = self.clock.now();
        let tenure = lock(&self.leases).tenure(&holder.node, now);
        ready(Ok(match tenure {
            Some(tenure) => self.seat(channel, member, holder.fence, tenure),
            None => Joined::NoLease,
        }))
    }

    fn leave(&self, channel: &Channel<'_>, session: SessionId, fence: Fence) -> Answer<Option<Member>> {
        ready(Ok(self.unseat(channel, session, fence)))
    }

    fn list(&self, channel: &Channel<'_>, after: Option<SessionId>, limit: usize) -> Answer<Members> {
        let live = lock(&self.leases).live(self.clock.now());
        let shard = self.shards.lock(channel.as_str());
        let Some(room) = shard.get(channel.as_str()) else {
            return ready(Ok(Members { members: Vec::new(), total: 0 }));
        };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let members = room
            .range((start, Bound::Unbounded))
            .filter(|(_, seat)| live.has(seat.tenure))
            .take(limit)
            .map(|(session, seat)| seat.member(*session))
            .collect();
        let total = room.values().filter(|seat| live.has(seat.tenure)).count();
        ready(Ok(Members { members, total }))
    }

    fn reap(&self, limit: usize) -> Answer<Vec<Ghost>> {
        let live = lock(&self.leases).live(self.clock.now());
        let mut ghosts = Vec::new();
        if !live.is_all() {
            for mut rooms in self.shards.each() {
                let room = limit - ghosts.len();
                self.reap_rooms(&mut rooms, &live, room, &mut ghosts);
            }
        }
        self.reaped_total.add(ghosts.len() as u64);
        ready(Ok(ghosts))
    }
}

impl Seat {
    fn member(&self, session: SessionId) -> Member {
        Member { session, user: Arc::clone(&self.user), info: self.info.clone(), since: self.since }
    }

    fn into_member(self, session: SessionId) -> Member {
        Member { session, user: self.user, info: self.info, since: self.since }
    }
}

fn seat_of(member: Member, fence: Fence, tenure: Tenure) -> (SessionId, Seat) {
    let Member { session, user, info, since } = member;
    (session, Seat { user, info, since, fence, tenure })
}
