//! The Tidegate gateway: accept → PROXY protocol → TLS → handshake → frames → hub → outbox → socket.
//!
//! `main` only reads the configuration, starts the log, builds the [`app`] and runs it to its end.

mod admission;
mod app;
mod broker;
mod config;
mod connection;
mod drain;
mod ending;
mod http;
mod hub;
mod metrics;
mod native;
mod net;
mod node;
mod probe;
mod spans;
mod worker;

use std::process::ExitCode;

use tidegate_service::config::load;
use tidegate_service::lifecycle::Exit;

use crate::app::App;
use crate::config::Config;

fn main() -> ExitCode {
    let loaded = match load::<Config>(std::env::args_os(), std::env::vars_os()).or_exit() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let telemetry = &loaded.config.telemetry;
    // Dropped last: lines that wait are written before the process ends.
    let (log, _writer) = match tidegate_service::log::start(telemetry.log_format, &telemetry.log_level) {
        Ok(started) => started,
        Err(error) => return fail(Exit::Internal, &error),
    };
    match App::build(&loaded.config, log) {
        Ok(app) => app.run().into(),
        Err(error) => {
            tracing::error!(%error, "the gateway cannot start");
            fail(error.exit(), &error)
        }
    }
}

/// Tells whoever started the process, even where nobody reads the log.
#[expect(clippy::print_stderr, reason = "the last words of a process that cannot start")]
fn fail(exit: Exit, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("tidegate-gateway: {error}");
    exit.into()
}
