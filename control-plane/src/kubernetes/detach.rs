//! Taking a pod from its ReplicaSet, so that this starts another one at once: the label that ties the two is removed.
//!
//! Place in the path: `push` for the plan's `Detach`. The pod remembers the label in an annotation, so that its revision
//! stays known; Service and disruption budget select it as before, since neither asks for that label. Nobody deletes it
//! from then on but who asked for this.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::attempts::Answer;
use super::facts::{DETACHED_FROM, REVISION_LABEL};

/// What became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Detached {
    /// It belongs to no ReplicaSet: by this call, or before it.
    Done,
    /// There is no such pod any more, or another one of the same name.
    Gone,
    /// It will not be allowed until somebody changes something.
    Refused {
        /// Why.
        message: String,
    },
    /// The API server did not answer sensibly; to be tried again.
    Unavailable {
        /// Why.
        message: String,
    },
}

impl From<Detached> for Answer {
    fn from(detached: Detached) -> Self {
        match detached {
            Detached::Done | Detached::Gone => Self::Settled,
            Detached::Refused { message } => Self::forbidden(message),
            Detached::Unavailable { message } => Self::unavailable(message),
        }
    }
}

/// Takes the pod `name` with the identity `uid` from the ReplicaSet of this revision. Repeated, it changes nothing.
pub(super) async fn detach(pods: &Api<Pod>, name: &str, uid: &str, revision: &str) -> Detached {
    let patch = Patch::Merge(patch(uid, revision));
    match pods.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => Detached::Done,
        Err(kube::Error::Api(status)) => match status.code {
            // 409 is the identity: the name belongs to another pod now.
            404 | 409 => Detached::Gone,
            403 | 422 => Detached::Refused { message: status.message.clone() },
            _ => Detached::Unavailable { message: status.message.clone() },
        },
        Err(error) => Detached::Unavailable { message: error.to_string() },
    }
}

/// In one write: a pod without the label that does not remember it would have no revision.
fn patch(uid: &str, revision: &str) -> Value {
    json!({"metadata": {"uid": uid, "labels": {REVISION_LABEL: null}, "annotations": {DETACHED_FROM: revision}}})
}

#[cfg(test)]
mod tests;
