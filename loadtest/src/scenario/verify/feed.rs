//! One channel as one subscriber gets it: streams of all publishers, and the server's numbers over them.
//!
//! Place in the data path: `clients.rs` gives it the reply to `connect` and each publication; what is wrong goes to the tally.
//! On a channel with history every publication must come once and in order, over all connections. On one without, whoever was
//! away may miss some.

use std::fmt;

use tidegate_protocol::event::ChannelState;
use tidegate_protocol::position::Position;

use super::publisher::Ack;
use super::stream::{Arrival, Excuse, Missing, Stream};
use super::tally::{Tally, Wrong};
use super::told::Told;

/// A subscription, over all connections of its subscriber.
#[derive(Debug)]
pub(super) struct Feed {
    /// Index of the channel.
    pub(super) channel: usize,
    /// The last publication seen; `None`: the channel keeps nothing.
    position: Option<Position>,
    catch_up: CatchUp,
    told: Told,
    /// By publisher.
    streams: Box<[Stream]>,
}

/// What is still to come of the time before the last `connect`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CatchUp {
    /// No reply has come yet.
    Unknown,
    /// The connection is gone, and no reply has come on the next. Publications up to this offset were acknowledged before the
    /// subscriber set out to come back.
    Away { head: u64 },
    /// Nothing: all is live.
    Live,
    /// `recovered: true`: everything up to this offset, at least.
    Promised { head: u64 },
    /// `recovered: false`: nothing up to this offset may come.
    Denied { head: u64 },
}

/// Whose it is, for messages about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    pub(super) subscriber: usize,
    pub(super) channel: &'p str,
}

/// Which publication of whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Numbered {
    pub(super) publisher: usize,
    pub(super) number: u64,
    /// The server refused it for now, and later ones came first: it may come after them.
    pub(super) was_overtaken: bool,
    /// It was sent more than once.
    pub(super) was_repeated: bool,
    /// The last time by another session than before, which its publisher was told: by keys of its own.
    pub(super) has_lost_key: bool,
}

/// What publishers know of a channel at the end of a run.
pub(super) trait Published {
    /// How many of a publisher's messages have to be there.
    fn count(&self, publisher: usize) -> u64;
    /// What the server said to one of them; `None`: nothing.
    fn ack(&self, publisher: usize, number: u64) -> Option<Ack>;
    /// Where the channel ends.
    fn head(&self) -> Option<Position>;
}

/// When a message was published, as the server tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Age {
    Live,
    /// While the subscriber was away.
    Replayed,
}

impl Feed {
    pub(super) fn new(channel: usize, publishers: usize) -> Self {
        let streams = vec![Stream::default(); publishers].into_boxed_slice();
        Self { channel, position: None, catch_up: CatchUp::Unknown, told: Told::default(), streams }
    }

