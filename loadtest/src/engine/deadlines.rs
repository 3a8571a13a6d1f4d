//! Timeouts that all have the same length: a queue, oldest first.

use std::collections::VecDeque;
use std::time::Duration;

use super::Lane;
use crate::clock::Nanos;

/// Waits of one fixed length. An entry is not removed when its wait ends well: the generation tells that it is stale.
#[derive(Debug)]
pub(super) struct Deadlines {
    length: Duration,
    queue: VecDeque<(Nanos, Lane, u32)>,
}

impl Deadlines {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, queue: VecDeque::new() }
    }

    pub(super) fn start(&mut self, now: Nanos, lane: Lane, generation: u32) {
        self.queue.push_back((now + self.length, lane, generation));
    }

    /// The next entry whose time has come.
    pub(super) fn expired(&mut self, now: Nanos) -> Option<(Lane, u32)> {
        self.queue.pop_front_if(|(at, ..)| *at <= now).map(|(_, lane, generation)| (lane, generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_expire_in_order_and_not_early() {
        let mut deadlines = Deadlines::new(Duration::from_nanos(10));
        deadlines.start(Nanos(1), 7, 0);
        deadlines.start(Nanos(5), 8, 3);

        assert_eq!(deadlines.expired(Nanos(10)), None);
        assert_eq!(deadlines.expired(Nanos(11)), Some((7, 0)));
        assert_eq!(deadlines.expired(Nanos(14)), None);
        assert_eq!(deadlines.expired(Nanos(100)), Some((8, 3)));
        assert_eq!(deadlines.expired(Nanos(100)), None);
    }
}
