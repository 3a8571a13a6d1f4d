//! Channels of one worker: who listens, and what is on its way to them.
//!
//! Place in the data path: a message that a client published on this node, or that came from another worker, becomes a
//! run of encoded frames here; from the end of the turn on each member of its channel is sent the run with one write.
//! A turn delivers only so much: the rest of a large channel is its [`backlog`](Delivery), which the next turns go on with.
//! Which workers have members is kept in the [`directory`], so that a worker without any is never woken.

mod channel;
pub(crate) mod directory;
pub(crate) mod run;

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use slab::Slab;

pub(crate) use channel::{Channel, Delivery, Member, Moved};
use directory::{Directory, Realm};

/// Index of a channel within one worker.
pub(crate) type ChannelIndex = u32;

/// Bytes of all backlogs above which clients may not publish for a while.
const BACKLOG_BYTES_MAX: usize = 1 << 20;
/// Runs of all backlogs above which clients may not publish for a while; each join between two runs parts them.
const BACKLOG_RUNS_MAX: usize = 1024;

/// One worker's part of all channels.
pub(crate) struct Hub {
    worker: usize,
    directory: Arc<Directory>,
    realms: [HashMap<Arc<str>, ChannelIndex>; 2],
    channels: Slab<Channel>,
    /// Channels that nobody listens to any more, which this turn's publications may still name.
    deserted: Vec<ChannelIndex>,
    /// Channels with a backlog; each gets a part of a turn, the first one first.
    busy: VecDeque<ChannelIndex>,
    backlog_bytes: usize,
    backlog_runs: usize,
}

/// What a publication's `conflate` value is known by in outboxes; never 0.
pub(crate) fn conflate_key(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish().max(1)
}

/// Where a connection stands in the member list of its channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Membership {
    pub(crate) channel: ChannelIndex,
    pub(crate) position: u32,
}

impl Hub {
    pub(crate) fn new(worker: usize, directory: Arc<Directory>) -> Self {
        Self {
            worker,
            directory,
            realms: Default::default(),
            channels: Slab::new(),
            deserted: Vec::new(),
            busy: VecDeque::new(),
            backlog_bytes: 0,
            backlog_runs: 0,
        }
    }

    /// Adds a member. It gets what is published from now on. Bounded by the subscriptions that the worker's connections may
    /// have.
    pub(crate) fn join(&mut self, realm: Realm, name: &str, member: Member) -> Membership {
        let channel = self.find_or_add(realm, name);
        let entry = &mut self.channels[channel as usize];
        entry.entry.count_in();
        let position = entry.push(member);
        Membership { channel, position }
    }

    /// Removes a member. Others may move to keep the list without gaps: the result names them, and they have to be told.
    pub(crate) fn leave(&mut self, membership: Membership) -> Vec<Moved> {
        let entry = &mut self.channels[membership.channel as usize];
        entry.entry.count_out();
        let moved = entry.remove(membership.position);
        self.desert_if_empty(membership.channel);
        moved
    }

    /// Adds a subscriber that is being caught up: it is no member yet, but the channel is listened to.
    pub(crate) fn gate(&mut self, realm: Realm, name: &str, member: Member) -> ChannelIndex {
        let channel = self.find_or_add(realm, name);
        let entry = &mut self.channels[channel as usize];
        entry.entry.count_in();
        entry.gate(member);
        channel
    }

    /// A subscriber has been caught up.
    pub(crate) fn release(&mut self, channel: ChannelIndex, member: Member) -> Membership {
        let entry = &mut self.channels[channel as usize];
        entry.ungate(member);
        Membership { channel, position: entry.push(member) }
    }

    /// A subscriber that is being caught up leaves.
    pub(crate) fn ungate(&mut self, channel: ChannelIndex, member: Member) {
        let entry = &mut self.channels[channel as usize];
        entry.entry.count_out();
        entry.ungate(member);
        self.desert_if_empty(channel);
    }

    fn find_or_add(&mut self, realm: Realm, name: &str) -> ChannelIndex {
        if let Some(&channel) = self.realms[realm as usize].get(name) {
            return channel;
        }
        let entry = self.directory.join(realm, name, self.worker);
        let name = Arc::clone(&entry.name);
        let index = self.channels.insert(Channel::new(entry));
        let channel = u32::try_from(index).expect("a worker's subscriptions are counted by a u32");
        self.realms[realm as usize].insert(name, channel);
        channel
    }

    /// What is on its way to nobody is dropped. The channel itself stays until [`Hub::forget_deserted`].
    fn desert_if_empty(&mut self, index: ChannelIndex) {
        let channel = &mut self.channels[index as usize];
        if !channel.is_empty() {
            return;
        }
        let (bytes, runs) = channel.drop_backlog();
        self.busy.retain(|&busy| busy != index);
        self.forget_backlog(bytes, runs);
        self.deserted.push(index);
    }

    /// Forgets channels that nobody listens to. Only when no publication waits to be sent out: it would be lost for the
    /// other workers, or be taken for another channel's that got the index.
    pub(crate) fn forget_deserted(&mut self) {
        for index in std::mem::take(&mut self.deserted) {
            if self.channels.get(index as usize).is_some_and(Channel::is_empty) {
                let channel = self.channels.remove(index as usize);
                self.realms[channel.entry.realm as usize].remove(&channel.entry.name);
                self.directory.leave(&channel.entry, self.worker);
            }
        }
    }

    pub(crate) fn channel_mut(&mut self, index: ChannelIndex) -> Option<&mut Channel> {
        self.channels.get_mut(index as usize)
    }

