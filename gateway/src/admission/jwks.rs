//! Keys that an identity provider publishes (JSON Web Key Set, RFC 7517): fetched, kept, and exchanged when they rotate.
//!
//! Place in the data path: beside it. A worker reads the current set without a lock; fetching happens on the tokio side,
//! now and then, and when a token names a key that is not in the set. Such tokens can be made by anybody, so however
//! many come, they cause one fetch at a time, with a pause after it. A set that cannot be fetched leaves the old one.

mod set;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::{StatusCode, Uri};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::{self, Instant};

use self::set::SetError;
use super::outgoing::{Client, RequestError};
use super::token::key::KeySet;
use crate::config::auth::Jwt;

/// Bytes of a key set: a hundred large keys fit.
const SET_BYTES_MAX: usize = 256 << 10;

/// The keys of one provider. Shared by all workers and the task that keeps them fresh.
#[derive(Debug)]
pub(crate) struct Keys {
    source: Source,
    current: ArcSwap<KeySet>,
    timing: Timing,
    /// Held while a fetch is under way; when the last one began.
    fetching: Mutex<Option<Instant>>,
    /// When the current keys were read, in milliseconds after `made_at`, plus one; 0: never.
    read_at_ms: AtomicU64,
    made_at: Instant,
    stats: KeysStats,
}

/// Where the keys come from.
#[derive(Debug)]
enum Source {
    Url(Box<(Client, Uri)>),
    File(PathBuf),
}

#[derive(Clone, Copy, Debug)]
struct Timing {
    /// Between two fetches that nothing asked for.
    refresh: Duration,
    /// Between two fetches at least, whoever asks.
    pause: Duration,
    timeout: Duration,
}

/// What has been done about the keys so far.
#[derive(Debug, Default)]
pub(crate) struct KeysStats {
    /// Fetches that ended, well or not.
    pub(crate) fetches: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// Fetches that were asked for and not made, for one had just been.
    pub(crate) held_back: AtomicU64,
}

/// The keys could not be read; the ones from before stay.
#[derive(Debug, Error)]
pub(crate) enum KeysError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    #[error("the file cannot be read: {0}")]
    File(#[from] std::io::Error),
    #[error("the file has more than {SET_BYTES_MAX} bytes")]
    FileTooLong,
    #[error(transparent)]
    Set(#[from] SetError),
}

impl Keys {
    /// The key set that the configuration names, if it names one. A file is read at once, and a fault in it ends the
    /// start; a server is first asked by [`run`](Self::run), for a gateway should start while it is away.
    pub(crate) fn from_config(config: &Jwt, client: &Client) -> Result<Option<Arc<Self>>, KeysError> {
        let timing =
            Timing { refresh: config.jwks_refresh, pause: config.jwks_pause, timeout: config.jwks_timeout };
        if let Some(path) = &config.jwks_file {
            let keys = Self::new(Source::File(path.clone()), timing);
            keys.take(set::parse(&read(path)?)?);
            return Ok(Some(Arc::new(keys)));
        }
        let url = config.jwks_url.as_ref().and_then(|url| url.parse().ok());
        Ok(url.map(|url| Arc::new(Self::new(Source::Url(Box::new((client.clone(), url))), timing))))
    }

    fn new(source: Source, timing: Timing) -> Self {
        Self {
            source,
            current: ArcSwap::default(),
            timing,
            fetching: Mutex::new(None),
            read_at_ms: AtomicU64::new(0),
            made_at: Instant::now(),
            stats: KeysStats::default(),
        }
    }

    /// The keys as they were last read.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.current.load()
    }

    /// Whether there was a set at any time.
    pub(crate) fn has_keys(&self) -> bool {
        !self.current.load().is_empty()
    }

    /// How old the current keys are; `None`: there never were any.
    pub(crate) fn age(&self) -> Option<Duration> {
        let read_at = Duration::from_millis(self.read_at_ms.load(Ordering::Relaxed).checked_sub(1)?);
        Some(self.made_at.elapsed().saturating_sub(read_at))
    }

    fn take(&self, keys: KeySet) {
        self.current.store(Arc::new(keys));
        let read_at_ms = u64::try_from(self.made_at.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.read_at_ms.store(read_at_ms + 1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> &KeysStats {
        &self.stats
    }

    /// Keeps the keys fresh until it is dropped. After a failure it asks again sooner, with growing pauses.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut retry = self.timing.pause;
        loop {
            let failures = self.stats.failures.load(Ordering::Relaxed);
            self.refresh().await;
            let failed = self.stats.failures.load(Ordering::Relaxed) != failures;
            let wait = if failed { retry.min(self.timing.refresh) } else { self.timing.refresh };
            retry = if failed { retry.saturating_mul(2).min(self.timing.refresh) } else { self.timing.pause };
            time::sleep(wait).await;
        }
    }

    /// Reads the keys again, unless that was just done; returns when they are as fresh as they get.
    ///
    /// A task of its own does it: the client whose token asked may leave meanwhile, and others wait for the same.
    pub(crate) async fn refresh(self: &Arc<Self>) {
        let keys = Arc::clone(self);
        let fetches = keys.stats.fetches.load(Ordering::Relaxed);
        // An error would be a panic, which has been reported where it happened.
        let _ = tokio::spawn(async move { keys.fetch_unless_done(fetches).await }).await;
    }

    /// `fetches` is how many there had been when this one was asked for.
    async fn fetch_unless_done(&self, fetches: u64) {
        let mut last = self.fetching.lock().await;
        if self.stats.fetches.load(Ordering::Relaxed) != fetches {
            return;
        }
        if last.is_some_and(|last| last.elapsed() < self.timing.pause) {
            self.stats.held_back.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *last = Some(Instant::now());
        let fetched = time::timeout(self.timing.timeout, self.fetch()).await;
        match fetched.unwrap_or(Err(KeysError::Timeout(self.timing.timeout))) {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "key set read");
                self.take(keys);
            }
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                let kept = self.current.load().len();
                tracing::warn!(%error, kept, "key set not read; tokens are checked with the keys from before");
            }
        }
        self.stats.fetches.fetch_add(1, Ordering::Relaxed);
    }

    async fn fetch(&self) -> Result<KeySet, KeysError> {
        let text = match &self.source {
            Source::Url(server) => {
                let (client, url) = &**server;
                let answer = client.get(url, SET_BYTES_MAX).await?;
                if answer.status != StatusCode::OK {
                    return Err(KeysError::Status(answer.status));
                }
                answer.body.to_vec()
            }
            Source::File(path) => {
                // File systems may hang (NFS, FUSE); a thread that is made for waiting takes that.
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read(&path)).await;
                read.map_err(std::io::Error::other)??
            }
        };
        Ok(set::parse(&text)?)
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, KeysError> {
    use std::io::Read;

    let mut text = Vec::new();
    std::fs::File::open(path)?.take(SET_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    if text.len() > SET_BYTES_MAX { Err(KeysError::FileTooLong) } else { Ok(text) }
}
