//! The admin port: what probes, scrapers and people ask a running process.
//!
//! It runs in a thread of its own, so that an answer does not depend on the threads it is about. What only the
//! application knows comes through [`Probe`]. There is no authentication: the port belongs inside the cluster.

mod routes;
mod server;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use serde_json::Value;

use crate::lifecycle::Lifecycle;
use crate::log::LogHandle;
use crate::metrics::{BuildInfo, Metrics};

pub use self::server::{AdminServer, AdminThread};

/// What only the application can answer.
///
/// All but [`Probe::debug_connections`] are called on the admin thread and must not block.
pub trait Probe: Send + Sync + 'static {
    /// Whether every loop turns; the error says which one does not. A process that is not alive is restarted.
    fn live(&self) -> Result<(), String>;

    /// Why no new client should come, one reason an entry; empty: they may come.
    fn ready(&self) -> Vec<String>;

    /// What whoever asks whether it is ready should know besides, one line each.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Facts about the process, as a JSON object.
    fn info(&self) -> Value;

    /// Up to `limit` connections with their states and ages.
    fn debug_connections(&self, limit: usize) -> Pin<Box<dyn Future<Output = Value> + Send + '_>>;
}

/// What the admin port shows.
#[derive(Clone)]
pub struct Shown {
    /// The application.
    pub probe: Arc<dyn Probe>,
    /// The process's phase.
    pub lifecycle: Lifecycle,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Its log.
    pub log: LogHandle,
    /// What it was built from.
    pub build: BuildInfo,
    /// Paths of the application's own.
    pub extension: Extension,
}

/// Paths that only the application knows, beside those that every process has; the default has none.
#[derive(Clone, Default)]
pub struct Extension {
    /// Its routes; they bound their bodies themselves where the admin port's own bound does not fit.
    pub routes: Router,
    /// One line a path, for whoever asks for one that does not exist.
    pub paths: &'static str,
}
