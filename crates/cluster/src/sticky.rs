//! Which backend a key was sent to, so that it goes there again.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::Answer;

/// Routes that may be forgotten: a key without one is balanced anew.
pub trait StickyRoutes: Send + Sync {
    /// Where a key goes, if that is known.
    fn get(&self, key: &str) -> Answer<Option<Arc<str>>>;

    /// Sends a key to `backend`, unless someone was faster: the answer is where it goes.
    fn claim(&self, key: &str, backend: Arc<str>, ttl: Duration) -> Answer<Arc<str>>;

    /// Sends a key to `backend` from now on, wherever it went.
    fn put(&self, key: &str, backend: Arc<str>, ttl: Duration) -> Answer<()>;

    /// Keeps a route for another `ttl`; whether there is one.
    fn touch(&self, key: &str, ttl: Duration) -> Answer<bool>;

    /// Forgets a route; whether there was one.
    fn remove(&self, key: &str) -> Answer<bool>;
}
