//! The command line of `verify`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::stage::StageArgs;
use super::units::{parse_bytes, parse_duration};
use super::{RunArgs, parse_connections};
use crate::failure::Failure;
use crate::random;
use crate::scenario::verify::{Bound, MischiefPlan, StormPlan, VerifyPlan};
use crate::target::Target;

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Nodes, or one load balancer, each with its path; clients are spread over them.
    #[arg(long, value_delimiter = ',', required_unless_present = "spawn")]
    pub(crate) url: Vec<Target>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) stage: StageArgs,
    /// NAME=N: at most so many, or NAME=TIME; exit code 1 otherwise. Losses and the like have 0. `docs/verify.md` has the names.
    #[arg(long, value_name = "BOUND", value_delimiter = ',')]
    pub(crate) allow: Vec<Bound>,
    /// Ask who is present at the end; whoever is gone may be for so long.
    #[arg(long, value_name = "WITHIN", value_parser = parse_duration)]
    pub(crate) presence: Option<Duration>,
    /// Put what happened in each second into the JSON document.
    #[arg(long)]
    pub(crate) timeline: bool,
    /// Clients that send numbered messages, each until it is acknowledged.
    #[arg(long, default_value_t = 4, value_parser = parse_publishers)]
    pub(crate) publishers: usize,
    /// Clients that check what comes.
    #[arg(long, default_value_t = 100, value_parser = parse_connections)]
    pub(crate) subscribers: usize,
    /// Channels, each a -N behind --channel-base. Whether they have a history is the server's to say; with one, all of it must be recovered.
    #[arg(long, default_value_t = 8, value_parser = parse_connections)]
    pub(crate) channels: usize,
    /// Channels of each subscriber.
    #[arg(long, default_value_t = 4, value_parser = parse_connections)]
    pub(crate) subscriptions: usize,
    /// Messages a second over all publishers.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: u64,
    /// Payload size.
    #[arg(long, default_value = "125", value_parser = parse_bytes)]
    pub(crate) size: usize,
    /// How long messages are sent.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Send nothing more as soon as this file is there, though --duration is not over: for a script that knows when it is done.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fault", "resume_storm"])]
    pub(crate) stop_file: Option<PathBuf>,
    /// Most messages.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) count: u64,
    /// Cut a connection so often on average; its client comes back with session and resume.
    #[arg(long, value_parser = parse_duration)]
    pub(crate) drop_every: Option<Duration>,
    /// The longest that a cut client stays away.
    #[arg(long, default_value = "500ms", value_parser = parse_duration)]
    pub(crate) away: Duration,
    /// Let a subscriber read nothing for so long.
    #[arg(long, value_parser = parse_duration)]
    pub(crate) stall: Option<Duration>,
    /// How often that happens on average.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub(crate) stall_every: Duration,
    /// How long to wait for what may still come, once nothing more is sent.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub(crate) settle: Duration,
    /// Whom cuts and stalls hit, and when [default: another each time; it is printed].
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Another script: so many sessions connect, are all cut at once, miss --missed messages, and come back at once.
    #[arg(long, value_name = "SESSIONS", value_parser = parse_connections, conflicts_with_all = ["drop_every", "stall", "spawn"])]
    pub(crate) resume_storm: Option<usize>,
    /// Storm: messages published on each channel while all are away.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) missed: u64,
    /// Storm: clients that are connecting at a time.
    #[arg(long, default_value_t = 512, value_parser = parse_connections)]
    pub(crate) at_a_time: usize,
}

/// A message carries its publisher's number in 16 bits.
const PUBLISHERS_MAX: usize = 10_000;

fn parse_publishers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=PUBLISHERS_MAX) => Ok(count),
        _ => Err(format!("a number from 1 to {PUBLISHERS_MAX} is expected")),
    }
}

impl VerifyArgs {
    pub(crate) fn into_plan(self) -> Result<VerifyPlan, Failure> {
        let mischief = MischiefPlan {
            drop_every: self.drop_every,
            away: self.away,
            stall: self.stall,
            stall_every: self.stall_every,
            seed: self.seed.map_or_else(random::seed, Ok)?,
        };
        // On a stage the addresses are known once it has been started.
        let target = self.url.first().cloned().unwrap_or_else(Target::unknown);
        let (common, native) = self.run.into_native(target, "verify needs sessions")?;
        Ok(VerifyPlan {
            common,
            native,
            targets: self.url,
            path: self.stage.path.clone(),
            logs: self.stage.logs.clone(),
            respawns: self.stage.respawn,
            stage_file: self.stage.stage_file.clone(),
            faults: self.stage.fault.clone(),
            stage: self.stage.into_plan()?,
            bounds: self.allow,
            presence: self.presence,
            timeline: self.timeline,
            publishers: self.publishers,
            subscribers: self.subscribers,
            channels: self.channels,
            subscriptions: self.subscriptions,
            size_bytes: self.size,
            rate: self.rate,
            duration: self.duration,
            stop_file: self.stop_file,
            count: self.count,
            mischief,
            settle: self.settle,
        })
    }

    pub(crate) fn into_storm(self, sessions: usize) -> Result<StormPlan, Failure> {
        let seed = self.seed.map_or_else(random::seed, Ok)?;
        let Some(target) = self.url.first().cloned() else {
            return Err(Failure::Usage("--resume-storm needs --url: a server that runs already".to_owned()));
        };
        let (common, native) = self.run.into_native(target, "verify needs sessions")?;
        Ok(StormPlan {
            common,
            native,
            targets: self.url,
            sessions,
            channels: self.channels,
            missed: self.missed,
            size_bytes: self.size,
            rate: self.rate,
            at_a_time: self.at_a_time,
            settle: self.settle,
            seed,
        })
    }
}
