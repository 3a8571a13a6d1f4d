//! Scaling the gateways' Deployment down, once the pods that are to go are empty.
//!
//! Place in the path: `push` for the plan's `Scale`. Read, compare, and write on condition that nothing was written in
//! between: somebody else's scale is never written over.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::attempts::Answer;

/// What became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scaled {
    /// The Deployment wants no more than that: by this call, or before it.
    Done,
    /// It wants another number by now than the plan knew of.
    Changed {
        /// How many.
        wanted: u64,
    },
    /// It will not be allowed until somebody changes something.
    Refused {
        /// Why.
        message: String,
    },
    /// The API server did not answer sensibly, or somebody wrote at the same time; to be tried again.
    Unavailable {
        /// Why.
        message: String,
    },
}

impl From<Scaled> for Answer {
    fn from(scaled: Scaled) -> Self {
        match scaled {
            Scaled::Done => Self::Settled,
            Scaled::Changed { wanted } => Self::unavailable(format!("it wants {wanted} pods by now")),
            Scaled::Refused { message } => Self::forbidden(message),
            Scaled::Unavailable { message } => Self::unavailable(message),
        }
    }
}

/// Has the Deployment `name` want `to` pods, if it wants `from` now.
pub(super) async fn scale(deployments: &Api<Deployment>, name: &str, from: u64, to: u64) -> Scaled {
    let scale = match deployments.get_scale(name).await {
        Ok(scale) => scale,
        Err(error) => return meaning(error),
    };
    // 0 is left out on the wire.
    let wanted = scale.spec.and_then(|spec| spec.replicas).unwrap_or(0);
    let wanted = u64::try_from(wanted).unwrap_or(0);
    if wanted <= to {
        return Scaled::Done;
    }
    if wanted != from {
        return Scaled::Changed { wanted };
    }
    let patch =
        json!({"metadata": {"resourceVersion": scale.metadata.resource_version}, "spec": {"replicas": to}});
    let written = deployments.patch_scale(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    written.map_or_else(meaning, |_| Scaled::Done)
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_or_else` hands over")]
fn meaning(error: kube::Error) -> Scaled {
    let kube::Error::Api(status) = &error else {
        return Scaled::Unavailable { message: error.to_string() };
    };
    let message = status.message.clone();
    match status.code {
        403 | 404 | 422 => Scaled::Refused { message },
        // 409 among them: it was written since it was read.
        _ => Scaled::Unavailable { message },
    }
}

#[cfg(test)]
mod tests;
