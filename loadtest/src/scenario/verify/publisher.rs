//! One publisher: numbered messages to all channels in turn, each sent until it is acknowledged.
//!
//! Place in the data path: `clients.rs` says what is due and gives it the replies. Message `turn` of a publisher goes to channel
//! `(publisher + turn) mod channels`; its number there is `turn / channels`, so that each subscriber knows which comes next.

use std::collections::{HashSet, VecDeque};

use tidegate_protocol::channel::Channel;
use tidegate_protocol::position::Position;
use tidegate_wire::frame::OpCode;

use super::clients::COUNT_BITS;
use crate::clock::Nanos;
use crate::engine::{Commands, Lane};
use crate::native::{FIRST_ID, append_publish};
use crate::payload::Template;
use crate::schedule::Schedule;

/// Turns of one publisher.
#[derive(Debug)]
pub(super) struct Publisher {
    index: usize,
    of: Size,
    /// Turns that have been due.
    assigned: u64,
    /// Turns sent at least once.
    sent: u64,
    /// Those without an answer, in order.
    pending: VecDeque<Pending>,
    /// Turns that were refused for good: nobody is owed them.
    refused: Vec<u64>,
    /// Turns that were refused for now: later ones may have been taken meanwhile.
    overtaken: HashSet<u64>,
    /// Turns that were sent more than once.
    repeated: HashSet<u64>,
    /// Turns that were sent again by another session than before, whose keys are others.
    without_key: HashSet<u64>,
    /// By turn: what the server said, once it has.
    acks: Vec<Option<Ack>>,
}

/// What the server said to a publish.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ack {
    /// `None`: the channel keeps nothing.
    pub(super) position: Option<Position>,
}

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) publishers: usize,
    pub(super) channels: usize,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    turn: u64,
    times_sent: u32,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Sent,
    /// The server does not take it now.
    RefusedForNow,
}

/// What it takes to put a message together.
#[derive(Debug)]
pub(super) struct Press {
    pub(super) channels: Vec<Channel<'static>>,
    pub(super) template: Template,
    /// Tells the keys of this run from those of others.
    pub(super) run: u64,
    pub(super) object: Vec<u8>,
}

/// An acknowledged message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Acknowledged {
    pub(super) turn: u64,
    pub(super) times_sent: u32,
}

/// Messages of one publisher without an answer; servers bound that too.
const IN_FLIGHT_MAX: usize = 32;

impl Publisher {
    pub(super) fn new(index: usize, of: Size) -> Self {
        Self {
            index,
            of,
            assigned: 0,
            sent: 0,
            pending: VecDeque::new(),
            refused: Vec::new(),
            overtaken: HashSet::new(),
            repeated: HashSet::new(),
            without_key: HashSet::new(),
            acks: Vec::new(),
        }
    }

    /// One more message is due.
    pub(super) fn assign(&mut self) {
        self.assigned += 1;
    }

    /// Has everything that was due been answered?
    pub(super) fn is_idle(&self) -> bool {
        self.sent == self.assigned && self.pending.is_empty()
    }

    /// Messages that were sent and have no answer.
    pub(super) fn unanswered(&self) -> u64 {
        self.pending.len() as u64
    }

    /// Sends what is due, as far as answers keep up. Says how many.
    pub(super) fn send_due(&mut self, press: &mut Press, out: &mut Commands) -> u64 {
        let before = self.sent;
        while self.sent < self.assigned && self.pending.len() < IN_FLIGHT_MAX {
            let turn = self.sent;
            self.sent += 1;
            self.pending.push_back(Pending { turn, times_sent: 1, standing: Standing::Sent });
            self.send(turn, press, out);
        }
        self.sent - before
    }

    /// After a connection was lost nobody knows what of the unanswered has arrived: all of it again, in order, with the same
    /// keys. Says how many.
    pub(super) fn send_again(&mut self, press: &mut Press, out: &mut Commands) -> u64 {
        for at in 0..self.pending.len() {
            self.send_once_more(at, press, out);
        }
        self.pending.len() as u64
    }

    /// The command with this `id` was refused for good. `None`: it was not one of those without an answer.
    pub(super) fn handle_refusal(&mut self, id: u32) -> Option<Acknowledged> {
        let refused = self.handle_answer(id);
        self.refused.extend(refused.map(|message| message.turn));
        refused
    }

    /// The numbers on a channel that were refused for good, in the order of the answers.
    pub(super) fn refused(&self, channel: usize) -> impl Iterator<Item = u64> {
        let is_there = move |turn: &&u64| self.of.channel_of(self.index, **turn) == channel;
        self.refused.iter().filter(is_there).map(|turn| turn / self.of.channels as u64)
    }

