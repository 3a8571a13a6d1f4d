//! `tidegate-control-plane`: the coordinator of a cluster of gateways, and `ctl`, its command line for people.
//!
//! `main` only tells the two apart, reads the configuration, starts the log, and runs the app to its end.

use std::process::ExitCode;

use tidegate_control_plane::{App, Config, ctl};
use tidegate_service::config::load;
use tidegate_service::lifecycle::Exit;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    if args.nth(1).is_some_and(|first| first == "ctl") {
        return ctl::run(args);
    }
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
            tracing::error!(%error, "the control plane cannot start");
            fail(error.exit(), &error)
        }
    }
}

/// Tells whoever started the process, even where nobody reads the log.
#[expect(clippy::print_stderr, reason = "the last words of a process that cannot start")]
fn fail(exit: Exit, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("tidegate-control-plane: {error}");
    exit.into()
}
