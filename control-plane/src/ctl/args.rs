//! The command line: what can be said, and the requests it stands for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use tidegate_protocol::drain::OperationId;

use super::failure::Failure;
use crate::model::Period;

/// Drains, rollouts and rebalances of the gateways, from a command line.
#[derive(Debug, Parser)]
#[command(name = "tidegate-control-plane ctl", version, after_help = EXIT_CODES)]
pub(super) struct Cli {
    /// Where the control plane is; else the variable TIDEGATE_SERVER; else http://127.0.0.1:8080.
    #[arg(long, global = true)]
    server: Option<String>,
    /// File with the token; else that of the variable TIDEGATE_TOKEN_FILE; else the token in TIDEGATE_TOKEN.
    #[arg(long, global = true)]
    token_file: Option<PathBuf>,
    /// How answers are written.
    #[arg(long, short, global = true, value_enum, default_value = "table")]
    pub(super) output: Output,
    #[command(subcommand)]
    pub(super) command: Command,
}

const SERVER_DEFAULT: &str = "http://127.0.0.1:8080";

const EXIT_CODES: &str = "\
Exit codes: 0 as asked for; 1 the operation failed or was aborted, or clients are not well served; 2 refused; \
3 no answer; 4 --timeout is over; 5 a fault on this side; 64 a faulty command line; 130 stopped by Ctrl-C.";

/// How answers are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// As the API gave them.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Begin(Begin),
    /// Tell what an operation would do now, without doing it.
    Plan {
        #[command(subcommand)]
        what: Begin,
    },
    /// Show an operation, or the cluster where none is named.
    Status {
        /// The operation.
        id: Option<OperationId>,
    },
    /// Tell whether clients are well served, and why not; exits with 1 if they are not.
    Health,
    /// List nodes.
    Nodes,
    /// List operations.
    List(List),
    /// Follow an operation to its end.
    Watch {
        /// The operation.
        id: OperationId,
        /// Give up after this time, such as 10m.
        #[arg(long)]
        timeout: Option<Period>,
    },
    /// Change an operation while it runs.
    Change(Change),
    #[command(flatten)]
    Tell(Tell),
    /// Have a node take in no clients.
    Cordon(Node),
    /// Have a node serve again.
    Uncordon(Node),
}

/// What begins an operation.
#[derive(Debug, Subcommand)]
pub(super) enum Begin {
    /// Empty nodes.
    Drain {
        #[command(flatten)]
        nodes: Nodes,
        #[command(flatten)]
        common: Common,
    },
    /// Replace nodes by newer ones, in waves; all of them where none is named.
    Rollout {
        #[command(flatten)]
        nodes: Nodes,
        /// `steer` waits for enough new nodes, so that each client moves once.
        #[arg(long, value_parser = ["rolling", "steer"])]
        mode: Option<String>,
        /// What it comes to: every node replaced, those of another revision, or fewer nodes.
        #[arg(long, value_parser = ["restart", "revision", "scaleDown"])]
        target: Option<String>,
        /// The revision to come to.
        #[arg(long)]
        revision: Option<String>,
        /// Nodes that are left, with `--target scaleDown`.
        #[arg(long)]
        replicas: Option<u64>,
        #[command(flatten)]
        common: Common,
    },
    /// Move sessions from nodes with many to nodes with few.
    Rebalance {
        /// Most sessions that are moved.
        #[arg(long)]
        max_moves: Option<u64>,
        #[command(flatten)]
        common: Common,
    },
}

/// Which nodes.
#[derive(Debug, Args)]
pub(super) struct Nodes {
    /// Nodes, or pods, by name.
    names: Vec<String>,
    /// Pods with this label; may be given several times.
    #[arg(long, value_name = "LABEL=VALUE")]
    selector: Vec<String>,
    /// Those on this machine.
    #[arg(long)]
    on_node: Option<String>,
    /// Those in this zone.
    #[arg(long)]
    zone: Option<String>,
    /// Those of another revision than this.
    #[arg(long)]
    revision_not: Option<String>,
    /// All of them.
    #[arg(long)]
    all: bool,
    /// Nodes at a time: 3 or 25%.
    #[arg(long)]
    max_parallel: Option<String>,
    /// How long one node may take.
    #[arg(long)]
    window: Option<Period>,
    /// What becomes of an empty node.
    #[arg(long, value_parser = ["evict", "hold", "uncordon"])]
    then: Option<String>,
    /// What takes the place of a node that goes; `detach` has Kubernetes start it when the drain begins.
    #[arg(long, value_parser = ["terminate", "surge", "detach"])]
    replacement: Option<String>,
}

