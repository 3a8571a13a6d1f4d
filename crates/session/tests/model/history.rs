//! What was published in each channel: the truth that the client's view is held against.

use std::sync::Arc;

use tidegate_protocol::command::StartFrom;
use tidegate_protocol::event::{self, Message};
use tidegate_protocol::json::RawJson;
use tidegate_protocol::position::{Epoch, Position};
use tidegate_session::{Replayed, Subscribed};

/// One channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: &'static str,
    pub(crate) has_history: bool,
    /// The numbers published in each epoch; the last epoch is the current one.
    epochs: Vec<Vec<u64>>,
    /// Offsets up to here are no longer kept.
    forgotten: u64,
    published: u64,
    /// When the hub gets the newest publication: in order, one behind the other.
    pub(crate) fanned_out_at: u64,
}

/// A publication on its way to the hub.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) position: Option<Position>,
    pub(crate) object: Arc<[u8]>,
}

impl Channel {
    pub(crate) fn new(name: &'static str, has_history: bool) -> Self {
        Self { name, has_history, epochs: vec![Vec::new()], forgotten: 0, published: 0, fanned_out_at: 0 }
    }

    /// Publishes the next number.
    pub(crate) fn publish(&mut self) -> Publication {
        self.published += 1;
        if self.has_history {
            self.epochs.last_mut().expect("there is always one").push(self.published);
        }
        let position = self.head();
        Publication { position, object: self.encode(self.published, position) }
    }

    pub(crate) fn head(&self) -> Option<Position> {
        let offset = self.epochs.last().map_or(0, Vec::len) as u64;
        let epoch = Epoch::new(self.epochs.len() as u64);
        self.has_history.then_some(Position { epoch, offset })
    }

    /// What was published at a position.
    pub(crate) fn number_at(&self, position: Position) -> Option<u64> {
        let epoch = self.epochs.get(usize::try_from(position.epoch.number()).ok()?.checked_sub(1)?)?;
        epoch.get(usize::try_from(position.offset).ok()?.checked_sub(1)?).copied()
    }

    /// The position in front of a number, on channels with history.
    pub(crate) fn position_before(&self, number: u64) -> Option<Position> {
        let found = self.epochs.iter().zip(1..).find_map(|(numbers, epoch)| {
            let offset = numbers.iter().position(|published| *published == number)? as u64;
            Some(Position { epoch: Epoch::new(epoch), offset })
        });
        found.filter(|_| self.has_history)
    }

    /// The newest number.
    pub(crate) fn newest(&self) -> u64 {
        self.published
    }

    /// Loses the history: a new epoch begins.
    pub(crate) fn lose(&mut self) {
        self.epochs.push(Vec::new());
        self.forgotten = 0;
    }

    /// Keeps only the newest few.
    pub(crate) fn forget_all_but(&mut self, newest: u64) {
        let head = self.head().map_or(0, |head| head.offset);
        self.forgotten = self.forgotten.max(head.saturating_sub(newest));
    }

    /// What a gateway makes of its history for a subscription.
    pub(crate) fn read(&self, from: StartFrom) -> Subscribed {
        let Some(head) = self.head() else { return Subscribed::default() };
        let (after, recovered) = match from {
            StartFrom::Live => (head.offset, None),
            StartFrom::Newest(count) => (head.offset.saturating_sub(count.into()).max(self.forgotten), None),
            StartFrom::Position(position) => {
                let is_kept =
                    position.epoch == head.epoch && (self.forgotten..=head.offset).contains(&position.offset);
                (if is_kept { position.offset } else { head.offset }, Some(is_kept))
            }
        };
        let replay = (after + 1..=head.offset).map(|offset| self.replayed(Position { offset, ..head }));
        Subscribed { head: Some(head), recovered, replay: replay.collect() }
    }

    fn replayed(&self, position: Position) -> Replayed {
        let number = self.number_at(position).expect("only what was published is read");
        Replayed { offset: position.offset, object: self.encode(number, Some(position)) }
    }

    fn encode(&self, number: u64, position: Option<Position>) -> Arc<[u8]> {
        let mut object = Vec::new();
        let data = number.to_string();
        let message = Message {
            channel: self.name.into(),
            data: RawJson::trusted(&data),
            offset: position.map(|position| position.offset),
            from: None,
            trace: None,
        };
        event::append_message(&mut object, &message);
        object.into()
    }
}
