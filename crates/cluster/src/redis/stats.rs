//! Books about the calls to Redis, for a metrics endpoint. Counting waits for nobody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::answer::{Part, Reason};
use crate::memory::count::{Counter, Level};

/// What a call is for: one step of one trait.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
#[expect(missing_docs, reason = "part and verb of the trait's method say it")]
pub enum Operation {
    HistoryAppend,
    HistoryRead,
    HistoryHeads,
    HistoryRemove,
    IdempotencyClaim,
    IdempotencyRelease,
    SessionsCreate,
    SessionsResume,
    SessionsGiveBack,
    SessionsSave,
    SessionsTouch,
    SessionsDetach,
    SessionsEnd,
    SessionsRemove,
    SessionsGet,
    SessionsList,
    SessionsRevoke,
    SessionsIsRevoked,
    PresenceTouch,
    PresenceJoin,
    PresenceLeave,
    PresenceList,
    PresenceReap,
    DirectoryAnnounce,
    DirectoryWithdraw,
    DirectoryNodes,
    DirectoryRegister,
    DirectoryUnregister,
    DirectoryLocate,
    StickyGet,
    StickyClaim,
    StickyPut,
    StickyTouch,
    StickyRemove,
    BudgetTake,
    BudgetReport,
    DocumentsRead,
    DocumentsWrite,
    LeadershipClaim,
    Index,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// With an answer.
    Answered,
    /// Refused before it was sent: the server is down, or there are too many calls under way.
    Refused,
    /// The server could not do it, and changed nothing.
    Down,
    /// No answer in time, or the connection ended before one came.
    TimedOut,
    /// The server has no room.
    Full,
    /// The answer made no sense.
    Faulty,
}

/// What was counted since the start. See [`RedisClient::stats`](super::RedisClient::stats).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stats {
    /// Calls by operation and outcome; operations that never happened are left out.
    pub calls: Vec<OperationStats>,
    /// Calls without an answer yet.
    pub in_flight: usize,
    /// Calls that were sent with their whole script, since the server did not know it.
    pub scripts_loaded_total: u64,
    /// Times a connection was made again.
    pub reconnects_total: u64,
    /// Times calls began to be refused.
    pub opened_total: u64,
    /// Bytes of keys and arguments.
    pub sent_bytes_total: u64,
    /// Bytes of answers.
    pub received_bytes_total: u64,
}

/// The books of one operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OperationStats {
    /// Which.
    pub operation: Operation,
    /// Calls by how they ended, as in [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Time that all answered calls took together.
    pub latency_sum: Duration,
}

/// Where it is counted.
#[derive(Debug)]
pub(super) struct Counts {
    operations: [OperationCounts; Operation::ALL.len()],
    pub(super) in_flight: Level,
    pub(super) scripts_loaded: Counter,
    pub(super) reconnects: Counter,
    pub(super) opened: Counter,
    pub(super) sent_bytes: Counter,
    pub(super) received_bytes: Counter,
}

#[derive(Debug, Default)]
struct OperationCounts {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    latency_us: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            operations: std::array::from_fn(|_| OperationCounts::default()),
            in_flight: Level::default(),
            scripts_loaded: Counter::default(),
            reconnects: Counter::default(),
            opened: Counter::default(),
            sent_bytes: Counter::default(),
            received_bytes: Counter::default(),
        }
    }
}

impl Counts {
    pub(super) fn note(&self, operation: Operation, outcome: Outcome, latency: Duration) {
        let counts = &self.operations[operation as usize];
        counts.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Answered {
            let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            counts.latency_us.fetch_add(latency_us, Ordering::Relaxed);
        }
    }

    /// Answered calls so far, and how long they took together.
    pub(super) fn answered(&self) -> (u64, Duration) {
        let answered = Outcome::Answered as usize;
        self.operations.iter().fold((0, Duration::ZERO), |(calls, latency), counts| {
            let more = Duration::from_micros(counts.latency_us.load(Ordering::Relaxed));
            (calls + counts.outcomes[answered].load(Ordering::Relaxed), latency + more)
        })
    }

    pub(super) fn stats(&self) -> Stats {
        let read = |(operation, counts): (&Operation, &OperationCounts)| OperationStats {
            operation: *operation,
            outcomes: counts.outcomes.each_ref().map(|outcome| outcome.load(Ordering::Relaxed)),
            latency_sum: Duration::from_micros(counts.latency_us.load(Ordering::Relaxed)),
        };
        let happened = |stats: &OperationStats| stats.outcomes.iter().any(|count| *count > 0);
        Stats {
            calls: Operation::ALL.iter().zip(&self.operations).map(read).filter(happened).collect(),
            in_flight: self.in_flight.now(),
            scripts_loaded_total: self.scripts_loaded.total(),
            reconnects_total: self.reconnects.total(),
            opened_total: self.opened.total(),
            sent_bytes_total: self.sent_bytes.total(),
            received_bytes_total: self.received_bytes.total(),
        }
    }
}

