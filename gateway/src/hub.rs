//! Channels of one worker: who listens, and what this turn published.
//!
//! Place in the data path: a message that a client published on this node, or that came from another worker, becomes a
//! run of encoded frames here; at the end of the turn each member of its channel is sent the run with one write.
//! Which workers have members is kept in the [`directory`], so that a worker without any is never woken.

pub(crate) mod directory;
pub(crate) mod run;

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use directory::{ChannelEntry, Directory};

/// Index of a channel within one worker.
pub(crate) type ChannelIndex = u32;

/// One worker's part of all channels.
pub(crate) struct Hub {
    worker: usize,
    directory: Arc<Directory>,
    by_name: HashMap<Arc<str>, ChannelIndex>,
    channels: Slab<Channel>,
}

/// A channel with at least one member on this worker.
pub(crate) struct Channel {
    pub(crate) entry: Arc<ChannelEntry>,
    /// Members, as indexes into the worker's connections, in no order.
    pub(crate) members: Vec<u32>,
}

/// Where a connection stands in the member list of its channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Membership {
    pub(crate) channel: ChannelIndex,
    pub(crate) position: u32,
}

impl Hub {
    pub(crate) fn new(worker: usize, directory: Arc<Directory>) -> Self {
        Self { worker, directory, by_name: HashMap::new(), channels: Slab::new() }
    }

    /// Adds a member. Bounded by the connections a worker may hold, since each is a member once.
    pub(crate) fn join(&mut self, name: &str, connection: u32) -> Membership {
        let channel = match self.by_name.get(name) {
            Some(&channel) => channel,
            None => {
                let entry = self.directory.join(name, self.worker);
                let name = Arc::clone(&entry.name);
                let index = self.channels.insert(Channel { entry, members: Vec::new() });
                let channel =
                    u32::try_from(index).expect("channels are fewer than connections, which are a u32");
                self.by_name.insert(name, channel);
                channel
            }
        };
        let members = &mut self.channels[channel as usize].members;
        members.push(connection);
        Membership {
            channel,
            position: u32::try_from(members.len() - 1).expect("connections are counted by a u32"),
        }
    }

    /// Removes a member. Another member may move to its position: then the result names it, and its connection has to
    /// be told.
    pub(crate) fn leave(&mut self, membership: Membership) -> Option<u32> {
        let channel = &mut self.channels[membership.channel as usize];
        channel.members.swap_remove(membership.position as usize);
        let moved = channel.members.get(membership.position as usize).copied();
        if channel.members.is_empty() {
            let channel = self.channels.remove(membership.channel as usize);
            self.by_name.remove(&channel.entry.name);
            self.directory.leave(&channel.entry, self.worker);
        }
        moved
    }

    pub(crate) fn channel(&self, index: ChannelIndex) -> Option<&Channel> {
        self.channels.get(index as usize)
    }

    /// The channel of this name, if it has members here.
    pub(crate) fn find(&self, name: &str) -> Option<ChannelIndex> {
        self.by_name.get(name).copied()
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

    #[test]
    fn the_last_member_fills_the_gap_and_is_named() {
        let mut hub = Hub::new(0, Arc::default());
        let members: Vec<_> = (10..14).map(|connection| hub.join("a", connection)).collect();
        assert_eq!(hub.leave(members[1]), Some(13));
        assert_eq!(hub.channel(members[0].channel).unwrap().members, [10, 13, 12]);
        assert_eq!(hub.leave(members[2]), None);
        assert_eq!(hub.len(), 1);
    }

    #[test]
    fn a_channel_lives_as_long_as_it_has_members_and_so_does_the_workers_interest() {
        let directory: Arc<Directory> = Arc::default();
        let mut here = Hub::new(0, Arc::clone(&directory));
        let mut there = Hub::new(1, Arc::clone(&directory));
        let first = here.join("a", 1);
        let second = there.join("a", 2);
        let entry = Arc::clone(&here.channel(first.channel).unwrap().entry);
        assert_eq!(entry.other_workers(0).collect::<Vec<_>>(), [1]);

        there.leave(second);
        assert_eq!(entry.other_workers(0).count(), 0);
        assert_eq!(there.find("a"), None);
        here.leave(first);
        assert_eq!(directory.len(), 0);
    }
}
