//! The gate of one channel that is being caught up: it holds what comes live until the past has been delivered.
//!
//! Place in the data path: between the hub and a subscription that waits for its history. Subscribe first, read the
//! history second: what is published in between comes both ways, and the gate is where the two become one stream again.

use std::collections::VecDeque;

use tidegate_protocol::event::Objects;
use tidegate_protocol::position::{Epoch, Position};

#[cfg(test)]
mod tests;

/// Live objects of one channel, in offset order, without duplicates, within bounds.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    held: VecDeque<Held>,
    /// Bytes held, with what holding costs.
    bytes: usize,
    /// The newest position that came live, held or not. What lies between it and the last delivered one is missing.
    newest: Option<Position>,
    /// Nothing is held any more: all of it will have to be read again.
    overflowed: bool,
    /// Something was let go that cannot be read again.
    lost: bool,
}

#[derive(Debug)]
struct Held {
    /// `None` for what has no place in the history: joins, leaves, everything of a channel without one.
    position: Option<Position>,
    object: Box<[u8]>,
}

/// How much a gate may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Objects of this gate.
    pub(crate) messages_max: usize,
    /// Bytes of this gate, as [`Gate::bytes`] counts them.
    pub(crate) bytes_max: usize,
}

/// How far a release came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Released {
    /// Everything that came live is delivered, and nothing else: what comes next live follows directly.
    CaughtUp,
    /// Nothing is held, but history was ahead of what came live: duplicates may still come.
    Ahead,
    /// Something between the last delivered object and the next one is missing.
    Hole,
}

impl Gate {
    /// What one held object costs besides its bytes.
    const HELD_BYTES: usize = size_of::<Held>();

    /// Bytes held, with what holding costs.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds an object. Over its bounds the gate lets go of everything that history can give again; of a channel without
    /// positions, which nothing can, it lets go of the oldest.
    pub(crate) fn hold(&mut self, position: Option<Position>, object: &[u8], room: Room) {
        let in_order = self.note(position);
        let cost = object.len() + Self::HELD_BYTES;
        while !self.overflowed && !self.has_room(cost, room) {
            if self.newest.is_some() {
                self.clear();
                self.overflowed = true;
            } else if let Some(oldest) = self.held.pop_front() {
                self.bytes -= oldest.cost();
                self.lost = true;
            } else {
                self.lost = true;
                return;
            }
        }
        if self.overflowed {
            return;
        }

        let at = match position {
            Some(position) if !in_order => match self.place_of(position) {
                Ok(_duplicate) => return,
                Err(at) => at,
            },
            Some(_) | None => self.held.len(),
        };
        self.held.insert(at, Held { position, object: object.into() });
        self.bytes += cost;
    }

    /// What comes live goes on behind this position: whoever is not there misses something, even if nothing comes.
    pub(crate) fn expect(&mut self, position: Position) {
        self.note(Some(position));
    }

    /// Appends what follows `delivered` without a hole, and moves it along. Without a position there is no order to keep
    /// but that of arrival.
    pub(crate) fn release(&mut self, delivered: &mut Option<Position>, out: &mut Objects) -> Released {
        while let Some(next) = self.held.front() {
            match (next.position, *delivered) {
                (Some(next), Some(last)) if next.epoch != last.epoch || next.offset > last.offset + 1 => {
                    return Released::Hole;
                }
                (Some(next), Some(last)) if next.offset <= last.offset => {}
                (Some(position), Some(_)) => {
                    out.push_encoded(&next.object);
                    *delivered = Some(position);
                }
                (None, _) | (_, None) => out.push_encoded(&next.object),
            }
            let cost = next.cost();
            self.bytes -= cost;
            self.held.pop_front();
        }
        let (Some(newest), Some(last)) = (self.newest, *delivered) else { return Released::Ahead };
        if newest.epoch != last.epoch || newest.offset > last.offset {
            Released::Hole
        } else if newest.offset == last.offset {
            Released::CaughtUp
        } else {
            Released::Ahead
        }
    }

    /// The position from which delivery can go on when a hole cannot be filled: all before it is lost.
    pub(crate) fn far_side_of_hole(&self) -> Option<Position> {
        let before = |next: Position| Position { offset: next.offset.saturating_sub(1), ..next };
        self.held.front().and_then(|held| held.position).map(before).or(self.newest)
    }

    /// Forgets what is not of this epoch, after history has said more than once that there is no other.
    pub(crate) fn forget_other_epochs(&mut self, epoch: Epoch) {
        self.held.retain(|held| held.position.is_none_or(|position| position.epoch == epoch));
        self.bytes = self.held.iter().map(Held::cost).sum();
        self.newest = self.newest.filter(|newest| newest.epoch == epoch);
    }

    /// Holds again after an overflow: history has been asked for what was let go.
    pub(crate) fn reopen(&mut self) {
        self.overflowed = false;
    }

    /// Whether something was let go since the last question that no history has.
    pub(crate) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Remembers the newest position; the result is whether this one is it.
    fn note(&mut self, position: Option<Position>) -> bool {
        let Some(position) = position else { return true };
        let is_newest = self
            .newest
            .is_none_or(|newest| newest.epoch != position.epoch || newest.offset < position.offset);
        if is_newest {
            self.newest = Some(position);
        }
        is_newest
    }

    /// Where a late one belongs, or that it is here already.
    fn place_of(&self, position: Position) -> Result<usize, usize> {
        let later = |held: &Held| {
            held.position.is_some_and(|held| held.epoch == position.epoch && held.offset >= position.offset)
        };
        match self.held.iter().position(later) {
            Some(at) if self.held[at].position == Some(position) => Ok(at),
            Some(at) => Err(at),
            None => Err(self.held.len()),
        }
    }

    fn has_room(&self, cost: usize, room: Room) -> bool {
        self.held.len() < room.messages_max && self.bytes + cost <= room.bytes_max
    }

    fn clear(&mut self) {
        self.held = VecDeque::new();
        self.bytes = 0;
    }
}

impl Held {
    fn cost(&self) -> usize {
        self.object.len() + Gate::HELD_BYTES
    }
}
