//! Sending clients away, a few at a time: who goes next, who was told and has not gone.
//!
//! Place in the data path: at the beginning of a turn, as far as a drain has said so by mail. Who has been silent goes
//! first, then who came first; who waits for the answer to a publish goes last. Nobody is closed within a message of
//! its own, and what is under way to a client goes out before its close frame.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::Token;
use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::time::whole_ms;
use tidegate_wire::decode::State;

use super::wheel::{TICKS_PER_SECOND, Tick, ticks};
use super::{FAREWELLS_A_TURN, Worker};
use crate::connection::{Connection, Endpoint, Phase};
use crate::drain::machine::Manner;

/// An order to send some clients away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eviction {
    pub(crate) count: u64,
    pub(crate) manner: Manner,
    pub(crate) cause: CloseCause,
    /// Over what time they come back: each is told another moment.
    pub(crate) spread: Duration,
}

/// What a worker knows of those who are to go.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// What is left of the orders; how many it was at first tells the moments apart.
    due: Option<(Eviction, u64)>,
    /// Who has not been told, the next one last.
    queue: Vec<Candidate>,
    /// When that was last written down.
    listed_at: Option<Tick>,
    /// Who was told, the earliest first.
    asked: VecDeque<Asked>,
}

/// By whom it goes first: the fields in their order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Candidate {
    awaits_answers: bool,
    is_in_message: bool,
    is_lively: bool,
    accepted_at: Instant,
    token: Token,
}

/// A client that was told to leave.
#[derive(Clone, Copy, Debug)]
struct Asked {
    close_at: Tick,
    token: Token,
    cause: CloseCause,
    /// Times that it was in the middle of something when its time was over.
    put_off: u8,
}

/// A client counts as silent after so long.
const SILENT_TICKS: Tick = 5 * TICKS_PER_SECOND;
/// How often the list of who is left is made anew when it has run out: it goes through all connections.
const LIST_TICKS: Tick = TICKS_PER_SECOND / 4;
/// How long a close waits for the end of what a client is in the middle of, and how many times.
const PUT_OFF_TICKS: Tick = TICKS_PER_SECOND / 2;
const PUT_OFF_MAX: u8 = 4;

impl Worker {
    /// More clients are to go, in this manner.
    pub(super) fn handle_eviction(&mut self, eviction: Eviction) {
        let left = self.departures.due.map_or(0, |(due, _)| due.count);
        let count = left + eviction.count;
        self.departures.due = Some((Eviction { count, ..eviction }, count));
    }

    /// Nobody is to go any more; those who were told and stay anyway may.
    pub(super) fn spare(&mut self) {
        if let Some((due, _)) = self.departures.due.take() {
            self.node.drain.evictions_done(due.count);
        }
        self.departures.queue = Vec::new();
        for asked in std::mem::take(&mut self.departures.asked) {
            if let Some(slot) = self.slot_of(asked.token)
                && std::mem::take(&mut self.connections[slot].is_asked_to_leave)
                && matches!(self.connections[slot].phase, Phase::Open(_))
            {
                self.stats.drain_asked.sub(1);
            }
        }
    }

    /// Whether there is something to do for the next turn.
    pub(super) fn is_evicting(&self) -> bool {
        let is_due = |asked: &Asked| asked.close_at <= self.now;
        self.departures.due.is_some() || self.departures.asked.front().is_some_and(is_due)
    }

    /// Sends some clients away, and closes some who were told and did not go.
    pub(super) fn evict(&mut self) {
        self.close_asked();
        let mut farewells = 0;
        while let Some((due, at_first)) = self.departures.due
            && farewells < FAREWELLS_A_TURN
        {
            let next = if due.count > 0 { self.next_to_go(&due) } else { None };
            let Some(slot) = next else {
                self.node.drain.evictions_done(due.count);
                self.departures.due = None;
                return;
            };
            let count = due.count - 1;
            self.departures.due = Some((Eviction { count, ..due }, at_first));
            self.send_one_away(slot, &due, due.spread.mul_f64(fraction(count, at_first)));
            // Only now: whoever looks at the counts must not find a client in neither.
            self.node.drain.evictions_done(1);
            farewells += 1;
        }
    }

    fn send_one_away(&mut self, slot: usize, due: &Eviction, after: Duration) {
        // Whoever is closed in a hurry may have been told before.
        if !self.connections[slot].is_asked_to_leave {
            self.stats.drain_moved.add(1);
        }
        let is_native = self.is_native(slot);
        match due.manner {
            Manner::Ask { grace } if is_native && !grace.is_zero() => {
                let (after_ms, within_ms) = (whole_ms(after), whole_ms(grace));
                self.connections[slot].is_asked_to_leave = true;
                self.stats.drain_asked.add(1);
                let token = Connection::token(slot, self.connections[slot].generation);
                let close_at = self.now + ticks(grace);
                self.departures.asked.push_back(Asked { close_at, token, cause: due.cause, put_off: 0 });
                self.with_session(slot, |session, cx| {
                    session.handle_drain(after_ms, within_ms, due.cause, cx);
                });
                self.finish_native(slot);
            }
            Manner::Ask { .. } => {
                self.stats.drain_closed.add(1);
                self.end(slot, due.cause);
            }
            Manner::Force => {
                self.stats.drain_forced.add(1);
                self.end(slot, due.cause);
            }
        }
    }