/// What every kind takes.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Its id; the same id with the same parameters is the same operation. Default: one that is made here.
    #[arg(long)]
    id: Option<OperationId>,
    /// Most clients a second, over all nodes.
    #[arg(long)]
    max_rate: Option<f64>,
    /// Most clients a second of one node.
    #[arg(long)]
    rate: Option<f64>,
    /// Most sessions that are away at any time.
    #[arg(long)]
    max_displaced: Option<u64>,
    /// How long all of it may take, such as 30m.
    #[arg(long)]
    deadline: Option<Period>,
    /// Any other parameter of the API: minServing=0, guards.resumeP99=2s.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Why, for the record.
    #[arg(long)]
    reason: Option<String>,
    /// Begin although the numbers speak against it; needs the role admin.
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) waiting: Waiting,
}

/// Whether to wait for the end.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Waiting {
    /// Wait until it is over, and show how far it is. Ctrl-C stops the waiting, not the operation.
    #[arg(long)]
    pub(super) wait: bool,
    /// With --wait: give up after this time, such as 10m.
    #[arg(long, requires = "wait")]
    pub(super) timeout: Option<Period>,
}

/// Which operations to list.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those that are not over.
    #[arg(long, conflicts_with = "finished")]
    active: bool,
    /// Only those that are over.
    #[arg(long)]
    finished: bool,
    /// Only of this kind.
    #[arg(long, value_parser = ["drain", "rollout", "rebalance"])]
    kind: Option<String>,
    /// Most to list: 1 to 200.
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

/// What to change.
#[derive(Debug, Args)]
pub(super) struct Change {
    /// The operation.
    pub(super) id: OperationId,
    /// Most clients a second, over all nodes.
    #[arg(long)]
    max_rate: Option<f64>,
    /// Most clients a second of one node.
    #[arg(long)]
    rate: Option<f64>,
    /// Most sessions that are away at any time.
    #[arg(long)]
    max_displaced: Option<u64>,
    /// How long all of it may take from its start.
    #[arg(long)]
    deadline: Option<Period>,
    /// How long one node may take.
    #[arg(long)]
    window: Option<Period>,
    /// Nodes at a time: 3 or 25%.
    #[arg(long)]
    max_parallel: Option<String>,
}

/// What an operation can be told.
#[derive(Debug, Subcommand)]
pub(super) enum Tell {
    /// Move nobody until it is resumed.
    Pause(Told),
    /// Go on.
    Resume(Told),
    /// Take it back: its nodes serve again.
    Abort(Told),
    /// Go on although the numbers speak against it; needs the role admin.
    Force(Told),
    /// Begin again what failed or was aborted.
    Retry(Told),
}

/// Which operation is told something.
#[derive(Debug, Args)]
pub(super) struct Told {
    /// The operation.
    pub(super) id: OperationId,
    /// Why, for the audit.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    pub(super) waiting: Waiting,
}

/// Which node is told something.
#[derive(Debug, Args)]
pub(super) struct Node {
    /// The node, or pod.
    name: String,
    /// Why, for the audit.
    #[arg(long)]
    reason: Option<String>,
}

impl Cli {
    /// Where the control plane is.
    pub(super) fn server(&self) -> String {
        let named = self.server.clone().or_else(|| std::env::var("TIDEGATE_SERVER").ok());
        named.unwrap_or_else(|| SERVER_DEFAULT.to_owned())
    }

    /// The token: of the file, else of the variable. There is no flag for the token itself, since everyone on the machine
    /// can see a process's arguments.
    pub(super) fn token(&self) -> Result<Option<String>, Failure> {
        let file =
            self.token_file.clone().or_else(|| std::env::var_os("TIDEGATE_TOKEN_FILE").map(PathBuf::from));
        let Some(path) = file else {
            return Ok(std::env::var("TIDEGATE_TOKEN").ok().filter(|token| !token.is_empty()));
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::Local(format!("{} cannot be read: {error}", path.display())))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl Begin {
    pub(super) const fn common(&self) -> &Common {
        match self {
            Self::Drain { common, .. } | Self::Rollout { common, .. } | Self::Rebalance { common, .. } => {
                common
            }
        }
    }

    /// The id that was named, or a new one.
    pub(super) fn id(&self) -> Result<OperationId, Failure> {
        if let Some(id) = &self.common().id {
            return Ok(id.clone());
        }
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| Failure::Local(format!("no random bytes: {error}")))?;
        let id = format!("{}-{:016x}", self.kind(), u64::from_be_bytes(bytes));
        Ok(OperationId::parse(&id).expect("letters, digits and a hyphen, far below 64"))
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Drain { .. } => "drain",
            Self::Rollout { .. } => "rollout",
            Self::Rebalance { .. } => "rebalance",
        }
    }

    /// The request's body: what was said, and nothing of what was not.
    pub(super) fn body(&self) -> Result<Value, Failure> {
        let mut body = Body::default();
        body.put("kind", Some(self.kind()));
        match self {
            Self::Drain { nodes, .. } => nodes.add_to(&mut body)?,
            Self::Rollout { nodes, mode, target, revision, replicas, .. } => {
                nodes.add_to(&mut body)?;
                body.put("mode", mode.as_deref());
                body.put("target", target.as_deref());
                body.put("revision", revision.as_deref());
                body.put("replicas", *replicas);
            }
            Self::Rebalance { max_moves, .. } => body.put("maxMoves", *max_moves),
        }
        self.common().add_to(&mut body)?;
        Ok(Value::Object(body.0))
    }
}

