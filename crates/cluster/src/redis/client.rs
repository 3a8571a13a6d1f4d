//! Calls to Redis: each with a deadline, a bounded number at a time, refused at once while the server does not answer.
//!
//! Place in the data path: everything in this folder goes through [`RedisClient::call`]. A call may be polled first where
//! there is no runtime, by a worker: it goes out then, and its timer belongs to the runtime that the client was made on.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use fred::bytes_utils::Str;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::types::{Key, Value};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::answer::{Answer, Reason, Unavailable};
use crate::memory::shards::lock;
use crate::state::State;

use super::breaker::Breaker;
use super::config::{Config, ConfigError, Topology};
use super::script::{Args, Body, Lua, Script, size_bytes};
use super::stats::{Counts, Outcome, Stats};

use self::order::Lines;
use self::send::{EVAL, entity_of, is_redirection, run, within};

mod connect;
mod health;
mod order;
mod send;

/// A node's connections to its store. Cheap to clone; clones share them. They close when the last clone is gone.
#[derive(Clone)]
pub struct RedisClient {
    shared: Arc<Shared>,
    _tasks: Arc<health::Tasks>,
}

/// What calls under way hold as well.
struct Shared {
    config: Config,
    is_cluster: bool,
    /// A call for the same entity always takes the same one: calls for it keep their order.
    clients: Vec<Client>,
    lines: Lines,
    runtime: Handle,
    breaker: Breaker,
    counts: Counts,
    /// How often connections were made so far.
    connected: watch::Sender<u64>,
    last_error: Mutex<Option<String>>,
    /// Wakes the task that probes.
    probe: tokio::sync::Notify,
    /// A connection ended since the last probe.
    suspect: AtomicBool,
}

/// Gives its place back when the call ends or is dropped.
struct InFlight<'a>(&'a Shared);

impl RedisClient {
    /// Begins to connect, on this runtime, and waits for nothing: until the first connection stands, calls are refused as
    /// they are whenever the store is down.
    ///
    /// # Errors
    ///
    /// What of the configuration cannot be used.
    pub fn connect(config: Config, runtime: &Handle) -> Result<Self, ConfigError> {
        let target = config.target()?;
        let clients = connect::clients(&config, &target)?;
        let shared = Arc::new(Shared {
            is_cluster: target.topology == Topology::Cluster,
            clients,
            lines: Lines::new(),
            runtime: runtime.clone(),
            breaker: Breaker::new(Instant::now()),
            counts: Counts::default(),
            connected: watch::Sender::new(0),
            last_error: Mutex::default(),
            probe: tokio::sync::Notify::new(),
            suspect: AtomicBool::new(false),
            config,
        });
        let tasks = Arc::new(health::start(&shared));
        Ok(Self { shared, _tasks: tasks })
    }

    /// What can be expected of the store, and when that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.breaker.state()
    }

    /// A number that grows whenever a connection was made: what the server was told or said before may be void.
    pub fn connected(&self) -> watch::Receiver<u64> {
        self.shared.connected.subscribe()
    }

    /// What went wrong last, in the server's or the system's words.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.shared.last_error).clone()
    }

    /// The books, for a metrics endpoint.
    pub fn stats(&self) -> Stats {
        self.shared.counts.stats()
    }

    /// The runtime that the connections live on.
    pub(super) fn runtime(&self) -> &Handle {
        &self.shared.runtime
    }

    /// Whether keys are spread over servers, so that a step may only touch those of one slot.
    pub(super) fn is_cluster(&self) -> bool {
        self.shared.is_cluster
    }

    /// The full name of a key. What decides its slot stands in braces.
    pub(super) fn key(&self, name: impl fmt::Display) -> Key {
        format!("{}{name}", self.shared.config.prefix).into()
    }

    /// Carries out a step at its first poll, and reads its answer with `decode`; `None` from there makes it faulty.
    pub(super) fn call<T: Send + 'static>(
        &self,
        script: &'static Script,
        keys: Vec<Key>,
        args: Args,
        decode: impl FnOnce(Value) -> Option<T> + Send + 'static,
    ) -> Answer<T> {
        let shared = Arc::clone(&self.shared);
        self.enter(async move { shared.call(script, keys, args, decode).await })
    }

    /// Takes back what an unanswered call may have done: on the same connection, so behind it, also while calls are
    /// refused. Nobody waits for it, and it may fail.
    pub(super) fn undo(&self, script: &'static Script, keys: Vec<Key>, args: Args) {
        let Body::Lua(Lua { text, .. }) = &script.body else { return };
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move {
            let Some(_in_flight) = shared.enter_flight() else { return };
            let client = shared.client_of(entity_of(keys.first()));
            // With its text: if the server does not know it, nobody is there to send it again.
            let started = Instant::now();
            let undone = run(client, EVAL, Str::from_static(text), keys, args.into_values()).await;
            let outcome = undone.map_or_else(|error| reason_of(&error).into(), |_| Outcome::Answered);
            shared.counts.note(script.operation, outcome, started.elapsed());
        });
    }

    /// Polls work in the runtime, wherever it is polled.
    pub(super) fn enter<T: 'static>(
        &self,
        work: impl Future<Output = Result<T, Unavailable>> + Send + 'static,
    ) -> Answer<T> {
        let runtime = self.shared.runtime.clone();
        let mut work = Box::pin(work);
        Box::pin(poll_fn(move |context| {
            let _entered = runtime.enter();
            work.as_mut().poll(context)
        }))
    }
}

impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisClient").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Shared {
    async fn call<T>(
        &self,
        script: &'static Script,
        keys: Vec<Key>,
        args: Args,
        decode: impl FnOnce(Value) -> Option<T>,
    ) -> Result<T, Unavailable> {
        let started = Instant::now();
        let answer = self.perform(script, keys, args).await;
        let (outcome, result) = match answer {
            Ok(value) => {
                self.counts.received_bytes.add(size_bytes(&value) as u64);
                match decode(value) {
                    Some(decoded) => (Outcome::Answered, Ok(decoded)),
                    None => (Outcome::Faulty, Err(Reason::Faulty)),
                }
            }
            Err(None) => (Outcome::Refused, Err(Reason::Down)),
            Err(Some(reason)) => (reason.into(), Err(reason)),
        };
        self.counts.note(script.operation, outcome, started.elapsed());
        result.map_err(|reason| Unavailable { part: script.operation.part(), reason })
    }

    /// `None` if it was refused before it was sent.
    async fn perform(
        &self,
        script: &'static Script,
        keys: Vec<Key>,
        args: Args,
    ) -> Result<Value, Option<Reason>> {
        if self.breaker.is_open() {
            return Err(None);
        }
        let Some(_in_flight) = self.enter_flight() else { return Err(None) };
        let key_bytes: usize = keys.iter().map(|key| key.as_bytes().len()).sum();
        self.counts.sent_bytes.add((key_bytes + args.size_bytes()) as u64);

        match self.send(script, keys, args.into_values()).await {
            Ok(value) => {
                self.breaker.note_answer();
                Ok(value)
            }
            Err(error) => {
                let reason = reason_of(&error);
                if reason == Reason::TimedOut && self.breaker.note_failure(Instant::now()) {
                    self.counts.opened.add(1);
                    self.probe.notify_one();
                }
                *lock(&self.last_error) = Some(error.to_string());
                Err(Some(reason))
            }
        }
    }

    fn enter_flight(&self) -> Option<InFlight<'_>> {
        self.counts.in_flight.try_take(self.config.in_flight_max).then(|| InFlight(self))
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.counts.in_flight.give(1);
    }
}

/// What an error means for the call that got it.
fn reason_of(error: &Error) -> Reason {
    let code = error.details().split(' ').next().unwrap_or_default();
    match error.kind() {
        // In flight when it happened: it may have been done, and its answer lost.
        ErrorKind::Timeout | ErrorKind::IO | ErrorKind::Canceled => Reason::TimedOut,
        ErrorKind::Auth | ErrorKind::Routing | ErrorKind::Cluster | ErrorKind::Backpressure => Reason::Down,
        ErrorKind::Sentinel | ErrorKind::Tls | ErrorKind::Config => Reason::Down,
        _ if is_redirection(error) => Reason::Down,
        _ => match code {
            "OOM" => Reason::Full,
            // States that pass, in all of which a step is refused as a whole.
            "LOADING" | "READONLY" | "MASTERDOWN" | "NOREPLICAS" | "MISCONF" | "BUSY" | "TRYAGAIN"
            | "CLUSTERDOWN" | "NOPERM" => Reason::Down,
            // What the connection layer says when it had nowhere to send it.
            "Failed" | "Client" => Reason::Down,
            _ => Reason::Faulty,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whether_something_may_have_happened() {
        let reason = |kind, details: &'static str| reason_of(&Error::new(kind, details));
        assert_eq!(reason(ErrorKind::Timeout, "Request timed out."), Reason::TimedOut);
        assert_eq!(reason(ErrorKind::IO, "Connection Closed"), Reason::TimedOut);
        assert_eq!(reason(ErrorKind::Unknown, "OOM command not allowed"), Reason::Full);
        assert_eq!(reason(ErrorKind::Unknown, "READONLY You can't write"), Reason::Down);
        assert_eq!(reason(ErrorKind::Unknown, "Failed to route command."), Reason::Down);
        assert_eq!(reason(ErrorKind::Unknown, "ERR user_script:1: oops"), Reason::Faulty);
    }
}
