//! Telling a scale-down which pod to take first: `controller.kubernetes.io/pod-deletion-cost`, the lowest goes first.
//!
//! Place in the path: `push` for the plan's `DeletionCost`. Each change is a write to the API server and goes out to all
//! that watch pods (KEP-2255 warns of it), so only a change is written, and not more than so many in a minute.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::facts::DELETION_COST;

/// Decides which costs are written now.
#[derive(Debug)]
pub(crate) struct CostWriter {
    changes_max: u32,
    /// Writes since the minute began.
    written: u32,
    minute_began: Instant,
}

/// One annotation to be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CostChange {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) cost: i32,
}

/// What was asked for a pod, and what stands there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CostWish {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) cost: i32,
    pub(crate) stands: i32,
}

const MINUTE: Duration = Duration::from_secs(60);

impl CostWriter {
    /// Lets `changes_per_minute` through.
    pub(crate) fn new(changes_per_minute: NonZeroU32, now: Instant) -> Self {
        Self { changes_max: changes_per_minute.get(), written: 0, minute_began: now }
    }

    /// The changes to write now, those of pods that are to be drained first. What is not let through now is asked again
    /// with the next round, with the figures of that time.
    pub(crate) fn admit(
        &mut self,
        wishes: impl IntoIterator<Item = CostWish>,
        now: Instant,
    ) -> Vec<CostChange> {
        if now.duration_since(self.minute_began) >= MINUTE {
            self.minute_began = now;
            self.written = 0;
        }
        let changed = wishes.into_iter().filter(|wish| wish.cost != wish.stands);
        let by_urgency: BTreeMap<(i32, String), CostWish> =
            changed.map(|wish| ((wish.cost, wish.pod.clone()), wish)).collect();
        let room = usize::try_from(self.changes_max - self.written).unwrap_or(usize::MAX);
        let admitted: Vec<CostChange> = by_urgency
            .into_values()
            .take(room)
            .map(|wish| CostChange { pod: wish.pod, uid: wish.uid, cost: wish.cost })
            .collect();
        self.written += u32::try_from(admitted.len()).unwrap_or(u32::MAX);
        admitted
    }
}

/// Writes one annotation. The identity goes along: another pod of the same name answers 409 and keeps what it has.
///
/// # Errors
///
/// What the API server says, 404 and 409 among it.
pub(crate) async fn write(pods: &Api<Pod>, change: &CostChange) -> Result<(), kube::Error> {
    let patch =
        json!({"metadata": {"uid": change.uid, "annotations": {DELETION_COST: change.cost.to_string()}}});
    pods.patch(&change.pod, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written_and_no_more_than_allowed_in_a_minute() {
        let start = Instant::now();
        let mut writer = CostWriter::new(nonzero(2), start);
        let wishes = [wish("a", 3, 3), wish("b", 5, 4), wish("c", -1_000, 7), wish("d", 9, 0)];

        let first = writer.admit(wishes.clone(), start);
        assert_eq!(names(&first), ["c", "b"], "what is drained goes first, what stands is left alone");
        assert!(writer.admit(wishes.clone(), start + Duration::from_secs(59)).is_empty());
        assert_eq!(writer.admit(wishes, start + MINUTE).len(), 2);
    }

    fn names(changes: &[CostChange]) -> Vec<&str> {
        changes.iter().map(|change| change.pod.as_str()).collect()
    }

    fn wish(pod: &str, cost: i32, stands: i32) -> CostWish {
        CostWish { pod: pod.to_owned(), uid: format!("{pod}-uid"), cost, stands }
    }

    fn nonzero(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).expect("tests pass literals above zero")
    }
}