    /// Where to go on from.
    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }

    /// Is the past complete, or given up?
    pub(super) fn is_caught_up(&self) -> bool {
        matches!(self.catch_up, CatchUp::Live | CatchUp::Denied { .. })
    }

    /// Has no reply come yet, or none since the connection was lost?
    pub(super) fn is_away(&self) -> bool {
        matches!(self.catch_up, CatchUp::Unknown | CatchUp::Away { .. })
    }

    /// The connection is gone: until the next reply nothing may come. What was promised for it and not there yet is no lie.
    pub(super) fn handle_away(&mut self) {
        self.catch_up = CatchUp::Away { head: 0 };
    }

    /// The subscriber sets out to come back; `head` is the newest publication of the channel that anybody knows of. The server
    /// does not say it: its reply tells where the messages that follow begin.
    pub(super) fn handle_return(&mut self, head: Option<Position>) {
        if let (CatchUp::Away { .. }, Some(own), Some(head)) = (self.catch_up, self.position, head)
            && own.epoch == head.epoch
        {
            self.catch_up = CatchUp::Away { head: head.offset };
        }
    }

    /// What the reply to `connect` says of the channel.
    pub(super) fn handle_state(&mut self, state: ChannelState, place: Place<'_>, tally: &mut Tally) {
        let before = std::mem::replace(&mut self.position, state.position);
        let known_head = if let CatchUp::Away { head } = self.catch_up { head } else { 0 };
        self.catch_up = match (before, state.position, state.recovered) {
            // The first connection, or a channel that keeps nothing.
            (None, _, _) => {
                if matches!(self.catch_up, CatchUp::Away { .. }) {
                    self.excuse(Excuse::Away);
                }
                CatchUp::Live
            }
            (Some(before), Some(head), Some(true)) => {
                tally.recovered += 1;
                if before.epoch != head.epoch {
                    tally.found(Wrong::FalseClaim, 1, || {
                        format!("{place}: recovered: true, from an epoch that is over")
                    });
                }
                self.position = Some(before);
                let head = head.offset.max(known_head);
                if before.offset < head { CatchUp::Promised { head } } else { CatchUp::Live }
            }
            (Some(before), Some(head), Some(false)) => {
                tally.not_recovered += 1;
                self.note_loss(before, head);
                CatchUp::Denied { head: head.offset }
            }
            (Some(_), Some(_), None) => {
                tally.found(Wrong::Protocol, 1, || {
                    format!("{place}: the reply does not say whether the position was recovered")
                });
                CatchUp::Live
            }
            (Some(_), None, _) => {
                tally.found(Wrong::Protocol, 1, || format!("{place}: had a history, and has none any more"));
                CatchUp::Live
            }
        };
    }

    /// `gap`: what is before this position will not come.
    pub(super) fn handle_gap(&mut self, position: Option<Position>) {
        match (self.position, position) {
            (Some(own), Some(told)) => {
                // The position told is that of the first message that is not lost.
                let before = told.offset.saturating_sub(1);
                let known = if own.epoch == told.epoch { own.offset } else { 0 };
                let next = Position { epoch: told.epoch, offset: before.max(known) };
                self.note_loss(own, next);
                self.position = Some(next);
            }
            (None, _) | (_, None) => self.excuse(Excuse::Told),
        }
        if let CatchUp::Promised { head } = self.catch_up
            && self.position.is_none_or(|own| own.offset >= head)
        {
            self.catch_up = CatchUp::Live;
        }
    }

    /// One publication. Says whether it is from before the subscriber set out.
    pub(super) fn handle_message(
        &mut self,
        of: Numbered,
        offset: Option<u64>,
        place: Place<'_>,
        tally: &mut Tally,
    ) -> Age {
        let Numbered { publisher, number, .. } = of;
        if matches!(self.catch_up, CatchUp::Unknown | CatchUp::Away { .. }) {
            tally.found(Wrong::Protocol, 1, || format!("{place}: a message before the reply to connect"));
        }
        let arrival = self.streams[publisher].arrive(number);
        let age = match (self.position, offset) {
            (Some(position), Some(offset)) => self.take_offset(position, offset, &arrival, place, tally),
            (None, None) => Age::Live,
            (Some(_), None) | (None, Some(_)) => {
                tally.found(Wrong::Protocol, 1, || {
                    format!("{place}: the reply and the message differ on whether there are offsets")
                });
                Age::Live
            }
        };
        match arrival {
            Arrival::Due | Arrival::Skipping(_) => {}
            Arrival::Late if of.was_overtaken => {}
            Arrival::Late => tally.found(Wrong::Reordered, 1, || {
                format!(
                    "{place}: message {number} of publisher {publisher} is reordered, later ones came before"
                )
            }),
            Arrival::AgainAnew if of.was_repeated => tally.found(Wrong::DuplicatedAsTold, 1, || {
                format!(
                    "{place}: message {number} of publisher {publisher} is duplicated, sent again and taken \
                     again after the channel began anew"
                )
            }),
            Arrival::Again | Arrival::AgainAnew if of.has_lost_key => {
                tally.found(Wrong::DuplicatedAsTold, 1, || {
                    format!(
                        "{place}: message {number} of publisher {publisher} is duplicated, sent again by a \
                         new session"
                    )
                });
            }
            Arrival::Again | Arrival::AgainAnew => tally.found(Wrong::Duplicated, 1, || {
                format!("{place}: message {number} of publisher {publisher} is duplicated")
            }),
        }
        age
    }

    /// Has everything come, given how many each publisher published on the channel?
    pub(super) fn is_complete(&self, published: impl Fn(usize) -> u64) -> bool {
        self.streams.iter().enumerate().all(|(publisher, stream)| stream.is_complete(published(publisher)))
    }

    /// The server refused this publication: it need not come.
    pub(super) fn forgive(&mut self, publisher: usize, number: u64) {
        self.streams[publisher].arrive(number);
    }

    /// The run is over: what did not come is lost.
    pub(super) fn settle(&self, published: &impl Published, place: Place<'_>, tally: &mut Tally) {
        self.check_promise(u64::MAX, place, tally);
        for (publisher, stream) in self.streams.iter().enumerate() {
            let (mut lost, mut told) = (Vec::new(), 0);
            for Missing { numbers, excuse } in stream.missing(published.count(publisher)) {
                for number in numbers {
                    // Nobody is owed what was not acknowledged, nor has lost what lies ahead.
                    let Some(ack) = published.ack(publisher, number) else { continue };
                    if self.is_ahead(ack) {
                        tally.missed_away += 1;
                        continue;
                    }
                    match self.excuse_of(ack, excuse, published) {
                        Excuse::None => lost.push(number),
                        Excuse::Away => tally.missed_away += 1,
                        Excuse::Told => told += 1,
                    }
                }
            }
            tally.found(Wrong::Lost, lost.len() as u64, || {
                let (count, from) = (lost.len(), lost[0]);
                format!("{place}: {count} messages of publisher {publisher} are lost, from number {from} on")
            });
            tally.found(Wrong::LostAsTold, told, || {
                format!("{place}: {told} messages of publisher {publisher} are lost, and the server says so")
            });
        }
    }

    /// Whether a message lies behind where a subscriber has got to that is not back at the end: it has not been told yet what
    /// became of that, and counts as one that is not back.
    fn is_ahead(&self, ack: Ack) -> bool {
        let Some((at, own)) = ack.position.zip(self.position) else { return false };
        let is_ahead = match at.epoch == own.epoch {
            true => at.offset > own.offset,
            false => !self.told.names(at.epoch),
        };
        self.is_away() && is_ahead
    }

    /// What is said for a message that never came: where it has a place, whether the subscriber was told of that.
    fn excuse_of(&self, ack: Ack, excuse: Excuse, published: &impl Published) -> Excuse {
        match (ack.position, self.position, published.head()) {
            (Some(at), Some(own), Some(head)) if self.told.covers(at, own, head.epoch) => Excuse::Told,
            _ => excuse,
        }
    }

    fn take_offset(
        &mut self,
        position: Position,
        offset: u64,
        arrival: &Arrival,
        place: Place<'_>,
        tally: &mut Tally,
    ) -> Age {
        let last = position.offset;
        if offset <= last {
            if matches!(arrival, Arrival::Due | Arrival::Skipping(_)) {
                tally.found(Wrong::Reordered, 1, || {
                    format!("{place}: offset {offset} is reordered, {last} came before")
                });
            }
        } else {
            self.check_promise(offset, place, tally);
            self.position = Some(Position { offset, ..position });
        }
        match self.catch_up {
            CatchUp::Promised { head } => {
                if offset >= head {
                    self.catch_up = CatchUp::Live;
                }
                if offset <= head { Age::Replayed } else { Age::Live }
            }
            CatchUp::Denied { head } if offset <= head => {
                tally.found(Wrong::FalseClaim, 1, || {
                    format!("{place}: offset {offset} is replayed after recovered: false")
                });
                Age::Replayed
            }
            CatchUp::Denied { .. } | CatchUp::Live | CatchUp::Unknown | CatchUp::Away { .. } => Age::Live,
        }
    }

    /// Offset `next` comes: what was promised and lies before it does not come in its place.
    fn check_promise(&self, next: u64, place: Place<'_>, tally: &mut Tally) {
        let (CatchUp::Promised { head }, Some(position)) = (self.catch_up, self.position) else { return };
        let skipped = (next - 1).min(head).saturating_sub(position.offset);
        if skipped > 0 {
            tally.found(Wrong::FalseClaim, skipped, || {
                format!(
                    "{place}: recovered: true, but {skipped} messages after offset {} are not replayed",
                    position.offset
                )
            });
        }
    }

    /// The server says that what lies between the two will not come.
    fn note_loss(&mut self, from: Position, to: Position) {
        if self.told.note(from, to) {
            self.streams.iter_mut().for_each(Stream::begin_anew);
        }
    }

    fn excuse(&mut self, excuse: Excuse) {
        self.streams.iter_mut().for_each(|stream| stream.excuse(excuse));
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subscriber {} on {}", self.subscriber, self.channel)
    }
}

#[cfg(test)]
mod tests;
