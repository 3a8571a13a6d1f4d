//! What a server has told a subscriber of a channel with history that it will not get.
//!
//! Place in the data path: under `feed.rs`. Pure. A message that never came is looked up by the place that its publisher was told:
//! numbers of one publisher do not say enough, for one that was sent again may stand behind the loss, and a later one before it.

use tidegate_protocol::position::{Epoch, Position};

/// Ranges that the server has given up, for one subscriber.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    losses: Vec<Loss>,
}

/// Behind `from`, where the subscriber was, it goes on behind `to`.
#[derive(Clone, Copy, Debug)]
struct Loss {
    from: Position,
    to: Position,
}

impl Told {
    /// The server says that what lies between the two is lost. Says whether the channel began anew there.
    pub(super) fn note(&mut self, from: Position, to: Position) -> bool {
        self.losses.push(Loss { from, to });
        from.epoch != to.epoch
    }

    /// Was the subscriber told of this place before it went on behind it? It is at `own` now; `newest` is the channel's last epoch.
    pub(super) fn covers(&self, at: Position, own: Position, newest: Epoch) -> bool {
        // An epoch that came and went while it was elsewhere.
        let was_passed_over =
            !self.names(at.epoch) && !self.losses.is_empty() && at.epoch != newest && own.epoch == newest;
        was_passed_over || self.losses.iter().any(|loss| loss.covers(at))
    }

    /// Has the subscriber been told to leave this epoch, or to go there?
    pub(super) fn names(&self, epoch: Epoch) -> bool {
        self.losses.iter().any(|loss| loss.from.epoch == epoch || loss.to.epoch == epoch)
    }
}

impl Loss {
    fn covers(&self, at: Position) -> bool {
        let Self { from, to } = *self;
        let is_behind = at.epoch == from.epoch && at.offset > from.offset;
        let is_before = at.epoch == to.epoch && at.offset <= to.offset;
        if from.epoch == to.epoch { is_behind && is_before } else { is_behind || is_before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_within_an_epoch_covers_what_it_skips_and_nothing_else() {
        let mut told = Told::default();
        assert!(!told.note(at(1, 5), at(1, 8)));
        let covered: Vec<_> =
            (4..11).filter(|offset| told.covers(at(1, *offset), at(1, 10), Epoch::new(1))).collect();
        assert_eq!(covered, [6, 7, 8]);
    }

    #[test]
    fn a_new_beginning_covers_the_rest_of_the_old_epoch_and_what_is_skipped_of_the_new_one() {
        let mut told = Told::default();
        assert!(told.note(at(1, 5), at(3, 2)));
        let covers = |epoch, offset| told.covers(at(epoch, offset), at(3, 9), Epoch::new(3));
        assert!(covers(1, 6) && covers(1, 1000) && covers(3, 2));
        assert!(!covers(1, 5), "it was there already, and had not been told");
        assert!(!covers(3, 3));
        assert!(covers(2, 1), "in between");
        assert!(!told.covers(at(4, 1), at(3, 9), Epoch::new(4)), "it has not heard of that one");
    }

    #[test]
    fn whoever_was_told_nothing_has_nothing_covered() {
        assert!(!Told::default().covers(at(1, 1), at(2, 1), Epoch::new(2)));
    }

    fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch: Epoch::new(epoch), offset }
    }
}
