//! Publications that come in from the bus or the server API: put in order, then to the channel's subscribers.
//!
//! Place in the data path: between the mailbox and the hub. What is missing is read from history a tick after it was
//! noticed: mostly it is only late.

use std::sync::Arc;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::StartFrom;
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::event::{self, Gap};
use tidegate_protocol::position::Position;
use tidegate_session::{Feed, Intake, Past, PastEntry, Repaired};

use super::Worker;
use super::mail::{Mail, Publication};
use crate::broker::CaughtUp;
use crate::broker::outcome::Outcome;
use crate::config::namespaces::SlowReaderPolicy;
use crate::connection::outbox::shed::{Mark, Shed};
use crate::hub::ChannelIndex;
use crate::hub::directory::{ChannelEntry, Realm};
use crate::hub::run::Reach;

impl Worker {
    /// Takes in a publication that came by mail.
    pub(super) fn handle_publication(&mut self, entry: &ChannelEntry, publication: Arc<Publication>) {
        // The last subscriber may have left while it was on its way.
        let Some(channel) = self.hub.find(Realm::Native, &entry.name) else { return };
        let Some(position) = publication.position else {
            return self.pass_on(channel, &publication);
        };
        let Some(entry) = self.hub.channel_mut(channel) else { return };
        // Nobody has caught up yet: whoever does so reads what came before from history.
        let before = Position { offset: position.offset.saturating_sub(1), ..position };
        let feed = entry.feed.get_or_insert_with(|| Box::new(Feed::new(before, None)));
        match feed.handle_publication(position, publication.link, publication) {
            Intake::Deliver(ready) => ready.iter().for_each(|publication| self.pass_on(channel, publication)),
            Intake::Duplicate => self.stats.publications_duplicate.add(1),
            Intake::Held => {
                if !self.gaps.contains(&channel) {
                    self.gaps.push(channel);
                }
            }
        }
    }

    /// Gives a publication, whose turn it is, to those who are being caught up and to the members.
    fn pass_on(&mut self, channel: ChannelIndex, publication: &Publication) {
        let Some(entry) = self.hub.channel(channel) else { return };
        let (has_gated, has_members) = (!entry.gated().is_empty(), !entry.members().is_empty());
        let receivers = entry.gated().len() + entry.members().len();
        publication.fan_out.batch(self.index, receivers, publication.object.len());
        if has_members {
            let offset = publication.position.map(|position| position.offset);
            let mark = self.mark_of(channel, offset, publication.conflate);
            self.published
                .push_object(channel, Reach::Worker, mark, |out| out.extend_from_slice(&publication.object));
        }
        if has_gated {
            self.hand_to_gated(channel, publication);
        }
    }

    /// How a message may be left out for a slow reader of its channel; `None`: it may not.
    pub(super) fn mark_of(&self, channel: ChannelIndex, offset: Option<u64>, key: u64) -> Option<Mark> {
        let name = &self.hub.channel(channel)?.entry.name;
        let policy = match self.node.broker.namespaces.of(name).ok()?.slow_reader {
            SlowReaderPolicy::Close => return None,
            SlowReaderPolicy::DropOldest => Shed::Oldest,
            SlowReaderPolicy::Conflate => Shed::Replaced,
        };
        Some(Mark { channel, policy, offset: offset.unwrap_or(0), key })
    }

