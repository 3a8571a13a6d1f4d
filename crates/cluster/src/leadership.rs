//! Which of several programs leads, under a lease, with a number that grows with each change.
//!
//! Place in the data path: beside it. The number, the epoch, goes along with whatever a leader orders: who has seen a
//! higher one refuses. So a leader that was away and does not know that it was replaced does no harm.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::Answer;

/// One lead that many ask for.
pub trait Leadership: Send + Sync {
    /// Takes the lead if nobody has it, or renews it: then it is `candidate`'s for `ttl` from now.
    ///
    /// `epoch_seen` is the highest epoch known from anywhere else. Whoever leads does so under one that is no lower: a
    /// store that forgot its counter goes on above what others remember.
    fn claim(&self, candidate: &str, ttl: Duration, epoch_seen: u64) -> Answer<Lead>;

    /// Gives the lead up, if `candidate` has it; whether it had.
    fn resign(&self, candidate: &str) -> Answer<bool>;
}

/// Who leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lead {
    /// Its name.
    pub holder: Arc<str>,
    /// Under which number: 1 or higher.
    pub epoch: u64,
}