impl Stats {
    /// Calls of an operation that ended like this.
    pub fn count(&self, operation: Operation, outcome: Outcome) -> u64 {
        let found = self.calls.iter().find(|stats| stats.operation == operation);
        found.map_or(0, |stats| stats.outcomes[outcome as usize])
    }
}

impl Outcome {
    /// Each of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Answered, Self::Refused, Self::Down, Self::TimedOut, Self::Full, Self::Faulty];

    /// A word for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Down => "down",
            Self::TimedOut => "timed_out",
            Self::Full => "full",
            Self::Faulty => "faulty",
        }
    }
}

impl From<Reason> for Outcome {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Down => Self::Down,
            Reason::TimedOut => Self::TimedOut,
            Reason::Full => Self::Full,
            Reason::Faulty => Self::Faulty,
        }
    }
}

macro_rules! operations {
    ($($operation:ident, $label:literal, $part:ident;)*) => {
        impl Operation {
            /// Each of them, in the order of their numbers.
            pub const ALL: [Self; [$($label),*].len()] = [$(Self::$operation),*];

            /// A word for metric labels.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$operation => $label,)*
                }
            }

            /// Whose step it is.
            pub const fn part(self) -> Part {
                match self {
                    $(Self::$operation => Part::$part,)*
                }
            }
        }
    };
}

operations! {
    HistoryAppend, "history_append", History;
    HistoryRead, "history_read", History;
    HistoryHeads, "history_heads", History;
    HistoryRemove, "history_remove", History;
    IdempotencyClaim, "idempotency_claim", Idempotency;
    IdempotencyRelease, "idempotency_release", Idempotency;
    SessionsCreate, "sessions_create", Sessions;
    SessionsResume, "sessions_resume", Sessions;
    SessionsGiveBack, "sessions_give_back", Sessions;
    SessionsSave, "sessions_save", Sessions;
    SessionsTouch, "sessions_touch", Sessions;
    SessionsDetach, "sessions_detach", Sessions;
    SessionsEnd, "sessions_end", Sessions;
    SessionsRemove, "sessions_remove", Sessions;
    SessionsGet, "sessions_get", Sessions;
    SessionsList, "sessions_list", Sessions;
    SessionsRevoke, "sessions_revoke", Sessions;
    SessionsIsRevoked, "sessions_is_revoked", Sessions;
    PresenceTouch, "presence_touch", Presence;
    PresenceJoin, "presence_join", Presence;
    PresenceLeave, "presence_leave", Presence;
    PresenceList, "presence_list", Presence;
    PresenceReap, "presence_reap", Presence;
    DirectoryAnnounce, "directory_announce", Directory;
    DirectoryWithdraw, "directory_withdraw", Directory;
    DirectoryNodes, "directory_nodes", Directory;
    DirectoryRegister, "directory_register", Directory;
    DirectoryUnregister, "directory_unregister", Directory;
    DirectoryLocate, "directory_locate", Directory;
    StickyGet, "sticky_get", StickyRoutes;
    StickyClaim, "sticky_claim", StickyRoutes;
    StickyPut, "sticky_put", StickyRoutes;
    StickyTouch, "sticky_touch", StickyRoutes;
    StickyRemove, "sticky_remove", StickyRoutes;
    BudgetTake, "budget_take", Budget;
    BudgetReport, "budget_report", Budget;
    DocumentsRead, "documents_read", Documents;
    DocumentsWrite, "documents_write", Documents;
    LeadershipClaim, "leadership_claim", Leadership;
    Index, "index", Sessions;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists_agree() {
        for (at, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, at, "{operation:?}");
        }
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at, "{outcome:?}");
        }
    }

    #[test]
    fn calls_are_counted_by_operation_and_outcome() {
        let counts = Counts::default();
        let ms = Duration::from_millis(1);
        counts.note(Operation::HistoryRead, Outcome::Answered, ms);
        counts.note(Operation::HistoryRead, Outcome::Answered, 2 * ms);
        counts.note(Operation::HistoryRead, Outcome::TimedOut, 100 * ms);

        let stats = counts.stats();
        assert_eq!(stats.count(Operation::HistoryRead, Outcome::Answered), 2);
        assert_eq!(stats.count(Operation::HistoryRead, Outcome::TimedOut), 1);
        assert_eq!(stats.count(Operation::HistoryAppend, Outcome::Answered), 0);
        assert_eq!(stats.calls.len(), 1);
        assert_eq!((stats.calls[0].latency_sum, counts.answered()), (3 * ms, (2, 3 * ms)));
    }
}