    /// The server does not take the command with this `id` now. Says whether it is one of those without an answer.
    pub(super) fn handle_refusal_for_now(&mut self, id: u32) -> bool {
        let refused = self.position_of(id).and_then(|at| self.pending.get_mut(at));
        refused.map(|pending| pending.standing = Standing::RefusedForNow).is_some()
    }

    /// What was refused for now, again, in order and with the same keys. Says how many.
    pub(super) fn send_refused_again(&mut self, press: &mut Press, out: &mut Commands) -> u64 {
        let mut count = 0;
        for at in 0..self.pending.len() {
            if self.pending[at].standing == Standing::RefusedForNow {
                self.send_once_more(at, press, out);
                count += 1;
            }
        }
        count
    }

    /// May this message of a channel come after later ones?
    pub(super) fn was_overtaken(&self, channel: usize, number: u64) -> bool {
        !self.overtaken.is_empty() && self.overtaken.contains(&self.turn_of(channel, number))
    }

    /// Was this message of a channel sent more than once?
    pub(super) fn was_repeated(&self, channel: usize, number: u64) -> bool {
        !self.repeated.is_empty() && self.repeated.contains(&self.turn_of(channel, number))
    }

    /// Its session is another one, and it has no user: keys of what was sent before are not known any more.
    pub(super) fn lose_keys(&mut self) {
        self.without_key.extend(self.pending.iter().map(|pending| pending.turn));
    }

    /// Was this message of a channel sent again after its key was lost?
    pub(super) fn has_lost_key(&self, channel: usize, number: u64) -> bool {
        !self.without_key.is_empty() && self.without_key.contains(&self.turn_of(channel, number))
    }

    /// The server has taken the message of a turn.
    pub(super) fn note_ack(&mut self, turn: u64, ack: Ack) {
        let at = usize::try_from(turn).expect("a run is bounded below that");
        if self.acks.len() <= at {
            self.acks.resize(at + 1, None);
        }
        self.acks[at] = Some(ack);
    }

    /// What the server said to this message of a channel; `None`: it has not taken it.
    pub(super) fn ack(&self, channel: usize, number: u64) -> Option<Ack> {
        let at = usize::try_from(self.turn_of(channel, number)).ok()?;
        self.acks.get(at).copied().flatten()
    }

    fn turn_of(&self, channel: usize, number: u64) -> u64 {
        number * self.of.channels as u64 + self.first_turn(channel)
    }

    fn send_once_more(&mut self, at: usize, press: &mut Press, out: &mut Commands) {
        let pending = &mut self.pending[at];
        pending.times_sent += 1;
        let was_refused = std::mem::replace(&mut pending.standing, Standing::Sent) == Standing::RefusedForNow;
        let turn = pending.turn;
        self.repeated.insert(turn);
        if was_refused {
            self.overtaken.insert(turn);
        }
        self.send(turn, press, out);
    }

    fn position_of(&self, id: u32) -> Option<usize> {
        let turn = u64::from(id.checked_sub(FIRST_ID)?);
        self.pending.binary_search_by_key(&turn, |pending| pending.turn).ok()
    }

    fn first_turn(&self, channel: usize) -> u64 {
        let channels = self.of.channels;
        ((channel + channels - self.index % channels) % channels) as u64
    }

    /// The command with this `id` was answered. `None`: it was not one of those without an answer.
    pub(super) fn handle_answer(&mut self, id: u32) -> Option<Acknowledged> {
        let at = self.position_of(id)?;
        let Pending { turn, times_sent, .. } = self.pending.remove(at)?;
        Some(Acknowledged { turn, times_sent })
    }

    /// How many of its messages on a channel must reach a subscriber: those up to the first that was not answered.
    pub(super) fn published(&self, channel: usize) -> u64 {
        let end = self.pending.front().map_or(self.sent, |oldest| oldest.turn);
        end.saturating_sub(self.first_turn(channel)).div_ceil(self.of.channels as u64)
    }

    fn send(&self, turn: u64, press: &mut Press, out: &mut Commands) {
        let lane: Lane = self.index;
        let channel = self.of.channel_of(self.index, turn);
        let number = turn / self.of.channels as u64;
        let id = FIRST_ID + u32::try_from(turn).expect("a run is bounded below that");
        let key = format!("{:x}-{}-{turn}", press.run, self.index);
        press.object.clear();
        let payload = press.template.stamp((self.index as u64) << COUNT_BITS | number);
        append_publish(&mut press.object, &press.channels[channel], payload, Some((id, &key)));
        out.send_frame(lane, OpCode::Text, &press.object);
    }
}

impl Size {
    /// Where a publisher's message goes.
    pub(super) fn channel_of(self, publisher: usize, turn: u64) -> usize {
        remainder(publisher as u64 + turn, self.channels)
    }

