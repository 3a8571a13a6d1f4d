//! What a node knows of one bucket: tokens that it holds, when there may be more, and its share while nobody can be asked.
//!
//! Place in the data path: pure; [`budget`](super) asks it first, and tells it what the server said.

use std::num::NonZeroU32;
use std::time::Duration;

use tidegate_protocol::time::Millis;

use crate::budget::bucket::Bucket;
use crate::budget::{Granted, Rate};

/// Empty at first.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    tokens: u32,
    /// Until when they may be used: the server would have given them to others by then.
    tokens_end_at: Millis,
    refusal: Option<Refusal>,
    share: Bucket,
    /// Until when nobody is asked.
    by_share_until: Millis,
}

/// What the server had not.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    amount: NonZeroU32,
    /// When it may have it.
    ready_at: Millis,
    /// When it is worth asking again: others may have said wrong things, or the server forgotten.
    ask_at: Millis,
}

/// What can be said without asking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Local {
    /// From what the server said before.
    Decided(Granted),
    /// From this node's share.
    Shared(Granted),
    /// Nothing: ask.
    Unknown,
}

/// How many tokens to ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ask {
    pub(super) at_least: u32,
    pub(super) at_most: u32,
}

impl Allowance {
    pub(super) fn try_take(
        &mut self,
        rate: Rate,
        amount: NonZeroU32,
        nodes: NonZeroU32,
        now: Millis,
    ) -> Local {
        if now < self.tokens_end_at && self.tokens >= amount.get() {
            self.tokens -= amount.get();
            return Local::Decided(Granted::Now);
        }
        if now < self.by_share_until {
            return Local::Shared(self.share.try_take(rate.share(nodes), amount, now));
        }
        match self.refusal {
            Some(refusal) if now < refusal.ask_at && amount >= refusal.amount => {
                let after = refusal.ready_at.since(now).max(Duration::from_millis(1));
                Local::Decided(Granted::Later { after })
            }
            Some(_) | None => Local::Unknown,
        }
    }

    /// What to ask for, in place of what is held.
    pub(super) fn ask(&mut self, rate: Rate, amount: NonZeroU32, slice: u32, now: Millis) -> Ask {
        if now >= self.tokens_end_at {
            self.tokens = 0;
        }
        let at_least = amount.get().saturating_sub(self.tokens).max(1);
        Ask { at_least, at_most: slice.max(at_least).min(rate.burst.get().max(at_least)) }
    }

    /// The server gave `tokens`, at least as many as `amount` lacked.
    pub(super) fn add(
        &mut self,
        amount: NonZeroU32,
        tokens: u32,
        held_for: Duration,
        now: Millis,
    ) -> Granted {
        self.refusal = None;
        self.tokens = self.tokens.saturating_add(tokens).saturating_sub(amount.get());
        self.tokens_end_at = now + held_for;
        Granted::Now
    }

    /// The server has not so many.
    pub(super) fn refuse(&mut self, amount: NonZeroU32, after: Duration, now: Millis) -> Granted {
        let (ready_at, ask_at) = (now + after, now + after.min(ASK_AGAIN_AFTER));
        self.refusal = Some(Refusal { amount, ready_at, ask_at });
        Granted::Later { after }
    }

    /// The server says nothing.
    pub(super) fn go_by_share(
        &mut self,
        rate: Rate,
        amount: NonZeroU32,
        nodes: NonZeroU32,
        now: Millis,
    ) -> Granted {
        self.by_share_until = now + ASK_AGAIN_AFTER;
        self.share.try_take(rate.share(nodes), amount, now)
    }
}

/// How long what the server said, or that it said nothing, is taken for the last word.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_were_brought_are_used_up_and_then_asked_for_again() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.try_take(RATE, number(1), number(1), at(0)), Local::Unknown);
        assert_eq!(allowance.ask(RATE, number(1), 3, at(0)), Ask { at_least: 1, at_most: 3 });
        assert_eq!(allowance.add(number(1), 3, HELD_FOR, at(0)), Granted::Now);

        for _ in 0..2 {
            let local = allowance.try_take(RATE, number(1), number(1), at(99));
            assert_eq!(local, Local::Decided(Granted::Now));
        }
        assert_eq!(allowance.try_take(RATE, number(1), number(1), at(99)), Local::Unknown);
    }

    #[test]
    fn tokens_kept_too_long_are_given_up() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.add(number(1), 3, HELD_FOR, at(0)), Granted::Now);

        assert_eq!(allowance.try_take(RATE, number(1), number(1), at(100)), Local::Unknown);
        assert_eq!(allowance.ask(RATE, number(2), 0, at(100)), Ask { at_least: 2, at_most: 2 });
    }

    #[test]
    fn what_is_held_counts_towards_a_larger_wish() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.add(number(1), 3, HELD_FOR, at(0)), Granted::Now);

        assert_eq!(allowance.try_take(RATE, number(5), number(1), at(1)), Local::Unknown);
        assert_eq!(allowance.ask(RATE, number(5), 1, at(1)), Ask { at_least: 3, at_most: 3 });
        assert_eq!(allowance.add(number(5), 3, HELD_FOR, at(1)), Granted::Now);
        assert_eq!(allowance.try_take(RATE, number(1), number(1), at(1)), Local::Unknown);
    }

    #[test]
    fn a_refusal_stands_for_whoever_wants_as_much() {
        let mut allowance = Allowance::default();
        let after = Duration::from_millis(500);
        assert_eq!(allowance.refuse(number(2), after, at(0)), Granted::Later { after });

        let refused = Local::Decided(Granted::Later { after: after - Duration::from_millis(100) });
        assert_eq!(allowance.try_take(RATE, number(2), number(1), at(100)), refused);
        assert_eq!(allowance.try_take(RATE, number(1), number(1), at(100)), Local::Unknown);
        assert_eq!(allowance.try_take(RATE, number(2), number(1), at(500)), Local::Unknown);
    }

    #[test]
    fn a_long_refusal_is_asked_about_again() {
        let mut allowance = Allowance::default();
        let after = Duration::from_secs(600);
        assert_eq!(allowance.refuse(number(1), after, at(0)), Granted::Later { after });

        let later = Granted::Later { after: after - Duration::from_millis(999) };
        assert_eq!(allowance.try_take(RATE, number(1), number(1), at(999)), Local::Decided(later));
        assert_eq!(allowance.try_take(RATE, number(1), number(1), at(1_000)), Local::Unknown);
    }

    #[test]
    fn a_node_that_cannot_ask_keeps_to_its_share_for_a_while() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.go_by_share(RATE, number(1), number(5), at(0)), Granted::Now);

        assert_eq!(allowance.try_take(RATE, number(1), number(5), at(0)), Local::Shared(Granted::Now));
        let after = RATE.interval * 5;
        let later = Local::Shared(Granted::Later { after });
        assert_eq!(allowance.try_take(RATE, number(1), number(5), at(0)), later);
        assert_eq!(allowance.try_take(RATE, number(1), number(5), at(999)), Local::Shared(Granted::Now));
        assert_eq!(allowance.try_take(RATE, number(1), number(5), at(1_000)), Local::Unknown);
    }

    const RATE: Rate = Rate { interval: Duration::from_millis(10), burst: NonZeroU32::new(10).unwrap() };
    const HELD_FOR: Duration = Duration::from_millis(100);

    fn number(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).unwrap()
    }

    fn at(ms: u64) -> Millis {
        Millis::new(ms)
    }
}
