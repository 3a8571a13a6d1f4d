//! Publications that come in, put in order by the feed: after `worker/ingest.rs` and `broker/ingress.rs`.

use tidegate_protocol::command::StartFrom;
use tidegate_protocol::event::{self, Gap, Message};
use tidegate_protocol::json::RawJson;
use tidegate_protocol::position::Position;
use tidegate_session::{Feed, Intake, Past, PastEntry, Repaired};

use super::{Act, Call, Node, Publication, Purpose, TICK_MS};
use crate::known::{Measure, Seen};
use crate::store::{Entry, Page};
use crate::{CHANNELS, Mutation};

impl Node {
    /// The bus brings a publication.
    pub(crate) fn receive(&mut self, publication: Publication) {
        if let Some(link) = publication.link {
            self.known.note_link(publication.channel, publication.position, link);
        }
        self.distribute(publication);
    }

    /// A publication for the subscribers of this node.
    pub(crate) fn distribute(&mut self, publication: Publication) {
        let Publication { channel, position, .. } = publication;
        let Some(hub) = self.hub.get_mut(&channel) else { return };
        if self.mutation == Mutation::OrderIgnored {
            return self.pass_on(publication);
        }
        // Nobody has caught up yet: whoever does so reads what came before from history.
        let before = Position { offset: position.offset.saturating_sub(1), ..position };
        let feed = hub.feed.get_or_insert_with(|| Feed::new(before, None));
        match feed.handle_publication(position, publication.link, publication) {
            Intake::Deliver(ready) => ready.into_iter().for_each(|publication| self.pass_on(publication)),
            Intake::Duplicate => {}
            Intake::Held => self.note_gap(channel),
        }
    }

    /// Some channels' ends are looked at.
    pub(crate) fn look(&mut self) {
        if self.mutation == Mutation::NeverLooks || self.hub.is_empty() {
            return;
        }
        let channel = *self.hub.keys().nth(self.looked_at % self.hub.len()).expect("it is within");
        self.looked_at += 1;
        self.ask_heads(vec![(channel, self.known.measure(channel))]);
    }

    /// The connection to the store was made anew: what was seen is compared with what it has.
    pub(crate) fn sweep(&mut self) {
        self.is_sweeping = true;
        self.ask(Purpose::Sweep, Call::Heads(self.known.channels().collect()));
    }

    /// The bus is there again after an interruption: every channel with subscribers is listened to.
    pub(crate) fn listen_to_all(&mut self) {
        let channels: Vec<_> = self.hub.keys().copied().collect();
        for channel in channels {
            let question = self.question(Purpose::Nothing);
            self.listens.insert(channel);
            self.acts.push(Act::Listen { question, channel });
        }
    }

    /// Remembers what the store said of a stream; one that began again is looked at, so that its subscribers are told.
    pub(super) fn note(&mut self, channel: usize, seen: Seen, compared: Option<Seen>) {
        if self.known.note(channel, seen, compared) && self.hub.contains_key(&channel) {
            self.ask_heads(vec![(channel, self.known.measure(channel))]);
        }
    }

    pub(super) fn handle_heads(&mut self, heads: Vec<(usize, Option<Seen>)>) {
        for (channel, head) in heads {
            let Some(head) = head else { continue };
            let Some(feed) = self.hub.get_mut(&channel).and_then(|hub| hub.feed.as_mut()) else { continue };
            // Compared when its head is looked at the next time.
            if let Some(tag) = feed.head_tag() {
                self.known.note_sent(channel, Seen { position: feed.head(), tag });
            }
            if feed.compare(head.position) {
                self.note_gap(channel);
            }
        }
    }

    /// Reads from history what is still missing a tick after it was noticed.
    pub(super) fn repair_gaps(&mut self) {
        self.repair_at = None;
        for channel in std::mem::take(&mut self.gaps) {
            let feed = self.hub.get_mut(&channel).and_then(|hub| hub.feed.as_mut());
            let Some(feed) = feed else { continue };
            let Some(after) = feed.begin_repair() else { continue };
            if let Some(tag) = feed.head_tag() {
                self.known.note_sent(channel, Seen { position: after, tag });
            }
            let (from, known) = (StartFrom::Position(after), self.known.measure(channel));
            self.ask(Purpose::Repair { channel }, Call::Read { channel, from, known });
        }
    }