    /// When message `number` of a publisher on a channel was due, if one is due on the schedule for each publisher in turn.
    pub(super) fn due_at(self, schedule: &Schedule, publisher: usize, channel: usize, number: u64) -> Nanos {
        let first = (channel + self.channels - publisher % self.channels) % self.channels;
        let turn = number * self.channels as u64 + first as u64;
        self.turn_due_at(schedule, publisher, turn)
    }

    pub(super) fn turn_due_at(self, schedule: &Schedule, publisher: usize, turn: u64) -> Nanos {
        schedule.due_at(turn * self.publishers as u64 + publisher as u64)
    }
}

/// `number mod count`, as an index.
pub(super) fn remainder(number: u64, count: usize) -> usize {
    usize::try_from(number % count as u64).expect("the remainder of a division by a usize is one")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { publishers: 2, channels: 3 };

    #[test]
    fn turns_go_to_all_channels_and_are_counted_on_each() {
        let mut publisher = Publisher::new(1, SIZE);
        let published = |publisher: &Publisher| [0, 1, 2].map(|channel| publisher.published(channel));
        assert_eq!(published(&publisher), [0, 0, 0]);
        for (sent, expected) in [(1, [0, 1, 0]), (2, [0, 1, 1]), (3, [1, 1, 1]), (4, [1, 2, 1])] {
            publisher.sent = sent;
            assert_eq!(published(&publisher), expected, "after {sent}");
        }
    }

    #[test]
    fn what_has_no_answer_counts_for_nothing_behind_it_either() {
        let (mut publisher, mut press, mut out) = (Publisher::new(0, SIZE), press(), Commands::new(1, 1));
        (0..6).for_each(|_| publisher.assign());
        assert_eq!(publisher.send_due(&mut press, &mut out), 6);
        for turn in [0, 1, 3, 4, 5] {
            assert!(publisher.handle_answer(FIRST_ID + turn).is_some());
        }
        assert_eq!([0, 1, 2].map(|channel| publisher.published(channel)), [1, 1, 0]);
        assert!(!publisher.is_idle());

        assert_eq!(publisher.send_again(&mut press, &mut out), 1);
        let acknowledged = publisher.handle_answer(FIRST_ID + 2);
        assert_eq!(acknowledged, Some(Acknowledged { turn: 2, times_sent: 2 }));
        assert_eq!(publisher.handle_answer(FIRST_ID + 2), None, "an answer to nothing");
        assert!(publisher.is_idle());
        assert_eq!([0, 1, 2].map(|channel| publisher.published(channel)), [2, 2, 2]);
    }

    #[test]
    fn what_was_refused_for_now_is_sent_again_and_may_come_late() {
        let (mut publisher, mut press, mut out) = (Publisher::new(0, SIZE), press(), Commands::new(1, 1));
        (0..6).for_each(|_| publisher.assign());
        publisher.send_due(&mut press, &mut out);
        assert!(publisher.handle_refusal_for_now(FIRST_ID + 3));
        assert!(!publisher.handle_refusal_for_now(FIRST_ID + 6), "an answer to nothing");
        assert_eq!(publisher.send_refused_again(&mut press, &mut out), 1);
        assert_eq!(publisher.send_refused_again(&mut press, &mut out), 0, "it is on its way");

        // Turn 3 is number 1 of channel 0.
        assert!(publisher.was_overtaken(0, 1));
        assert!(!publisher.was_overtaken(0, 0) && !publisher.was_overtaken(1, 1));
        let acknowledged = publisher.handle_answer(FIRST_ID + 3);
        assert_eq!(acknowledged, Some(Acknowledged { turn: 3, times_sent: 2 }));
    }

    #[test]
    fn no_more_is_in_flight_than_allowed() {
        let (mut publisher, mut press, mut out) = (Publisher::new(0, SIZE), press(), Commands::new(1, 1));
        (0..100).for_each(|_| publisher.assign());
        assert_eq!(publisher.send_due(&mut press, &mut out), IN_FLIGHT_MAX as u64);
        publisher.handle_answer(FIRST_ID);
        assert_eq!(publisher.send_due(&mut press, &mut out), 1);
    }

    #[test]
    fn a_number_leads_back_to_when_it_was_due() {
        let schedule = Schedule::new(Nanos(0), 1_000_000_000);
        // Publisher 1's turns 0, 1, 2, 3 are for channels 1, 2, 0, 1, at 1, 3, 5, 7 ns.
        assert_eq!(SIZE.due_at(&schedule, 1, 1, 0), Nanos(1));
        assert_eq!(SIZE.due_at(&schedule, 1, 0, 0), Nanos(5));
        assert_eq!(SIZE.due_at(&schedule, 1, 1, 1), Nanos(7));
    }

    fn press() -> Press {
        let channel = |name| Channel::parse(name).unwrap();
        Press {
            channels: vec![channel("a"), channel("b"), channel("c")],
            template: Template::new(16),
            run: 1,
            object: Vec::new(),
        }
    }
}
