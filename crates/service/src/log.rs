//! Logs on standard output: one line an event, JSON or text, at a level that can be changed while running.
//!
//! Standard output for both shapes, as container runtimes expect; standard error is left to what ends the process
//! (a faulty configuration, a panic). A thread of its own writes, so that a reader who stalls never stalls a worker.

mod filter;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use tracing::Subscriber;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::{fmt, reload};

pub use self::filter::{FilterError, check_filter};
pub use self::writer::LogWriter;

use self::filter::parse_filter;
use self::writer::Lines;

crate::config_choice! {
    /// Shape of log lines.
    pub enum Format {
        /// One JSON object a line: `timestamp`, `level`, `target`, `message`, and the event's fields beside them.
        Json = "json",
        /// For people; coloured on a terminal.
        Text = "text",
    }
}

/// Changes the level while running, and tells how many lines were lost. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    lines: Arc<Lines>,
}

impl LogHandle {
    /// Sets a level (`debug`) or a filter (`info,tidegate_gateway::net=trace`) for all threads.
    pub fn set_level(&self, filter: &str) -> Result<(), FilterError> {
        let parsed = parse_filter(filter)?;
        self.filter.reload(parsed).map_err(|_| FilterError::Gone)
    }

    /// The filter in force.
    pub fn level(&self) -> String {
        self.filter.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Lines that were lost because the reader of the log was too slow.
    pub fn lines_dropped(&self) -> u64 {
        self.lines.dropped()
    }
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not one.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The thread that writes could not be started.
    #[error("the log thread could not be started: {0}")]
    Thread(#[from] io::Error),
    /// Something else logs for this process.
    #[error("logging was already started: {0}")]
    Twice(#[from] SetGlobalDefaultError),
}

/// Starts logging for the whole process. Lines still waiting are written when the [`LogWriter`] is dropped.
pub fn start(format: Format, filter: &str) -> Result<(LogHandle, LogWriter), LogError> {
    let is_terminal = io::stdout().is_terminal();
    let (subscriber, handle, writer) = build(format, filter, is_terminal, io::stdout())?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok((handle, writer))
}

/// The subscriber alone, writing to `sink`.
fn build(
    format: Format,
    filter: &str,
    is_coloured: bool,
    sink: impl io::Write + Send + 'static,
) -> Result<(impl Subscriber + Send + Sync, LogHandle, LogWriter), LogError> {
    let (filter, filter_handle) = reload::Layer::new(parse_filter(filter)?);
    let (writer, lines) = LogWriter::start(sink)?;
    let own_lines = Arc::clone(&lines);
    let layer = fmt::layer().with_writer(move || own_lines.line());
    let shaped = match format {
        Format::Json => layer.json().flatten_event(true).boxed(),
        Format::Text => layer.with_ansi(is_coloured).boxed(),
    };
    let subscriber = Registry::default().with(filter).with(shaped);
    Ok((subscriber, LogHandle { filter: filter_handle, lines }, writer))
}
