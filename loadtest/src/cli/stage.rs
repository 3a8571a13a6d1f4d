//! The part of `verify`'s command line that starts servers and does faults to them.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::fault::Fault;
use crate::stage::StagePlan;

#[derive(Args, Clone, Debug)]
pub(crate) struct StageArgs {
    /// Start these, and end them afterwards: gateways=3,redis,nats,haproxy,control-planes=1. Gateways are node-1, node-2 …
    #[arg(long, value_name = "PROCESSES", conflicts_with = "url")]
    pub(crate) spawn: Option<String>,
    /// The gateway's binary [default: tidegate-gateway beside this program].
    #[arg(long, requires = "spawn")]
    pub(crate) gateway: Option<PathBuf>,
    /// The gateways' configuration [default: one namespace with history, open to everybody].
    #[arg(long, value_name = "FILE", requires = "spawn")]
    pub(crate) gateway_config: Option<PathBuf>,
    /// The control plane's binary [default: tidegate-control-plane beside this program].
    #[arg(long, value_name = "FILE", requires = "spawn")]
    pub(crate) control_plane: Option<PathBuf>,
    /// The control planes' configuration.
    #[arg(long, value_name = "FILE", requires = "spawn")]
    pub(crate) control_plane_config: Option<PathBuf>,
    /// Write here who runs and listens where, once all clients are connected: for whoever does something to the stage.
    #[arg(long, value_name = "FILE", requires = "spawn")]
    pub(crate) stage_file: Option<PathBuf>,
    /// Start gateways again that have ended with exit code 0, as after a drain.
    #[arg(long, requires = "spawn")]
    pub(crate) respawn: bool,
    /// A setting of all gateways; may be given more than once.
    #[arg(long, value_name = "SECTION.KEY=VALUE", requires = "spawn")]
    pub(crate) set: Vec<String>,
    /// The NATS server's binary.
    #[arg(long, value_name = "FILE", default_value = "nats-server")]
    pub(crate) nats_server: PathBuf,
    /// Path of the native dialect on the gateways that are started.
    #[arg(long, default_value = "/ws")]
    pub(crate) path: String,
    /// Where the started processes' output goes [default: a folder that is kept if something is wrong].
    #[arg(long, value_name = "FOLDER", requires = "spawn")]
    pub(crate) logs: Option<PathBuf>,
    /// ACTION:NAME[=VALUE]@AT[+FOR], as in kill:node-2@10s or cut:node-1-nats@10s+10s; may be given more than once.
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Vec<Fault>,
}

impl StageArgs {
    /// `None`: the servers run already.
    pub(crate) fn into_plan(self) -> Result<Option<StagePlan>, Failure> {
        let Some(spawn) = self.spawn else { return Ok(None) };
        let plan: StagePlan = spawn.parse().map_err(|error| Failure::Usage(format!("--spawn: {error}")))?;
        let beside = std::env::current_exe().map_err(Failure::system("finding this program's file"))?;
        Ok(Some(StagePlan {
            gateway: self.gateway.unwrap_or_else(|| beside.with_file_name("tidegate-gateway")),
            control_plane: self
                .control_plane
                .unwrap_or_else(|| beside.with_file_name("tidegate-control-plane")),
            control_plane_config: self.control_plane_config,
            nats_server: self.nats_server,
            config: self.gateway_config,
            settings: self.set,
            ..plan
        }))
    }
}