impl Nodes {
    fn add_to(&self, body: &mut Body) -> Result<(), Failure> {
        let mut targets = Body::default();
        targets.put("pods", (!self.names.is_empty()).then(|| json!(self.names)));
        let mut labels = Map::new();
        for label in &self.selector {
            let (key, value) = pair(label, "--selector")?;
            labels.insert(key.to_owned(), value.into());
        }
        targets.put("selector", (!labels.is_empty()).then_some(Value::Object(labels)));
        targets.put("node", self.on_node.as_deref());
        targets.put("zone", self.zone.as_deref());
        targets.put("revisionNot", self.revision_not.as_deref());
        targets.put("all", self.all.then_some(true));
        body.put("targets", (!targets.0.is_empty()).then_some(Value::Object(targets.0)));
        body.put("maxParallel", self.max_parallel.as_deref());
        body.put("window", self.window.map(period));
        body.put("then", self.then.as_deref());
        body.put("replacement", self.replacement.as_deref());
        Ok(())
    }
}

impl Common {
    fn add_to(&self, body: &mut Body) -> Result<(), Failure> {
        body.put("maxRate", self.max_rate);
        body.put("rate", self.rate);
        body.put("maxDisplaced", self.max_displaced);
        body.put("deadline", self.deadline.map(period));
        body.put("reason", self.reason.as_deref());
        self.set.iter().try_for_each(|set| body.set(set))
    }
}

impl Change {
    pub(super) fn body(&self) -> Result<Value, Failure> {
        let mut body = Body::default();
        body.put("maxRate", self.max_rate);
        body.put("rate", self.rate);
        body.put("maxDisplaced", self.max_displaced);
        body.put("deadline", self.deadline.map(period));
        body.put("window", self.window.map(period));
        body.put("maxParallel", self.max_parallel.as_deref());
        if body.0.is_empty() {
            return Err(Failure::Usage(
                "nothing to change: give --max-rate, --deadline or others".to_owned(),
            ));
        }
        Ok(Value::Object(body.0))
    }
}

impl Tell {
    /// The verb, and what is told it.
    pub(super) const fn parts(&self) -> (&'static str, &Told) {
        match self {
            Self::Pause(told) => ("pause", told),
            Self::Resume(told) => ("resume", told),
            Self::Abort(told) => ("abort", told),
            Self::Force(told) => ("force", told),
            Self::Retry(told) => ("retry", told),
        }
    }
}

impl Told {
    pub(super) fn query(&self) -> String {
        reason_query(self.reason.as_deref())
    }
}

impl Node {
    pub(super) fn path(&self, verb: &str) -> String {
        let name = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        format!("/v1/nodes/{name}:{verb}{}", reason_query(self.reason.as_deref()))
    }
}

impl List {
    pub(super) fn path(&self) -> String {
        let state = match (self.active, self.finished) {
            (true, _) => "active",
            (false, true) => "finished",
            (false, false) => "all",
        };
        let kind = self.kind.as_ref().map(|kind| format!("&kind={kind}")).unwrap_or_default();
        format!("/v1/operations?state={state}&limit={}{kind}", self.limit)
    }
}

/// A request's body that is put together.
#[derive(Default)]
struct Body(Map<String, Value>);

impl Body {
    fn put(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
    }

    /// `guards.resumeP99=2s`: a value that is no JSON is text.
    fn set(&mut self, set: &str) -> Result<(), Failure> {
        let (key, text) = pair(set, "--set")?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
        let (mut object, mut key) = (&mut self.0, key);
        while let Some((outer, rest)) = key.split_once('.') {
            let inner = object.entry(outer).or_insert_with(|| Value::Object(Map::new()));
            object = inner
                .as_object_mut()
                .ok_or_else(|| Failure::Usage(format!("--set {set}: {outer} is set to a value already")))?;
            key = rest;
        }
        object.insert(key.to_owned(), value);
        Ok(())
    }
}

fn pair<'t>(text: &'t str, flag: &str) -> Result<(&'t str, &'t str), Failure> {
    let parts = text.split_once('=').filter(|(key, _)| !key.is_empty());
    parts.ok_or_else(|| Failure::Usage(format!("{flag} {text}: has to be KEY=VALUE")))
}

fn period(period: Period) -> String {
    period.to_string()
}

fn reason_query(reason: Option<&str>) -> String {
    let encoded = |reason| utf8_percent_encode(reason, NON_ALPHANUMERIC).to_string();
    reason.map(|reason| format!("?reason={}", encoded(reason))).unwrap_or_default()
}