    /// Reads from history what is still missing a tick after it was noticed.
    pub(super) fn repair_gaps(&mut self) {
        for channel in std::mem::take(&mut self.gaps) {
            let Some(entry) = self.hub.channel_mut(channel) else { continue };
            let Some(feed) = entry.feed.as_mut() else { continue };
            let Some(after) = feed.begin_repair() else { continue };
            let tag = feed.head_tag();
            let entry = Arc::clone(&entry.entry);
            // A name that is listened to was checked when the first one subscribed.
            let Ok(name) = ChannelName::parse(&entry.name) else { continue };
            if let Some(tag) = tag {
                self.node.broker.outside.history.witness_sent(&name, after, tag);
            }
            self.stats.gaps_repaired.add(1);
            let past = Arc::clone(&self.node.broker).catch_up(name, StartFrom::Position(after));
            match Outcome::begin(past) {
                Outcome::Now(past) => self.handle_repair(&entry, past),
                Outcome::Later(later) => {
                    let (broker, worker) = (Arc::clone(&self.node.broker), self.index);
                    self.node.runtime.spawn(async move {
                        let past = Box::new(later.await);
                        broker.post(worker, Mail::Repair(entry, past)).await;
                    });
                }
            }
        }
    }

    /// History has said what was missing, or did not answer.
    pub(super) fn handle_repair(&mut self, entry: &ChannelEntry, past: Result<CaughtUp, ErrorBody>) {
        let Some(channel) = self.hub.find(Realm::Native, &entry.name) else { return };
        // Some may have caught up with the answer to another channel: members are told by the hub.
        self.release_live(channel);
        let Some(feed) = self.hub.channel_mut(channel).and_then(|entry| entry.feed.as_mut()) else { return };
        let past = match past {
            Ok(past) => past,
            Err(error) => {
                tracing::debug!(%error, channel = %entry.name, "missed publications could not be read");
                return feed.handle_unreadable();
            }
        };
        let Repaired { lost_before, ready } = feed.handle_past(past_of(past));
        let (has_gap, next) = (feed.has_gap(), feed.head().next());
        if has_gap && !self.gaps.contains(&channel) {
            self.gaps.push(channel);
        }
        if let Some(first) = lost_before {
            let gap = Gap { channel: (&*entry.name).into(), position: Some(first) };
            self.stats.gaps_told.add(1);
            self.published.push_object(channel, Reach::Worker, None, |out| event::append_gap(out, &gap));
            self.tell_gated(channel, first);
        }
        ready.iter().for_each(|publication| self.pass_on(channel, publication));
        self.tell_gated(channel, next);
    }

    /// Subscribers whose own catching up ended before what the others were told last.
    fn tell_gated(&mut self, channel: ChannelIndex, next: Position) {
        let Some(entry) = self.hub.channel(channel) else { return };
        let (gated, name) = (entry.gated().to_vec(), Arc::clone(&entry.entry.name));
        for member in gated {
            let slot = member.connection as usize;
            self.with_session(slot, |session, cx| session.handle_gap(&name, next, cx));
            self.finish_native(slot);
        }
    }

    /// The history of a channel ends at `head`: what has not come by then is read from it.
    pub(super) fn handle_head(&mut self, entry: &ChannelEntry, head: Position) {
        let Some(channel) = self.hub.find(Realm::Native, &entry.name) else { return };
        let Some(feed) = self.hub.channel_mut(channel).and_then(|entry| entry.feed.as_mut()) else { return };
        // Compared when the head is looked at the next time.
        if let Some(tag) = feed.head_tag()
            && let Ok(name) = ChannelName::parse(&entry.name)
        {
            self.node.broker.outside.history.witness_sent(&name, feed.head(), tag);
        }
        if feed.compare(head) {
            self.gaps.push(channel);
        }
    }
}

/// What was read, as publications of its channel.
fn past_of(past: CaughtUp) -> Past<Arc<Publication>> {
    let CaughtUp { head, head_tag, recovered, replay, kept } = past;
    let entries = replay.into_iter().zip(kept).map(|(replayed, kept)| {
        let position = Some(Position { offset: replayed.offset, ..head });
        let (conflate, object) = (kept.conflate, replayed.object);
        let publication = Arc::new(Publication { position, conflate, ..Publication::of(object) });
        PastEntry { offset: replayed.offset, tag: kept.tag, publication }
    });
    let entries = (recovered != Some(false)).then(|| entries.collect());
    Past { head, head_tag, entries }
}
