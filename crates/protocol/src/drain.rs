//! Words of a drain: what a coordinator orders a gateway to do with its clients, and what the gateway reports.
//!
//! Place in the data path: none. They travel as JSON over a gateway's admin port: [`DrainOrder`] is the body of
//! `PUT /drain/order`, [`DrainReport`] the answer, and that of `GET /drain`; [`Blocklist`] is the body of
//! `PUT /admission/blocked`. Unknown keys are passed over and unknown words kept or read as `unknown`, so that nodes of
//! neighbouring versions understand each other.

mod report;
mod seconds;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::report::{BackendHealth, DrainLoad, DrainReport, DrainSource, SlowAddress};

/// Characters of an [`OperationId`].
pub const OPERATION_ID_CHARS_MAX: usize = 64;

/// Bytes of [`DrainOrder::reason`]; a longer one is cut by whoever reads it.
pub const REASON_BYTES_MAX: usize = 256;

/// Addresses in one [`Blocklist`].
pub const BLOCKED_MAX: usize = 1_024;

/// Addresses in [`DrainReport::slow_addresses`].
pub const SLOW_ADDRESSES_MAX: usize = 32;

/// How long an order holds where it does not say.
pub const ORDER_TTL_DEFAULT: Duration = Duration::from_secs(10);

/// Where a gateway stands between serving and gone; in an order, where it is wanted.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum DrainPhase {
    /// Clients are served.
    #[default]
    Serving,
    /// New clients should not come any more; nobody is sent away yet.
    Announcing,
    /// Clients are sent away in a pace.
    Evicting,
    /// Neither are clients sent away nor do new ones come.
    Paused,
    /// The deadline is near: whoever is left is sent away over the margin.
    Bursting,
    /// Every client was sent away; their sessions are awaited on other nodes.
    Settling,
    /// Nobody is left: safe to end.
    Drained,
    /// A given number of sessions leaves for other nodes.
    Rebalancing,
    /// A word of a later version.
    Other(Arc<str>),
}

/// Names an operation of the control plane: 1 to 64 characters of `A-Z a-z 0-9 . _ -`. Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OperationId(Arc<str>);

/// Text that is no [`OperationId`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an operation's id has 1 to 64 characters of A-Z, a-z, 0-9, \".\", \"_\" and \"-\"")]
pub struct OperationIdError;

/// What a gateway does when the orders of its coordinator stop coming.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCoordinatorLoss {
    /// Finishes the drain by itself.
    #[default]
    Continue,
    /// Sends nobody away any more, and takes no new clients.
    Pause,
    /// Serves again.
    ResumeServing,
}

/// The state that a coordinator wants a gateway in. Repeated each tick, and complete each time: the last one holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DrainOrder {
    /// The operation it belongs to.
    pub op: OperationId,
    /// The leader's fencing number: an order of a lower one than was ever seen is refused.
    pub epoch: u64,
    /// Counts the orders of an epoch; one that is lower than the last is refused.
    pub seq: u64,
    /// The wanted phase.
    pub phase: DrainPhase,
    /// Most clients sent away a second; without it, the gateway's own pace alone holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// When everyone must be gone, from receipt; without it there is no deadline while orders come, and the gateway takes its
    /// own `drain.window` once they end.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// How long the order holds without being repeated.
    #[serde(default = "ttl_default", with = "seconds")]
    pub ttl: Duration,
    /// How long load balancers may go on sending clients after readiness is gone.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub lb_propagation: Option<Duration>,
    /// How long sessions that were sent away are awaited elsewhere at most.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub settle: Option<Duration>,
    /// How long a client that was told to leave may take before it is closed.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub leave_grace: Option<Duration>,
    /// With how many connections left eviction is done.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exit_at: u64,
    /// What to do when the order ends without a successor.
    #[serde(default)]
    pub on_coordinator_loss: OnCoordinatorLoss,
    /// Why, in a person's words: for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// How many sessions a rebalance moves away, counted from its first order on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<u64>,
    /// The operation's trace (W3C `traceparent`): the gateway's part becomes a child of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<str>>,
}

/// Addresses whose handshakes are refused for a while; each list replaces the one before.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Blocklist {
    /// As in a [`DrainOrder`].
    pub epoch: u64,
    /// As in a [`DrainOrder`]; counted apart from it.
    pub seq: u64,
    /// How long the list holds without being repeated.
    #[serde(with = "seconds")]
    pub ttl: Duration,
    /// Addresses and prefixes (`10.0.0.7`, `2001:db8::/64`): at most [`BLOCKED_MAX`].
    pub addresses: Vec<Arc<str>>,
}

impl DrainPhase {
    /// Every phase this version knows, in the order of a drain.
    pub const ALL: [Self; 8] = [
        Self::Serving,
        Self::Announcing,
        Self::Evicting,
        Self::Paused,
        Self::Bursting,
        Self::Settling,
        Self::Drained,
        Self::Rebalancing,
    ];

    /// Its word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Serving => "serving",
            Self::Announcing => "announcing",
            Self::Evicting => "evicting",
            Self::Paused => "paused",
            Self::Bursting => "bursting",
            Self::Settling => "settling",
            Self::Drained => "drained",
            Self::Rebalancing => "rebalancing",
            Self::Other(word) => word,
        }
    }

    /// The phase of a word; each has one.
    pub fn of_word(word: &str) -> Self {
        let known = Self::ALL.into_iter().find(|phase| phase.as_str() == word);
        known.unwrap_or_else(|| Self::Other(word.into()))
    }
}

impl fmt::Display for DrainPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for DrainPhase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for DrainPhase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::of_word(&word))
    }
}

impl OperationId {
    /// Checks and copies an id.
    pub fn parse(id: &str) -> Result<Self, OperationIdError> {
        let fits = (1..=OPERATION_ID_CHARS_MAX).contains(&id.len());
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !fits || !id.bytes().all(is_plain) {
            return Err(OperationIdError);
        }
        Ok(Self(id.into()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for OperationId {
    type Err = OperationIdError;

    fn from_str(id: &str) -> Result<Self, OperationIdError> {
        Self::parse(id)
    }
}

impl Serialize for OperationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OperationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl DrainOrder {
    /// An order without anything that may be left out.
    pub fn new(op: OperationId, epoch: u64, seq: u64, phase: DrainPhase) -> Self {
        Self {
            op,
            epoch,
            seq,
            phase,
            rate: None,
            deadline: None,
            ttl: ORDER_TTL_DEFAULT,
            lb_propagation: None,
            settle: None,
            leave_grace: None,
            exit_at: 0,
            on_coordinator_loss: OnCoordinatorLoss::default(),
            reason: None,
            moves: None,
            trace: None,
        }
    }
}

fn ttl_default() -> Duration {
    ORDER_TTL_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
