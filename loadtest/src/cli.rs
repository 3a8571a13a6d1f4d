//! The command line: what may be asked for, with defaults that end every run in bounded time.

mod burst;
mod convert;
mod stage;
mod units;
mod verify;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidegate_protocol::channel::Channel;

pub(crate) use self::burst::BurstArgs;
use self::units::{parse_bytes, parse_duration};
pub(crate) use self::verify::VerifyArgs;
use crate::compare::RowName;
use crate::engine::Goodbye;
use crate::floor::Mode;
use crate::target::{SourceRange, Target};

const EXIT_CODES: &str = "\
Exit codes: 0 the run was made and its result is good; 1 it was made and something is wrong (a damaged, lost or unasked
message, a connection ended early, a bound exceeded); 2 it could not be made (limits of this machine, no server); 64 the
command line is faulty.";

/// Load, comparisons and verdicts for any WebSocket server.
#[derive(Debug, Parser)]
#[command(name = "tidegate-loadtest", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Messages that must come back unchanged.
    Echo(EchoArgs),
    /// Messages of one member of a channel that must reach every member.
    Fanout(FanoutArgs),
    /// Connect, upgrade, close, again.
    Handshake(HandshakeArgs),
    /// Memory of connections that do nothing.
    Idle(IdleArgs),
    /// Handshakes that never finish, beside well-behaved clients.
    Slowloris(SlowlorisArgs),
    /// Clients that never read, beside well-behaved ones.
    SlowReaders(SlowReadersArgs),
    /// Many publications into one channel, some of whose subscribers do not read. Native dialect only.
    Burst(BurstArgs),
    /// Does every message come once and in order, also over broken connections? Native dialect only.
    Verify(Box<VerifyArgs>),
    /// A raw epoll server without protocol logic: the yardstick.
    Floor(FloorArgs),
    /// Floor and gateway in turn: server CPU per unit, as ratios.
    Compare(CompareArgs),
}

