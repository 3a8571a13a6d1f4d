//! What the gateways' pods belong to, as far as the plan has to know.

use std::sync::Arc;

use crate::model::Millis;

/// The one Deployment that all pods belong to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deployment {
    /// Its name.
    pub name: Arc<str>,
    /// Pods that its ReplicaSets shall have together.
    pub wanted: u64,
    /// Why it was not scaled when that was asked for last, and when it may be tried again.
    pub scaling_refused: Option<(String, Millis)>,
}
