//! `tidegate-loadtest`: load, comparisons and verdicts for any WebSocket server.
//!
//! A command line becomes a plan (`cli`), a plan becomes a scenario that the engine drives (`scenario`, `engine`), and a run
//! becomes a report with a verdict (`report`). `floor` is the raw epoll server that `compare` measures others against.

mod affinity;
mod cli;
mod clock;
mod compare;
mod descriptors;
mod engine;
mod failure;
mod fault;
mod floor;
mod kernel;
mod latency;
mod native;
mod payload;
mod procfs;
mod progress;
mod random;
mod report;
mod scenario;
mod schedule;
mod stage;
mod target;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use self::cli::{Cli, Command};
use self::failure::Failure;
use self::floor::Floor;
use self::report::{Report, Verdict};
use self::scenario::{burst, echo, fanout, handshake, idle, slow_readers, slowloris, verify};

/// The run was made and something is wrong.
const EXIT_FAILED: u8 = 1;
/// The run could not be made.
const EXIT_IMPOSSIBLE: u8 = 2;
/// The command line is faulty (`EX_USAGE`, as the gateway has it).
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            // `--help` and `--version` are such an error, too.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(command) {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(EXIT_FAILED),
        Err(failure) => {
            // With standard error closed the exit code has to do.
            let _ = writeln!(std::io::stderr(), "tidegate-loadtest: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { EXIT_USAGE } else { EXIT_IMPOSSIBLE })
        }
    }
}

fn run(command: Command) -> Result<Verdict, Failure> {
    let (json, report) = match command {
        Command::Echo(args) => (args.common.run.json, echo::run(args.into())?),
        Command::Fanout(args) => (args.common.run.json, fanout::run(args.into())?),
        Command::Handshake(args) => (args.common.run.json, handshake::run(args.into())?),
        Command::Idle(args) => (args.common.run.json, idle::run(args.into())?),
        Command::Slowloris(args) => (args.common.run.json, slowloris::run(args.into())?),
        Command::SlowReaders(args) => (args.common.run.json, slow_readers::run(args.into())?),
        Command::Burst(args) => (args.common.run.json, burst::run(args.into_plan()?)?),
        Command::Verify(args) => match args.resume_storm {
            Some(sessions) => (args.run.json, verify::run_storm(args.into_storm(sessions)?)?),
            None => (args.run.json, verify::run(args.into_plan()?)?),
        },
        Command::Floor(args) => {
            Floor::bind(args.listen, args.mode)?.run()?;
            return Ok(Verdict::Passed);
        }
        Command::Compare(args) => return compare::run(&args),
    };
    print(&report, json)
}

fn print(report: &Report, json: bool) -> Result<Verdict, Failure> {
    let text = if json { report.to_json() } else { report.to_string() };
    writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(Failure::system("writing the report"))?;
    Ok(report.verdict)
}
