//! What was asked of the API server for single pods: each once, and again only when that makes sense.
//!
//! Place in the path: the plan wants a thing each second until it is so; `link.rs` asks here whether to say it now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::time::Millis;

/// How soon what came to nothing for no reason of its own is tried again.
const RETRY_SOON: Duration = Duration::from_secs(2);
/// How soon that is tried again which somebody has to make possible first.
const RETRY_LATE: Duration = Duration::from_secs(30);

/// What can be done to a pod.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Deed {
    Evict,
    Detach,
}

/// What the API server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// It is done, or there is no such pod any more.
    Settled,
    /// Not now.
    Later { reason: String, after: Duration },
}

/// Deeds that were asked for, by the pod's identity.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// On their way, or granted.
    begun: BTreeSet<(Arc<str>, Deed)>,
    /// Refused, and not to be tried before.
    refused: BTreeMap<(Arc<str>, Deed), Millis>,
}

impl Answer {
    /// The API server did not answer sensibly.
    pub(super) fn unavailable(reason: String) -> Self {
        Self::Later { reason, after: RETRY_SOON }
    }

    /// It will not be so until somebody changes something.
    pub(super) fn forbidden(reason: String) -> Self {
        Self::Later { reason, after: RETRY_LATE }
    }

    /// Why it is not so, and when to ask again.
    pub(super) fn retry_at(self, now: Millis) -> Option<(String, Millis)> {
        match self {
            Self::Settled => None,
            Self::Later { reason, after } => Some((reason, now + after)),
        }
    }
}

impl Attempts {
    /// Whether it is to be asked for now.
    pub(super) fn begin(&mut self, uid: &Arc<str>, deed: Deed, now: Millis) -> bool {
        let key = (Arc::clone(uid), deed);
        let is_early = self.refused.get(&key).is_some_and(|retry_at| now < *retry_at);
        !is_early && self.begun.insert(key)
    }

    /// It was not asked for after all.
    pub(super) fn give_back(&mut self, uid: &Arc<str>, deed: Deed) {
        self.begun.remove(&(Arc::clone(uid), deed));
    }

    /// Takes the answer; why it was refused and when to ask again, if it was.
    pub(super) fn answered(
        &mut self,
        uid: &Arc<str>,
        deed: Deed,
        answer: Answer,
        now: Millis,
    ) -> Option<(String, Millis)> {
        let key = (Arc::clone(uid), deed);
        let Some((reason, retry_at)) = answer.retry_at(now) else {
            self.refused.remove(&key);
            return None;
        };
        self.begun.remove(&key);
        self.refused.insert(key, retry_at);
        Some((reason, retry_at))
    }

    /// Forgets pods that are gone.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.begun.retain(|(uid, _)| is_there(uid));
        self.refused.retain(|(uid, _), _| is_there(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eviction_is_asked_for_once_and_again_when_its_refusal_is_over() {
        let mut attempts = Attempts::default();
        let uid: Arc<str> = Arc::from("8d6c");
        let start = Millis::new(1_000);

        assert!(attempts.begin(&uid, Deed::Evict, start));
        assert!(!attempts.begin(&uid, Deed::Evict, start), "it is on its way");
        assert!(attempts.begin(&uid, Deed::Detach, start), "that is another thing");

        let blocked = Answer::Later { reason: "not now".to_owned(), after: Duration::from_secs(5) };
        let refusal = attempts.answered(&uid, Deed::Evict, blocked, start);
        assert_eq!(refusal, Some(("not now".to_owned(), Millis::new(6_000))));
        assert!(!attempts.begin(&uid, Deed::Evict, Millis::new(5_999)));
        assert!(attempts.begin(&uid, Deed::Evict, Millis::new(6_000)));

        assert_eq!(attempts.answered(&uid, Deed::Evict, Answer::Settled, Millis::new(6_100)), None);
        assert!(
            !attempts.begin(&uid, Deed::Evict, Millis::new(60_000)),
            "it is granted and only takes its time"
        );
        attempts.keep(|_| false);
        assert!(attempts.begun.is_empty() && attempts.refused.is_empty());
    }
}
