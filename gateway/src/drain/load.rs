//! How busy the node is, over the last seconds: rates and percentiles out of counters that only grow.

use std::collections::VecDeque;
use std::time::Instant;

use crate::ending::HandshakeOutcome;
use crate::metrics::stats::DurationTotal;
use crate::node::Node;

/// Looks that are kept: one a second.
const LOOKS: usize = 6;

/// What was counted at the last few looks.
#[derive(Debug, Default)]
pub(super) struct Rates(VecDeque<Look>);

#[derive(Debug)]
struct Look {
    at: Instant,
    handshakes: Vec<(f64, u64)>,
    refused: u64,
    resumes: Vec<(f64, u64)>,
    messages_in: u64,
    messages_out: u64,
}

/// A second's worth of work, on average over the looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    pub(super) handshakes_per_second: f64,
    pub(super) refused_per_second: f64,
    pub(super) handshake_p99_ms: f64,
    pub(super) resume_p99_ms: f64,
    pub(super) messages_in_per_second: f64,
    pub(super) messages_out_per_second: f64,
}

impl Rates {
    /// Looks now, once a second.
    pub(super) fn look(&mut self, node: &Node, now: Instant) {
        let mut handshakes = DurationTotal::default();
        node.stats.iter().for_each(|stats| stats.handshake_durations.add_to(&mut handshakes));
        if self.0.len() == LOOKS {
            self.0.pop_front();
        }
        self.0.push_back(Look {
            at: now,
            handshakes: handshakes.buckets,
            refused: refused_for_want_of_room(node),
            resumes: node.broker.stats.resume_durations.total().buckets,
            messages_in: node.stats.iter().map(|stats| stats.messages_in.get()).sum(),
            messages_out: node.stats.iter().map(|stats| stats.messages_out.get()).sum(),
        });
    }

    pub(super) fn pace(&self) -> Pace {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else { return Pace::default() };
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return Pace::default();
        }
        let buckets = between(&first.handshakes, &last.handshakes);
        let rate = |count: u64| as_float(count) / seconds;
        Pace {
            handshakes_per_second: rate(buckets.iter().map(|(_, count)| count).sum()),
            refused_per_second: rate(last.refused.saturating_sub(first.refused)),
            handshake_p99_ms: percentile(&buckets, 0.99) * 1e3,
            resume_p99_ms: percentile(&between(&first.resumes, &last.resumes), 0.99) * 1e3,
            messages_in_per_second: rate(last.messages_in.saturating_sub(first.messages_in)),
            messages_out_per_second: rate(last.messages_out.saturating_sub(first.messages_out)),
        }
    }
}

fn refused_for_want_of_room(node: &Node) -> u64 {
    let outcomes = HandshakeOutcome::ALL.into_iter().filter(|outcome| outcome.is_for_want_of_room());
    outcomes
        .flat_map(|outcome| node.stats.iter().map(move |stats| stats.handshakes[outcome as usize].get()))
        .sum()
}

/// What was observed between two looks.
fn between(first: &[(f64, u64)], last: &[(f64, u64)]) -> Vec<(f64, u64)> {
    let pairs = last.iter().zip(first);
    pairs.map(|(&(bound, after), &(_, before))| (bound, after.saturating_sub(before))).collect()
}

/// The bound below which `part` of the observations lie, as far as buckets tell: within one, they count as spread
/// evenly. Those over the last bound count as twice that.
fn percentile(buckets: &[(f64, u64)], part: f64) -> f64 {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return 0.0;
    }
    let rank = as_float(total) * part;
    let (mut below, mut low) = (0.0, 0.0);
    for &(bound, count) in buckets {
        let count = as_float(count);
        if count > 0.0 && below + count >= rank {
            let high = if bound.is_finite() { bound } else { 2.0 * low };
            return low + (high - low) * ((rank - below) / count);
        }
        below += count;
        low = if bound.is_finite() { bound } else { low };
    }
    low
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds are far below 2^52")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_lies_in_the_bucket_that_holds_its_rank() {
        let buckets = [(0.001, 50), (0.01, 40), (0.1, 10), (f64::INFINITY, 0)];
        assert!((percentile(&buckets, 0.5) - 0.001).abs() < 1e-9);
        assert!((percentile(&buckets, 0.99) - 0.091).abs() < 1e-9);
        assert!((percentile(&[(1.0, 0), (f64::INFINITY, 3)], 0.5) - 1.5).abs() < 1e-9);
        assert!(percentile(&[(1.0, 0)], 0.99).abs() < 1e-9);
    }
}
