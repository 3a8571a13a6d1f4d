//! Faults by our own hand, at random times from a seed: connections that break, and subscribers that stop reading for a while.
//!
//! Place in the data path: none; `verify.rs` asks what is to be done and does it.

use std::time::Duration;

use crate::clock::Nanos;
use crate::engine::Goodbye;
use crate::random::Random;

/// What is to be done, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MischiefPlan {
    /// Between two cuts on average; `None`: no cuts.
    pub(crate) drop_every: Option<Duration>,
    /// The longest a cut client stays away.
    pub(crate) away: Duration,
    /// How long a stalled subscriber reads nothing; `None`: no stalls.
    pub(crate) stall: Option<Duration>,
    /// Between two stalls on average.
    pub(crate) stall_every: Duration,
    /// The same seed does the same to the same clients, as far as the server lets it.
    pub(crate) seed: u64,
}

/// One deed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deed {
    /// Breaks the connection of someone, who comes back this much later.
    Cut { goodbye: Goodbye, away: Duration },
    /// Someone stops reading.
    Stall { length: Duration },
}

/// Deeds in time.
#[derive(Debug)]
pub(super) struct Mischief {
    plan: MischiefPlan,
    random: Random,
    cut_at: Nanos,
    stall_at: Nanos,
}

impl Mischief {
    pub(super) fn new(plan: MischiefPlan, now: Nanos) -> Self {
        let mut mischief =
            Self { plan, random: Random::new(plan.seed), cut_at: Nanos(u64::MAX), stall_at: Nanos(u64::MAX) };
        if let Some(every) = plan.drop_every {
            mischief.cut_at = mischief.after(now, every);
        }
        if plan.stall.is_some() {
            mischief.stall_at = mischief.after(now, plan.stall_every);
        }
        mischief
    }

    /// The next deed that is due, with a number below `end` that says whom it hits.
    pub(super) fn next_deed(&mut self, end: usize, now: Nanos) -> Option<(Deed, usize)> {
        if let Some(every) = self.plan.drop_every
            && self.cut_at <= now
        {
            self.cut_at = self.after(self.cut_at, every);
            let goodbye = if self.random.below(2) == 0 { Goodbye::Fin } else { Goodbye::Reset };
            let away = self.random.duration(self.plan.away);
            return Some((Deed::Cut { goodbye, away }, self.random.below(end)));
        }
        if let Some(length) = self.plan.stall
            && self.stall_at <= now
        {
            self.stall_at = self.after(self.stall_at, self.plan.stall_every);
            return Some((Deed::Stall { length }, self.random.below(end)));
        }
        None
    }

    pub(super) fn due_at(&self) -> Nanos {
        self.cut_at.min(self.stall_at)
    }

    /// Evenly between now and twice the average.
    fn after(&mut self, at: Nanos, every: Duration) -> Nanos {
        at + self.random.duration(every * 2).max(Duration::from_micros(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: MischiefPlan = MischiefPlan {
        drop_every: Some(Duration::from_millis(10)),
        away: Duration::from_millis(5),
        stall: Some(Duration::from_millis(3)),
        stall_every: Duration::from_millis(20),
        seed: 42,
    };

    #[test]
    fn deeds_come_as_often_as_asked_and_the_same_again_with_the_same_seed() {
        let deeds = deeds(PLAN);
        let cuts = deeds.iter().filter(|(deed, _)| matches!(deed, Deed::Cut { .. })).count();
        let stalls = deeds.len() - cuts;
        assert!((80..120).contains(&cuts) && (35..65).contains(&stalls), "{cuts} cuts, {stalls} stalls");
        assert!(deeds.iter().all(|(_, whom)| *whom < 7));
        assert_eq!(self::deeds(PLAN), deeds);
        assert_ne!(self::deeds(MischiefPlan { seed: 43, ..PLAN }), deeds);
    }

    #[test]
    fn nothing_is_done_that_was_not_asked_for() {
        assert!(deeds(MischiefPlan { drop_every: None, stall: None, ..PLAN }).is_empty());
    }

    /// Of one second.
    fn deeds(plan: MischiefPlan) -> Vec<(Deed, usize)> {
        let mut mischief = Mischief::new(plan, Nanos(0));
        let mut deeds = Vec::new();
        while mischief.due_at() <= Nanos(1_000_000_000) {
            let now = mischief.due_at();
            deeds.extend(mischief.next_deed(7, now));
        }
        deeds
    }
}
