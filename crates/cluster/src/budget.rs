//! What all nodes together may do in a second, and have at once.
//!
//! Place in the data path: asked at a handshake and at a resume, before either costs anything.

pub(crate) mod bucket;

use std::num::NonZeroU32;
use std::time::Duration;

use tidegate_protocol::id::NodeName;

use crate::answer::Answer;

/// Budgets of the whole cluster.
///
/// [`take`](Self::take) has an answer even where nobody else can be asked: then a node keeps to its share. What all
/// nodes take is never more than the rate and burst allow while the store answers; it may be a little less, since a node
/// that holds tokens for a moment may not need them.
pub trait Budget: Send + Sync {
    /// Takes `amount` tokens from the bucket `name`, all of them or none. More than the burst are never there.
    fn take(&self, name: &'static str, rate: Rate, amount: NonZeroU32) -> Answer<Granted>;

    /// Says how many of something a node has, and learns how many all nodes have. A node that says nothing for `ttl`
    /// counts no more.
    ///
    /// [`Reason::Full`](crate::answer::Reason::Full) where there are more nodes than there may be.
    fn report(&self, name: &'static str, node: &NodeName, count: u64, ttl: Duration) -> Answer<Tally>;
}

/// How a bucket fills. All nodes are meant to say the same of one bucket; each take goes by what its caller says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// The time in which one token comes in: at least a microsecond.
    pub interval: Duration,
    /// Most tokens there are at once.
    pub burst: NonZeroU32,
}

/// What became of a wish for tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Granted {
    /// They are taken.
    Now,
    /// Nothing is taken.
    Later {
        /// When as many may be there, if nobody else takes them. Above zero.
        after: Duration,
    },
}

/// How many of something there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tally {
    /// On all nodes.
    pub total: u64,
    /// Nodes that said so, the caller among them.
    pub nodes: u32,
}

impl Rate {
    /// `tokens` a second.
    pub fn per_second(tokens: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { interval: (Duration::from_secs(1) / tokens.get()).max(INTERVAL_MIN), burst }
    }

    /// What one of `nodes` may do without asking the others: their part of the rate, and of the burst at least one.
    #[must_use]
    pub fn share(self, nodes: NonZeroU32) -> Self {
        let burst = NonZeroU32::new(self.burst.get() / nodes).unwrap_or(NonZeroU32::MIN);
        Self { interval: self.interval.saturating_mul(nodes.get()), burst }
    }

    /// Tokens that come in within `time`.
    pub(crate) fn tokens_in(self, time: Duration) -> u32 {
        let tokens = time.as_nanos() / self.interval.max(INTERVAL_MIN).as_nanos();
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

/// The shortest time between two tokens.
const INTERVAL_MIN: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_no_more_than_the_whole() {
        let whole = Rate::per_second(number(300), number(10));

        let share = whole.share(number(3));
        assert_eq!((share.interval, share.burst), (whole.interval * 3, number(3)));
        assert_eq!(whole.share(number(1)), whole);
        assert_eq!(
            whole.share(number(1_000)).burst,
            number(1),
            "a share below one token would be none for ever"
        );
    }

    #[test]
    fn tokens_are_counted_by_their_interval() {
        let rate = Rate::per_second(number(1_000), number(1));

        assert_eq!(rate.tokens_in(Duration::from_micros(999)), 0);
        assert_eq!(rate.tokens_in(Duration::from_millis(1)), 1);
        assert_eq!(rate.tokens_in(Duration::MAX), u32::MAX);
        assert_eq!(Rate::per_second(NonZeroU32::MAX, number(1)).interval, INTERVAL_MIN);
    }

    fn number(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).unwrap()
    }
}
