//! The gateways' side of the control plane: asks each what it does, and tells it what is wanted.
//!
//! Place in the path: the coordinator polls and pushes through here once a tick. A gateway is found by its entry in the
//! directory or by its pod, and spoken to on its admin port. Every call has a deadline, and so many run at a time; one
//! that does not answer is asked less and less often, at least every few seconds.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tidegate_protocol::drain::{Blocklist, DrainOrder, DrainReport};
use tokio::time::Instant;

use crate::config::Agents as Settings;

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Most time between two tries to reach a gateway that does not answer.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// Everything that speaks to gateways. Shared by reference.
pub(crate) struct Agents {
    client: Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
    parallel: usize,
    silent: Mutex<BTreeMap<Arc<str>, Silent>>,
    pub(crate) counts: AgentCounts,
}

/// A gateway and how it is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Agent {
    /// Its name, or its URL as long as that is all that is known.
    pub(crate) name: Arc<str>,
    /// Its admin port, as `http://10.0.0.7:9000`.
    pub(crate) url: Arc<str>,
}

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Answered {
    /// The gateway at this URL says this: also what it is called.
    Report(Arc<str>, Box<DrainReport>),
    /// It did not answer.
    Silence(Arc<str>),
}

/// Calls so far, by how they ended.
#[derive(Debug, Default)]
pub(crate) struct AgentCounts {
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Orders that a gateway did not take: a newer leader's were there, or it is ending.
    pub(crate) refused: AtomicU64,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("no answer in time")]
    Late,
    #[error("{0}")]
    Transport(String),
    /// It answered, and does not do it.
    #[error("{code}: {message}")]
    Refused { code: String, message: String },
    #[error("the answer makes no sense: {0}")]
    Faulty(String),
}

#[derive(Debug)]
struct Silent {
    failures: u32,
    ask_at: Instant,
}

/// The part of a problem document that is looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
}

impl Agents {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(settings.timeout));
        // The admin port closes each connection after its answer, so none is kept.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self {
            client,
            timeout: settings.timeout,
            parallel: settings.parallel,
            silent: Mutex::default(),
            counts: AgentCounts::default(),
        }
    }

    /// Asks every gateway that is due what it does.
    pub(crate) async fn poll(&self, agents: Vec<Agent>) -> Vec<Answered> {
        self.forget_others(&agents);
        let now = Instant::now();
        let due = agents.into_iter().filter(|agent| self.is_due(&agent.name, now));
        let asked = due.map(|agent| async move {
            let answer = self.call::<DrainReport>(Method::GET, &agent, "/drain", Vec::new()).await;
            self.note(&agent.name, answer.is_ok());
            match answer {
                Ok(report) => Answered::Report(agent.url, Box::new(report)),
                Err(error) => {
                    tracing::debug!(node = %agent.name, url = %agent.url, %error, "a gateway does not answer");
                    Answered::Silence(agent.name)
                }
            }
        });
        stream::iter(asked).buffer_unordered(self.parallel).collect().await
    }

    /// Tells gateways what is wanted of them: those that answered when they were asked last.
    pub(crate) async fn order(
        &self,
        orders: Vec<(Agent, DrainOrder)>,
    ) -> Vec<(Arc<str>, Result<DrainReport, AgentError>)> {
        // One that hangs would hold up every tick; it is told again when it was asked again, and has answered or not.
        let silent: BTreeSet<_> = self.silent().keys().cloned().collect();
        let reachable = orders.into_iter().filter(|(agent, _)| !silent.contains(&agent.name));
        let told = reachable.map(|(agent, order)| async move {
            let body = serde_json::to_vec(&order).expect("an order is plain data");
            let answer = self.call(Method::PUT, &agent, "/drain/order", body).await;
            if let Err(AgentError::Refused { code, message }) = &answer {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(node = %agent.name, op = %order.op, code, message, "an order was refused");
            }
            (agent.name, answer)
        });
        stream::iter(told).buffer_unordered(self.parallel).collect().await
    }

    /// Tells gateways whom to refuse at the door.
    pub(crate) async fn block(&self, agents: Vec<Agent>, list: &Blocklist) {
        let body = serde_json::to_vec(list).expect("a list is plain data");
        let told = agents.into_iter().map(|agent| {
            let body = body.clone();
            async move {
                let answer: Result<serde::de::IgnoredAny, _> =
                    self.call(Method::PUT, &agent, "/admission/blocked", body).await;
                if let Err(error) = answer {
                    tracing::debug!(node = %agent.name, %error, "a list of addresses was not taken");
                }
            }
        });
        stream::iter(told).buffer_unordered(self.parallel).collect::<()>().await;
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        agent: &Agent,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, AgentError> {
        let answer = tokio::time::timeout(self.timeout, self.exchange(method, agent, path, body)).await;
        let answer = answer.unwrap_or(Err(AgentError::Late));
        let count = if answer.is_ok() { &self.counts.answered } else { &self.counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
        answer
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        agent: &Agent,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, AgentError> {
        let transport = |error: &dyn std::error::Error| AgentError::Transport(error.to_string());
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", agent.url.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| transport(&error))?;
        let response = self.client.request(request).await.map_err(|error| transport(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| AgentError::Transport(error.to_string()))?.to_bytes();
        match status {
            StatusCode::NO_CONTENT => read(b"null"),
            status if status.is_success() => read(&body),
            status => {
                let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
                let code = if problem.code.is_empty() { status.to_string() } else { problem.code };
                Err(AgentError::Refused { code, message: problem.detail })
            }
        }
    }

    fn is_due(&self, name: &str, now: Instant) -> bool {
        self.silent().get(name).is_none_or(|silent| silent.ask_at <= now)
    }

    fn note(&self, name: &Arc<str>, has_answered: bool) {
        let mut silent = self.silent();
        if has_answered {
            silent.remove(name);
            return;
        }
        let now = Instant::now();
        let entry = silent.entry(Arc::clone(name)).or_insert(Silent { failures: 0, ask_at: now });
        entry.failures = entry.failures.saturating_add(1);
        // The first two tries follow at the usual pace: most silences are short.
        let pause = Duration::from_millis(500) * (1 << entry.failures.saturating_sub(1).min(4));
        entry.ask_at = now + pause.min(BACK_OFF_MAX);
    }

    /// Keeps no memory of gateways that are not there any more.
    fn forget_others(&self, agents: &[Agent]) {
        self.silent().retain(|name, _| agents.iter().any(|agent| agent.name == *name));
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, Silent>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, AgentError> {
    serde_json::from_slice(body).map_err(|error| AgentError::Faulty(error.to_string()))
}
