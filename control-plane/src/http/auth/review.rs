//! Kubernetes users: whose token it is says the API server, what they may do says `[[auth.subjects]]`.
//!
//! Answers are remembered for a while, by the token's hash: a client that asks ten times a second, or guesses, is not
//! passed on ten times a second.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Semaphore;

use super::config::{AuthSubject, Role};
use crate::http::problem::Problem;

/// How long an answer of the API server holds.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// Answers that are remembered; then the oldest ones are forgotten.
pub(super) const REMEMBERED_MAX: usize = 1_024;

/// Questions to the API server at a time; further ones are answered with 503.
const REVIEWS_MAX: usize = 16;

/// Whom a token belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reviewed {
    /// `system:serviceaccount:NAMESPACE:NAME` for a service account.
    pub user: String,
    /// The groups that the user is in.
    pub groups: Vec<String>,
}

/// The API server could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReviewError(pub String);

/// The answer of a review, on its way: `None` if the token belongs to nobody.
pub type Reviewing<'a> = Pin<Box<dyn Future<Output = Result<Option<Reviewed>, ReviewError>> + Send + 'a>>;

/// Someone who knows whose a token is.
pub trait TokenReviewer: Send + Sync {
    /// Asks about one token.
    fn review<'a>(&'a self, token: &'a str) -> Reviewing<'a>;
}

type Hash = [u8; 32];
type Holder = Option<(Arc<str>, Role)>;

pub(super) struct Reviews {
    reviewer: Arc<dyn TokenReviewer>,
    subjects: Box<[AuthSubject]>,
    remembered: Mutex<HashMap<Hash, (Instant, Holder)>>,
    places: Semaphore,
}

impl Reviews {
    pub(super) fn new(reviewer: Arc<dyn TokenReviewer>, subjects: &[AuthSubject]) -> Self {
        let (remembered, places) = (Mutex::default(), Semaphore::new(REVIEWS_MAX));
        Self { reviewer, subjects: subjects.into(), remembered, places }
    }

    /// Whose token it is; `None` if it is nobody's, or of somebody without a role.
    pub(super) async fn holder(&self, token: &str) -> Result<Holder, Problem> {
        let hash: Hash = digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes");
        if let Some(holder) = self.remembered(&hash, Instant::now()) {
            return Ok(holder);
        }
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Problem::unavailable("too many tokens are being looked up in Kubernetes: try again"));
        };
        let reviewed = self.reviewer.review(token).await.map_err(|error| {
            tracing::warn!(%error, "a token cannot be reviewed");
            Problem::unavailable("Kubernetes cannot be asked whose token this is: try again, or use a token of [[auth.tokens]]")
        })?;
        let holder = reviewed.and_then(|reviewed| self.role_of(&reviewed));
        self.remember(hash, holder.clone(), Instant::now());
        Ok(holder)
    }

    /// The highest role of the user and its groups.
    fn role_of(&self, reviewed: &Reviewed) -> Holder {
        let is_meant =
            |subject: &&AuthSubject| subject.name == reviewed.user || reviewed.groups.contains(&subject.name);
        let roles = self.subjects.iter().filter(is_meant).map(|subject| subject.role);
        let highest = roles.reduce(|one, other| if other > one { other } else { one })?;
        Some((reviewed.user.as_str().into(), highest))
    }

    fn remembered(&self, hash: &Hash, now: Instant) -> Option<Holder> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, holder) = remembered.get(hash)?;
        (now.duration_since(*since) < REMEMBERED_FOR).then(|| holder.clone())
    }

    fn remember(&self, hash: Hash, holder: Holder, now: Instant) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, (since, _)| now.duration_since(*since) < REMEMBERED_FOR);
        }
        if remembered.len() >= REMEMBERED_MAX {
            let oldest = remembered.iter().min_by_key(|(_, (since, _))| *since).map(|(hash, _)| *hash);
            oldest.and_then(|oldest| remembered.remove(&oldest));
        }
        remembered.insert(hash, (now, holder));
    }

    #[cfg(test)]
    pub(super) fn remembered_now(&self) -> usize {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl fmt::Debug for Reviews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reviews").field("subjects", &self.subjects).finish_non_exhaustive()
    }
}
