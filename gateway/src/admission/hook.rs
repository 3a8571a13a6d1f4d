//! The hook: a server of the operator's that is asked who a client is, and whether it may subscribe or publish.
//!
//! Place in the data path: beside it. A worker writes the [`Question`], the tokio side asks it, and the answer comes
//! back as mail. No answer is a refusal: a hook that is away lets nobody in. A deadline, a bound on questions under way
//! and a circuit breaker keep a slow hook from holding more than its share of memory and sockets.
//!
//! The question is a `POST` with `{"connect": {…}}`, `{"subscribe": {…}}` or `{"publish": {…}}`; the answer has status
//! 200 and `{"allow": true, …}` or `{"allow": false, "message": "…"}`.

mod answer;
mod breaker;
mod question;
#[cfg(test)]
mod tests;

pub(crate) use self::breaker::BreakerState;
pub(crate) use self::question::{ChannelAsk, ConnectAsk, Question};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::{StatusCode, Uri};
use thiserror::Error;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::time::{Millis, whole_ms};
use tokio::sync::Semaphore;
use tokio::time::{self, Instant};

use self::breaker::Breaker;
use self::question::Kind;
use super::outgoing::{Client, RequestError};
use super::token::VerifiedToken;
use crate::config::auth;

/// Bytes of an answer: an identity with all its permissions fits.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The hook. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Hook {
    client: Client,
    connect: Option<Uri>,
    subscribe: Option<Uri>,
    publish: Option<Uri>,
    timeout: Duration,
    places: Semaphore,
    breaker: Breaker,
    stats: HookStats,
}

/// What the hook allows.
#[derive(Debug)]
pub(crate) enum Allowed {
    /// Connect, as whom the answer says.
    Connect(Box<VerifiedToken>),
    /// Subscribe or publish.
    Channel,
}

/// The hook does not allow it, or does not say.
#[derive(Debug, Error)]
pub(crate) enum HookError {
    /// It said no, with its own words for the client, if it had any.
    #[error("refused: {message}")]
    Refused { message: String },
    /// It was not asked, for it did not answer before.
    #[error("the circuit breaker is open")]
    BreakerOpen { retry_after: Duration },
    /// All places were taken for as long as an answer may take.
    #[error("no free place within {0:?}")]
    Busy(Duration),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    /// What is wrong with the answer's text.
    #[error("the answer {0}")]
    BadAnswer(String),
    #[error("there is no address to ask about this")]
    NotConfigured,
}

/// How many questions there were, by outcome.
#[derive(Debug, Default)]
pub(crate) struct HookStats {
    pub(crate) allowed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    /// Not asked: all places were taken.
    pub(crate) busy: AtomicU64,
    /// Not asked: the breaker was open.
    pub(crate) broken: AtomicU64,
}

impl Hook {
    pub(crate) fn new(config: &auth::Hook, client: Client) -> Arc<Self> {
        let url = |url: &Option<String>| url.as_ref().and_then(|url| url.parse().ok());
        Arc::new(Self {
            client,
            connect: url(&config.connect_url),
            subscribe: url(&config.subscribe_url),
            publish: url(&config.publish_url),
            timeout: config.timeout,
            places: Semaphore::new(config.concurrent_max),
            breaker: Breaker::new(config.breaker_failures, config.breaker_open),
            stats: HookStats::default(),
        })
    }

    /// Whether the hook decides who may connect.
    pub(crate) fn decides_connects(&self) -> bool {
        self.connect.is_some()
    }

    pub(crate) fn stats(&self) -> &HookStats {
        &self.stats
    }

    pub(crate) fn breaker_state(&self) -> BreakerState {
        self.breaker.state(Instant::now())
    }

    /// Asks; `now` is Unix time. Ends within the timeout.
    pub(crate) async fn ask(self: Arc<Self>, question: Question, now: Millis) -> Result<Allowed, HookError> {
        let outcome = self.try_ask(question, now).await;
        let counter = match &outcome {
            Ok(_) => &self.stats.allowed,
            Err(HookError::Refused { .. }) => &self.stats.refused,
            Err(HookError::BreakerOpen { .. }) => &self.stats.broken,
            Err(HookError::Busy(_)) => &self.stats.busy,
            Err(HookError::Timeout(_)) => &self.stats.timed_out,
            Err(_) => &self.stats.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    async fn try_ask(&self, question: Question, now: Millis) -> Result<Allowed, HookError> {
        let url = match question.kind {
            Kind::Connect => &self.connect,
            Kind::Subscribe => &self.subscribe,
            Kind::Publish => &self.publish,
        };
        let url = url.as_ref().ok_or(HookError::NotConfigured)?;
        let deadline = Instant::now() + self.timeout;
        let place = time::timeout_at(deadline, self.places.acquire()).await;
        // The semaphore is never closed, so no place is no time.
        let Ok(Ok(_place)) = place else { return Err(HookError::Busy(self.timeout)) };
        let pass = self.breaker.try_pass(Instant::now());
        let pass = pass.map_err(|retry_after| HookError::BreakerOpen { retry_after })?;

        let asked = time::timeout_at(deadline, self.client.post(url, question.body, ANSWER_BYTES_MAX)).await;
        let outcome = match asked {
            Err(_) => Err(HookError::Timeout(self.timeout)),
            Ok(Err(error)) => Err(HookError::Request(error)),
            Ok(Ok(answer)) if answer.status != StatusCode::OK => Err(HookError::Status(answer.status)),
            Ok(Ok(answer)) => answer::parse(question.kind, &answer.body, now),
        };
        match &outcome {
            // A no is an answer: the hook is well.
            Ok(_) | Err(HookError::Refused { .. }) => pass.succeed(),
            Err(error) => {
                let failures = pass.fail(Instant::now());
                tracing::debug!(%error, failures, "no answer from the hook");
                if failures == self.breaker.failures_max() {
                    tracing::warn!(%error, failures, "the hook fails and is left alone for a while");
                }
            }
        }
        outcome
    }
}

impl HookError {
    /// What the client is told. `doing` is what it wanted: `connect`, `subscribe to chat:1`.
    pub(crate) fn body(&self, doing: &str) -> ErrorBody {
        match self {
            Self::Refused { message } if message.is_empty() => {
                ErrorBody::new(ErrorCode::Forbidden, format!("{doing}: the application does not allow it"))
            }
            Self::Refused { message } => ErrorBody::new(ErrorCode::Forbidden, format!("{doing}: {message}")),
            Self::BreakerOpen { retry_after } => {
                unavailable(doing).retry_after_ms(whole_ms(*retry_after).max(1))
            }
            Self::Busy(_)
            | Self::Timeout(_)
            | Self::Request(_)
            | Self::Status(_)
            | Self::BadAnswer(_)
            | Self::NotConfigured => unavailable(doing),
        }
    }
}

fn unavailable(doing: &str) -> ErrorBody {
    let message = format!("{doing}: the server that decides about it does not answer at the moment");
    ErrorBody::new(ErrorCode::Unavailable, message)
}
