//! Evicting a drained pod through the eviction API, so that disruption budgets are asked.
//!
//! Place in the path: `push` for the plan's `Evict`. A refusal is an answer, not an error: the pod holds in `drained`
//! and the operation says `Blocked`.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions};
use kube::Api;
use kube::api::PostParams;
use kube::core::Status;

use super::attempts::Answer;

/// How long to wait where the server names no time: its disruption controller needs about that to count again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What became of an eviction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Evicted {
    /// The pod is being deleted, by this call or before it.
    Granted,
    /// There is no such pod any more, or another one of the same name.
    Gone,
    /// A disruption budget does not allow it now (429).
    Blocked {
        /// When to ask again.
        retry_after: Duration,
        /// The server's words, with the numbers of the budget.
        message: String,
    },
    /// It will not be allowed until somebody changes something: two budgets on one pod (500), or no permission (403).
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

impl From<Evicted> for Answer {
    fn from(evicted: Evicted) -> Self {
        match evicted {
            Evicted::Granted | Evicted::Gone => Self::Settled,
            Evicted::Blocked { retry_after, message } => Self::Later { reason: message, after: retry_after },
            Evicted::Refused { message } => Self::forbidden(message),
            Evicted::Unavailable { message } => Self::unavailable(message),
        }
    }
}

/// Asks for the eviction of the pod `name` with the identity `uid`.
///
/// A second request for a pod that is terminating already is granted too, so a repeated order does no harm.
pub(crate) async fn evict(pods: &Api<Pod>, name: &str, uid: &str) -> Evicted {
    // Not `Api::evict`: kube 5.0 writes its options under `delete_options`, a key that the API server does not know, and
    // the precondition would be lost in silence.
    let answer: Result<Status, kube::Error> =
        pods.create_subresource("eviction", name, &PostParams::default(), &eviction(name, uid)).await;
    answer.map_or_else(|error| meaning(&error), |_| Evicted::Granted)
}

fn eviction(name: &str, uid: &str) -> Eviction {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    Eviction {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        delete_options: Some(DeleteOptions {
            preconditions: Some(preconditions),
            ..DeleteOptions::default()
        }),
    }
}

fn meaning(error: &kube::Error) -> Evicted {
    let kube::Error::Api(status) = error else {
        return Evicted::Unavailable { message: error.to_string() };
    };
    let message = status.message.clone();
    match status.code {
        // 409 is the precondition: the name belongs to another pod now.
        404 | 409 => Evicted::Gone,
        429 => Evicted::Blocked { retry_after: retry_after(status), message: with_causes(status) },
        403 => Evicted::Refused { message },
        // Every other 500 passes; this one is what the eviction API answers for two budgets on one pod.
        500 if message.contains("more than one PodDisruptionBudget") => Evicted::Refused { message },
        _ => Evicted::Unavailable { message },
    }
}

fn retry_after(status: &Status) -> Duration {
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if seconds == 0 { RETRY_AFTER } else { Duration::from_secs(u64::from(seconds)) }
}

/// The server's sentence, and the numbers of the budget, which it puts among the causes.
fn with_causes(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let reasons = causes.map(|cause| cause.message.as_str()).filter(|reason| !reason.is_empty());
    std::iter::once(status.message.as_str()).chain(reasons).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