    pub(crate) fn channel(&self, index: ChannelIndex) -> Option<&Channel> {
        self.channels.get(index as usize)
    }

    /// The channel of this name, if it has members here.
    pub(crate) fn find(&self, realm: Realm, name: &str) -> Option<ChannelIndex> {
        self.realms[realm as usize].get(name).copied()
    }

    /// Keeps a run whose delivery has come to the member at `delivery.next`, or has not begun, for the next turns.
    pub(crate) fn keep(&mut self, channel: ChannelIndex, delivery: Delivery) {
        let Some(entry) = self.channels.get_mut(channel as usize) else { return };
        if entry.backlog_runs() == 0 {
            self.busy.push_back(channel);
        }
        self.backlog_bytes += delivery.frames.len();
        self.backlog_runs += usize::from(entry.keep(delivery));
    }

    /// The channel whose turn it is to go on with its first run. The run is taken out for the time of the work:
    /// [`Hub::put_back`] has to follow.
    pub(crate) fn take_busy(&mut self) -> Option<(ChannelIndex, Delivery)> {
        let channel = self.busy.pop_front()?;
        let delivery = self.channels[channel as usize].take_first()?;
        Some((channel, delivery))
    }

    /// Puts back what [`Hub::take_busy`] gave, with `next` as far as it came.
    pub(crate) fn put_back(&mut self, channel: ChannelIndex, delivery: Delivery) {
        let Some(entry) = self.channels.get_mut(channel as usize) else { return };
        if let Some(bytes) = entry.put_back(delivery) {
            self.forget_backlog(bytes, 1);
        }
        if self.channels[channel as usize].backlog_runs() > 0 {
            self.busy.push_back(channel);
        }
    }

    /// Whether some delivery is under way.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Whether so much is under way that nothing more may be published for a while.
    pub(crate) fn is_full(&self) -> bool {
        self.backlog_bytes >= BACKLOG_BYTES_MAX || self.backlog_runs >= BACKLOG_RUNS_MAX
    }

    fn forget_backlog(&mut self, bytes: usize, runs: usize) {
        self.backlog_bytes -= bytes;
        self.backlog_runs -= runs;
    }

    /// Channels with members on this worker.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.channels.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(connection: u32) -> Member {
        Member { connection, subscription: 0 }
    }

    fn run(frames: &[u8], next: u32, end: u32) -> Delivery {
        Delivery { frames: frames.to_vec(), messages: 1, next, end, ..Delivery::default() }
    }

    #[test]
    fn a_channel_lives_as_long_as_it_has_members_and_so_does_the_workers_interest() {
        let directory: Arc<Directory> = Arc::default();
        let mut here = Hub::new(0, Arc::clone(&directory));
        let mut there = Hub::new(1, Arc::clone(&directory));
        let first = here.join(Realm::Raw, "a", member(1));
        let second = there.join(Realm::Raw, "a", member(2));
        let entry = Arc::clone(&here.channel(first.channel).unwrap().entry);
        assert_eq!(entry.other_workers(0).collect::<Vec<_>>(), [1]);

        there.leave(second);
        there.forget_deserted();
        assert_eq!(entry.other_workers(0).count(), 0);
        assert_eq!(there.find(Realm::Raw, "a"), None);
        here.leave(first);
        here.forget_deserted();
        assert_eq!(directory.len(), 0);
        assert_eq!(here.len(), 0);
    }

    #[test]
    fn a_deserted_channel_keeps_its_index_until_it_is_forgotten_and_may_come_to_life_again() {
        let mut hub = Hub::new(0, Arc::default());
        let (a, b) = (hub.join(Realm::Raw, "a", member(1)), hub.join(Realm::Raw, "b", member(1)));
        hub.leave(a);
        hub.leave(b);
        assert_ne!(hub.join(Realm::Raw, "c", member(2)).channel, a.channel);
        assert_eq!(hub.join(Realm::Raw, "b", member(3)).channel, b.channel);

        hub.forget_deserted();

        assert_eq!((hub.find(Realm::Raw, "a"), hub.find(Realm::Raw, "b")), (None, Some(b.channel)));
    }

    #[test]
    fn channels_with_a_backlog_take_turns() {
        let mut hub = Hub::new(0, Arc::default());
        let a = hub.join(Realm::Raw, "a", member(1)).channel;
        let b = hub.join(Realm::Raw, "b", member(2)).channel;
        hub.keep(a, run(b"a1", 0, 1));
        hub.keep(a, run(b"a2", 0, 1));
        hub.keep(b, run(b"b", 0, 1));

        let mut order = Vec::new();
        while let Some((channel, mut delivery)) = hub.take_busy() {
            order.push(String::from_utf8(delivery.frames.clone()).unwrap());
            delivery.next = delivery.end;
            hub.put_back(channel, delivery);
        }
        assert_eq!(order, ["a1a2", "b"], "runs for the same members are one");
        assert!(!hub.has_backlog());
        assert_eq!((hub.backlog_bytes, hub.backlog_runs), (0, 0));
    }

    #[test]
    fn a_backlog_ends_with_its_channel() {
        let mut hub = Hub::new(0, Arc::default());
        let membership = hub.join(Realm::Raw, "a", member(1));
        hub.keep(membership.channel, run(&vec![0; BACKLOG_BYTES_MAX], 0, 1));
        assert!(hub.is_full());
        hub.leave(membership);
        assert!(!hub.is_full() && !hub.has_backlog());
        assert_eq!(hub.take_busy().map(|(channel, _)| channel), None);
    }
}
