//! How often a client did what it must not, within a window.

use std::time::Duration;

use tidegate_protocol::time::Millis;

/// Counts offences; forgets them all once a window has passed since the first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Strikes {
    since: Millis,
    count: u32,
}

impl Strikes {
    /// Counts one more; the result is how many there are in the window.
    pub(crate) fn add(&mut self, window: Duration, now: Millis) -> u32 {
        if self.count == 0 || now.since(self.since) >= window {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_add_up_within_a_window_and_are_forgotten_after_it() {
        let (mut strikes, window) = (Strikes::default(), Duration::from_millis(10));

        assert_eq!(strikes.add(window, Millis::new(5)), 1);
        assert_eq!(strikes.add(window, Millis::new(14)), 2);
        assert_eq!(strikes.add(window, Millis::new(15)), 1);
    }
}
