//! Deadlines of a worker's connections: a hashed timing wheel with slots of a sixteenth of a second.
//!
//! A connection costs four bytes here and no system call. It is moved lazily: its entry stays where it is while its
//! deadline recedes, and when the slot comes up the worker works out what is due and schedules it anew. An entry is stale
//! when the connection's own `timer` names another tick; that also tells the entry of a slot that was reused.

use std::time::Duration;

/// Sixteenths of a second since the node began. Fine enough that clients that came within a second do not all come due
/// at once, and lasts for eight years.
pub(crate) type Tick = u32;

/// Ticks of a second.
pub(crate) const TICKS_PER_SECOND: u32 = 16;

const TICK_NANOS: u32 = 1_000_000_000 / TICKS_PER_SECOND;

/// Slots: about a minute; a deadline further away is looked at again after that time.
const SLOTS: u32 = 64 * TICKS_PER_SECOND;

/// The tick of a moment, as time since the node began. Every turn asks: no division by anything but a constant.
pub(crate) fn tick_of(uptime: Duration) -> Tick {
    let seconds = Tick::try_from(uptime.as_secs()).unwrap_or(Tick::MAX / TICKS_PER_SECOND - 1);
    seconds * TICKS_PER_SECOND + uptime.subsec_nanos() / TICK_NANOS
}

/// When a tick begins, as time since the node began.
pub(crate) fn start_of(tick: Tick) -> Duration {
    Duration::new(u64::from(tick / TICKS_PER_SECOND), tick % TICKS_PER_SECOND * TICK_NANOS)
}

/// A time limit in ticks: up to an eighth of a second late, never early, whenever within a tick it begins.
pub(crate) fn ticks(limit: Duration) -> Tick {
    let ticks = limit.as_nanos().div_ceil(u128::from(TICK_NANOS)) + 1;
    Tick::try_from(ticks).unwrap_or(Tick::MAX / 2)
}

/// The wheel. Entries are indexes into the worker's connections.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<u32>>,
    /// The last tick that was taken.
    now: Tick,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { slots: vec![Vec::new(); SLOTS as usize], now: 0 }
    }

    /// Files `connection` under `at`, which becomes at least the next tick and at most the horizon. The result is the
    /// tick the connection has to remember as its `timer`.
    pub(crate) fn schedule(&mut self, connection: u32, at: Tick) -> Tick {
        let tick = at.clamp(self.now + 1, self.now + SLOTS - 1);
        self.slots[(tick % SLOTS) as usize].push(connection);
        tick
    }

    /// Takes the next tick that is not after `now`, with its entries. Give the vector back with [`Wheel::recycle`].
    pub(crate) fn take_due(&mut self, now: Tick) -> Option<(Tick, Vec<u32>)> {
        if self.now >= now {
            return None;
        }
        self.now += 1;
        Some((self.now, std::mem::take(&mut self.slots[(self.now % SLOTS) as usize])))
    }

    /// Keeps the memory of a vector that [`Wheel::take_due`] gave, so that a steady load allocates nothing.
    pub(crate) fn recycle(&mut self, tick: Tick, mut entries: Vec<u32>) {
        entries.clear();
        let slot = &mut self.slots[(tick % SLOTS) as usize];
        if slot.is_empty() {
            *slot = entries;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now: Tick) -> Vec<(Tick, Vec<u32>)> {
        std::iter::from_fn(|| wheel.take_due(now)).filter(|(_, entries)| !entries.is_empty()).collect()
    }

    #[test]
    fn a_limit_is_never_early_and_at_most_two_ticks_late() {
        for limit_ms in [1, 62, 63, 1_000, 30_000] {
            let limit = Duration::from_millis(limit_ms);
            for begin_ms in 0..125 {
                let begin = Duration::from_millis(begin_ms);
                let due = start_of(tick_of(begin) + ticks(limit));
                assert!(due >= begin + limit, "{limit_ms} ms from {begin_ms} ms are over at {due:?}");
                assert!(due <= begin + limit + 2 * start_of(1), "{limit_ms} ms from {begin_ms} ms: {due:?}");
            }
        }
        assert_eq!(tick_of(start_of(77)), 77);
    }

    #[test]
    fn an_entry_comes_up_at_its_tick_and_once() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.schedule(7, 3), 3);
        assert_eq!(due(&mut wheel, 2), []);
        assert_eq!(due(&mut wheel, 5), [(3, vec![7])]);
        assert_eq!(due(&mut wheel, 5 + SLOTS), []);
    }

    #[test]
    fn a_deadline_in_the_past_comes_up_next_and_one_beyond_the_horizon_at_the_horizon() {
        let mut wheel = Wheel::new();
        assert_eq!(due(&mut wheel, 10), []);
        assert_eq!(wheel.schedule(1, 4), 11);
        assert_eq!(wheel.schedule(2, 10_000), 10 + SLOTS - 1);
        assert_eq!(due(&mut wheel, 11), [(11, vec![1])]);
        assert_eq!(due(&mut wheel, 2 * SLOTS), [(10 + SLOTS - 1, vec![2])]);
    }
}