    /// Closes those whose time to leave by themselves is over.
    fn close_asked(&mut self) {
        for _ in 0..FAREWELLS_A_TURN {
            let Some(&asked) = self.departures.asked.front().filter(|asked| asked.close_at <= self.now)
            else {
                return;
            };
            self.departures.asked.pop_front();
            let Some(slot) = self.slot_of(asked.token).filter(|&slot| self.is_open(slot)) else { continue };
            if asked.put_off < PUT_OFF_MAX && self.is_in_the_middle(slot) {
                let later = Asked { close_at: self.now + PUT_OFF_TICKS, put_off: asked.put_off + 1, ..asked };
                self.departures.asked.push_back(later);
                continue;
            }
            self.stats.drain_closed.add(1);
            self.end(slot, asked.cause);
        }
    }

    /// Who goes next; with force, those who were told too.
    fn next_to_go(&mut self, due: &Eviction) -> Option<usize> {
        let is_forced = due.manner == Manner::Force;
        // Nobody has to go for the sake of balance who cannot go on where it was.
        let only_resumable = due.cause == CloseCause::Rebalance;
        loop {
            while let Some(candidate) = self.departures.queue.pop() {
                let Some(slot) = self.slot_of(candidate.token).filter(|&slot| self.is_open(slot)) else {
                    continue;
                };
                if self.connections[slot].is_asked_to_leave && !is_forced {
                    continue;
                }
                // A client that can be told decides itself when it is done; any other would lose its message.
                let is_native = self.is_native(slot);
                if only_resumable && !is_native || !is_forced && !is_native && self.is_in_the_middle(slot) {
                    continue;
                }
                return Some(slot);
            }
            let is_recent = |at: Tick| self.now < at + LIST_TICKS;
            if self.departures.listed_at.is_some_and(is_recent) {
                return None;
            }
            self.list_candidates(is_forced);
        }
    }

    fn list_candidates(&mut self, with_asked: bool) {
        self.departures.listed_at = Some(self.now);
        let mut queue = std::mem::take(&mut self.departures.queue);
        queue.extend(self.connections.iter().filter_map(|(slot, connection)| {
            let is_left =
                matches!(connection.phase, Phase::Open(_)) && (with_asked || !connection.is_asked_to_leave);
            is_left.then(|| Candidate {
                awaits_answers: awaits_answers(connection),
                is_in_message: is_in_message(connection),
                is_lively: self.now.saturating_sub(connection.seen) < SILENT_TICKS,
                accepted_at: connection.accepted_at,
                token: Connection::token(slot, connection.generation),
            })
        }));
        queue.sort_unstable_by(|one, other| other.cmp(one));
        self.departures.queue = queue;
    }

    fn is_open(&self, slot: usize) -> bool {
        matches!(self.connections[slot].phase, Phase::Open(_))
    }

    fn is_native(&self, slot: usize) -> bool {
        matches!(self.connections[slot].phase, Phase::Open(Endpoint::Native(_)))
    }

    fn is_in_the_middle(&self, slot: usize) -> bool {
        let connection = &self.connections[slot];
        is_in_message(connection) || awaits_answers(connection)
    }

    /// An open connection ends: it counts no more among those who were told.
    pub(super) fn note_departure(&mut self, slot: usize, cause: CloseCause) {
        if std::mem::take(&mut self.connections[slot].is_asked_to_leave) {
            self.stats.drain_asked.sub(1);
            if !cause.is_departure() {
                self.stats.drain_left.add(1);
            }
        }
    }
}

/// Whether some of a message of the client's is here, and some is not.
fn is_in_message(connection: &Connection) -> bool {
    connection.stash.is_some() || connection.decoder.state() != State::Idle
}

/// Whether a command of the client's, a publish for instance, has not been answered.
fn awaits_answers(connection: &Connection) -> bool {
    match &connection.phase {
        Phase::Open(Endpoint::Native(client)) => client.session.has_pending(),
        Phase::Open(_) | Phase::Handshaking(_) | Phase::Closing(_) => false,
    }
}

#[expect(clippy::cast_precision_loss, reason = "orders name far fewer than 2^52 clients")]
fn fraction(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silent_go_first_then_the_oldest_and_last_who_waits_for_an_answer() {
        let now = Instant::now();
        let old = Candidate {
            awaits_answers: false,
            is_in_message: false,
            is_lively: false,
            accepted_at: now,
            token: Token(1),
        };
        let young = Candidate { accepted_at: now + Duration::from_secs(1), token: Token(2), ..old };
        let lively = Candidate { is_lively: true, token: Token(3), ..old };
        let in_message = Candidate { is_in_message: true, token: Token(4), ..old };
        let awaits = Candidate { awaits_answers: true, token: Token(5), ..old };

        let mut all = [awaits, in_message, lively, young, old];
        all.sort_unstable();

        assert_eq!(all, [old, young, lively, in_message, awaits]);
    }
}