    /// History has said what was missing, or has not.
    pub(super) fn handle_repair(&mut self, channel: usize, page: Option<Page>) {
        // Some may have caught up with the answer to another channel: members are told by the hub.
        for gated in self.hub.get(&channel).map_or_else(Vec::new, |hub| hub.gated.clone()) {
            self.release_if_live(gated, channel);
        }
        let Some(feed) = self.hub.get_mut(&channel).and_then(|hub| hub.feed.as_mut()) else { return };
        let Some(page) = page else { return feed.handle_unreadable() };
        let Repaired { lost_before, ready } = feed.handle_past(past(channel, page));
        let next = feed.head().next();
        if feed.has_gap() {
            self.note_gap(channel);
        }
        if let Some(first) = lost_before {
            self.tell_gap(channel, first);
            self.tell_gated(channel, first);
        }
        ready.into_iter().for_each(|publication| self.pass_on(publication));
        self.tell_gated(channel, next);
    }

    /// Subscribers whose own catching up ended before what the others were told last.
    fn tell_gated(&mut self, channel: usize, next: Position) {
        let gated = self.hub.get(&channel).map_or_else(Vec::new, |hub| hub.gated.clone());
        for connection in gated {
            self.with_session(connection, |session, cx| session.handle_gap(CHANNELS[channel], next, cx));
            self.carry_out(connection);
        }
    }

    fn tell_gap(&mut self, channel: usize, first: Position) {
        let Some(hub) = self.hub.get(&channel) else { return };
        if self.mutation == Mutation::GapsNotTold {
            return;
        }
        let gap = Gap { channel: CHANNELS[channel].into(), position: Some(first) };
        for member in &hub.members {
            let Some(open) = self.connections.get_mut(member) else { continue };
            open.out.push(|out| event::append_gap(out, &gap));
        }
    }

    /// Gives a publication, whose turn it is, to those who are being caught up and to the members.
    fn pass_on(&mut self, publication: Publication) {
        let Some(hub) = self.hub.get(&publication.channel) else { return };
        let object = object(&publication);
        for member in &hub.members {
            if let Some(open) = self.connections.get_mut(member) {
                open.out.push_encoded(&object);
            }
        }
        for gated in hub.gated.clone() {
            let (name, position) = (CHANNELS[publication.channel], Some(publication.position));
            self.with_session(gated, |session, cx| session.handle_live(name, position, &object, cx));
            self.carry_out(gated);
            self.release_if_live(gated, publication.channel);
        }
    }

    pub(super) fn note_gap(&mut self, channel: usize) {
        self.gaps.insert(channel);
        self.repair_at.get_or_insert(self.now + TICK_MS);
    }

    fn ask_heads(&mut self, heads: Vec<(usize, Measure)>) {
        self.ask(Purpose::Heads, Call::Heads(heads));
    }

    /// Listens no more to channels that nobody here is subscribed to.
    pub(super) fn leave_departed(&mut self) {
        let departed: Vec<_> = self.listens.iter().filter(|at| !self.hub.contains_key(at)).copied().collect();
        for channel in departed {
            self.listens.remove(&channel);
            self.acts.push(Act::Unlisten { channel });
        }
    }
}

/// What members are sent: what was published, and the tag by which it is told from every other publication.
pub(super) fn object(publication: &Publication) -> Vec<u8> {
    let data = format!("[{},{}]", publication.number, publication.tag);
    let mut object = Vec::with_capacity(96);
    let message = Message {
        channel: CHANNELS[publication.channel].into(),
        data: RawJson::trusted(&data),
        offset: Some(publication.position.offset),
        from: None,
        trace: None,
    };
    event::append_message(&mut object, &message);
    object
}

pub(super) fn replayed(channel: usize, head: Seen, entry: &Entry) -> Publication {
    let position = Position { offset: entry.offset, ..head.position };
    Publication { channel, position, link: None, number: entry.number, tag: entry.tag.number() }
}

fn past(channel: usize, page: Page) -> Past<Publication> {
    let Page { head, recovered, entries } = page;
    let entry = |entry: &Entry| {
        let publication = replayed(channel, head, entry);
        PastEntry { offset: entry.offset, tag: Some(entry.tag), publication }
    };
    let entries = (recovered != Some(false)).then(|| entries.iter().map(entry).collect());
    Past { head: head.position, head_tag: Some(head.tag), entries }
}