#[derive(Args, Debug)]
pub(crate) struct CommonArgs {
    /// Server and path, for example ws://127.0.0.1:8000/echo. With wss:// the server's certificate is not verified.
    #[arg(long)]
    pub(crate) url: Target,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
    /// Loopback addresses to connect from in turn: one has some 28,000 ports [example: 127.0.0.1-127.0.0.20].
    #[arg(long)]
    pub(crate) source_ips: Option<SourceRange>,
    /// The server's process: its CPU time and memory are read from /proc before and after.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DialectArgs {
    /// What the server speaks on that path [default: raw; with verify native].
    #[arg(long, value_enum)]
    pub(crate) dialect: Option<DialectName>,
    /// Native dialect: the token of all clients.
    #[arg(long, value_name = "JWT", conflicts_with = "jwt_secret")]
    pub(crate) token: Option<String>,
    /// Native dialect: the HS256 secret to sign a token with for each client, whose user is user-N.
    #[arg(long, value_name = "SECRET")]
    pub(crate) jwt_secret: Option<String>,
    /// Native dialect: the channel, or with -N behind it the channels, that clients use.
    #[arg(long, value_name = "CHANNEL", default_value = "bench", value_parser = parse_channel)]
    pub(crate) channel_base: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum DialectName {
    /// Messages are opaque; the path says who gets them.
    Raw,
    /// tidegate.v1.json: sessions, channels by name.
    Native,
}

#[derive(Args, Debug)]
pub(crate) struct BoundArgs {
    /// Length of the measured part.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Most messages (handshakes, publications) in the measured part.
    #[arg(long, default_value_t = 100_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// Load before the measured part.
    #[arg(long, default_value = "500ms", value_parser = parse_duration)]
    pub(crate) warmup: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct MessageArgs {
    /// Payload size.
    #[arg(long, default_value = "125", value_parser = parse_bytes)]
    pub(crate) size: usize,
    /// Most messages in flight: on each connection, or of all publishers together [default: 1; with --rate 1024].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) depth: Option<u64>,
    /// Open loop: so many messages a second on a clock, timed from when each was due.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) rate: Option<u64>,
    /// Text messages instead of binary ones.
    #[arg(long)]
    pub(crate) text: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EchoArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[arg(long, default_value_t = 100, value_parser = parse_connections)]
    pub(crate) connections: usize,
    #[command(flatten)]
    pub(crate) messages: MessageArgs,
    #[command(flatten)]
    pub(crate) bounds: BoundArgs,
}

#[derive(Args, Debug)]
pub(crate) struct FanoutArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Another node of the same cluster; the members take turns over all of them. May be repeated.
    #[arg(long, value_name = "URL")]
    pub(crate) other_url: Vec<Target>,
    /// Members of the channel, publishers included.
    #[arg(long, alias = "connections", default_value_t = 1_000, value_parser = parse_connections)]
    pub(crate) subscribers: usize,
    /// How many of the members publish.
    #[arg(long, default_value_t = 1, value_parser = parse_connections)]
    pub(crate) publishers: usize,
    #[command(flatten)]
    pub(crate) messages: MessageArgs,
    #[command(flatten)]
    pub(crate) bounds: BoundArgs,
}

#[derive(Args, Debug)]
pub(crate) struct HandshakeArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Handshakes under way at a time.
    #[arg(long, alias = "connections", default_value_t = 32, value_parser = parse_connections)]
    pub(crate) concurrency: usize,
    /// Open loop: so many handshakes a second.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: Option<u64>,
    /// How a connection is ended.
    #[arg(long, value_enum, default_value_t = GoodbyeArg::Frame)]
    pub(crate) goodbye: GoodbyeArg,
    #[command(flatten)]
    pub(crate) bounds: BoundArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum GoodbyeArg {
    /// A close frame; the server answers it and closes TCP.
    Frame,
    /// TCP is closed.
    Fin,
    /// TCP is reset (SO_LINGER 0): leaves no port in TIME_WAIT.
    Reset,
}

impl From<GoodbyeArg> for Goodbye {
    fn from(goodbye: GoodbyeArg) -> Self {
        match goodbye {
            GoodbyeArg::Frame => Self::Frame,
            GoodbyeArg::Fin => Self::Fin,
            GoodbyeArg::Reset => Self::Reset,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[arg(long, default_value_t = 10_000, value_parser = parse_connections)]
    pub(crate) connections: usize,
    /// Native dialect: subscribe each to a channel of its own instead of all to the same.
    #[arg(long)]
    pub(crate) own_channels: bool,
    /// Between the last handshake and reading the server's memory.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub(crate) settle: Duration,
    /// How long the connections stay open after that.
    #[arg(long, default_value = "0s", value_parser = parse_duration)]
    pub(crate) hold: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct NeighbourArgs {
    /// Echo clients that behave.
    #[arg(long, default_value_t = 100, value_parser = parse_connections)]
    pub(crate) well_behaved: usize,
    /// Messages a second of all of them together.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) rate: u64,
    /// Payload size of their messages.
    #[arg(long, default_value = "125", value_parser = parse_bytes)]
    pub(crate) size: usize,
    /// Load before anything is measured.
    #[arg(long, default_value = "500ms", value_parser = parse_duration)]
    pub(crate) warmup: Duration,
    /// Length of the part without offenders.
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub(crate) baseline: Duration,
    /// Fail if p99 with offenders is more than so many times p99 without.
    #[arg(long)]
    pub(crate) p99_ratio_max: Option<f64>,
}

#[derive(Args, Debug)]
pub(crate) struct SlowlorisArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) neighbours: NeighbourArgs,
    /// Handshakes that never finish.
    #[arg(long, default_value_t = 10_000, value_parser = parse_connections)]
    pub(crate) connections: usize,
    /// Offenders that connect a second.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) connect_rate: u64,
    /// Between two bytes of an offender.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub(crate) byte_interval: Duration,
    /// Most time for the part with offenders.
    #[arg(long, default_value = "20s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct SlowReadersArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) neighbours: NeighbourArgs,
    /// Clients that never read.
    #[arg(long, default_value_t = 1_000, value_parser = parse_connections)]
    pub(crate) connections: usize,
    /// A channel's path, in the native dialect its name (offenders subscribe, a feeder publishes), instead of the URL's echo
    /// path (offenders send).
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// Size of the messages that are not read.
    #[arg(long, default_value = "16KiB", value_parser = parse_bytes)]
    pub(crate) offender_size: usize,
    /// Unread messages a second: sent by all offenders together [default: 5000], or by the feeder [default: 20].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) offender_rate: Option<u64>,
    /// Offenders that connect a second.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) connect_rate: u64,
    /// Length of the part with offenders.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct FloorArgs {
    /// Where to listen; the bound address is printed first.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    #[arg(long, value_enum, default_value_t = Mode::Path)]
    pub(crate) mode: Mode,
}

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// The gateway's binary.
    #[arg(long)]
    pub(crate) gateway: Option<PathBuf>,
    /// An argument for the gateway; may be given more than once.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) gateway_arg: Vec<String>,
    /// KEY=VALUE in the gateway's environment; may be given more than once.
    #[arg(long)]
    pub(crate) gateway_env: Vec<String>,
    /// NAME=COMMAND: another server, given to `sh -c`. It must print its address, or have {port} in its command.
    #[arg(long)]
    pub(crate) peer: Vec<String>,
    /// What to compare.
    #[arg(long, value_delimiter = ',', default_values_t = RowName::DEFAULT)]
    pub(crate) rows: Vec<RowName>,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) repetitions: u32,
    /// Length of the measured part of each run.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Print one JSON document.
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,
    /// Print the table in Markdown; with FILE, put it there between its `table:begin` and `table:end` comments instead.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub(crate) markdown: Option<Option<PathBuf>>,
    /// Exit with 1 if a goal is missed.
    #[arg(long)]
    pub(crate) strict: bool,
    /// No progress on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Connections are bounded by descriptors long before this.
const CONNECTIONS_MAX: usize = 1_000_000;

/// With room for a number behind it.
fn parse_channel(name: &str) -> Result<String, String> {
    match Channel::parse(&format!("{name}-{CONNECTIONS_MAX}")) {
        Ok(_) => Ok(name.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=CONNECTIONS_MAX) => Ok(count),
        _ => Err(format!("a number from 1 to {CONNECTIONS_MAX} is expected")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_bound_every_run_in_time_and_count() {
        let cli = Cli::parse_from(["loadtest", "echo", "--url", "ws://127.0.0.1:1/echo"]);
        let Command::Echo(args) = cli.command else { panic!("{cli:?}") };
        assert!(args.bounds.duration > Duration::ZERO && args.bounds.count > 0);
    }

    #[test]
    fn faults_are_refused() {
        for line in [
            "echo",
            "echo --url http://127.0.0.1/",
            "echo --url ws://127.0.0.1/ --connections 0",
            "echo --url ws://127.0.0.1/ --duration 5",
            "echo --url ws://127.0.0.1/ --size 1XB",
            "echo --url ws://127.0.0.1/ --dialect klingon",
            "echo --url ws://127.0.0.1/ --channel-base a\tb",
            "echo --url ws://127.0.0.1/ --token a --jwt-secret b",
            "compare --rows nothing",
        ] {
            let words = std::iter::once("loadtest").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
