//! A stage: the processes that a verification runs against, the links between them, and what is done to both.
//!
//! Place in the data path: none; `verify --spawn` starts one before the clients connect, `hand` carries the faults out on it, and
//! dropping it kills every process that it started, by its id.
//!
//! | Module | Part |
//! |---|---|
//! | `plan` | who takes part: `gateways=3,redis,nats,haproxy,control-planes=1` |
//! | `process` | one process: start, readiness, signals |
//! | `servers` | how each kind is started, and what Redis is told |
//! | `link` | a TCP link that can be cut, held, delayed … |
//! | `hand` | the thread that carries the faults out |

mod hand;
mod link;
mod plan;
mod process;
mod servers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

pub(crate) use self::hand::{Done, Stagehand};
use self::link::Link;
pub(crate) use self::plan::{StagePlan, check};
use self::process::Process;
use self::servers::Backend;
use crate::failure::Failure;
use crate::fault::{Deed, Fault, ProcessDeed, RedisDeed, Step, StepDeed};

/// A running one.
#[derive(Debug)]
pub(crate) struct Stage {
    processes: BTreeMap<String, Process>,
    links: BTreeMap<String, Link>,
    /// Where clients connect.
    targets: Vec<SocketAddr>,
    logs: PathBuf,
}

/// Names of processes that are there once.
pub(crate) const REDIS: &str = "redis";
pub(crate) const REPLICA: &str = "redis-replica";
pub(crate) const NATS: &str = "nats";
pub(crate) const HAPROXY: &str = "haproxy";

impl Stage {
    /// Starts everything, servers first, and waits until all of it is ready. `faults`: whose links are made.
    pub(crate) fn start(plan: &StagePlan, faults: &[Fault], logs: &Path) -> Result<Self, Failure> {
        let mut stage = Self {
            processes: BTreeMap::new(),
            links: BTreeMap::new(),
            targets: Vec::new(),
            logs: logs.to_owned(),
        };
        stage.start_all(plan, faults).map_err(Failure::Stage)?;
        Ok(stage)
    }

    fn start_all(&mut self, plan: &StagePlan, faults: &[Fault]) -> Result<(), String> {
        let is_linked = |name: &str| {
            let is_named = |fault: &Fault| fault.name == name && matches!(fault.deed, Deed::Link(_));
            // Who follows the master to its replica needs something that can lead it there.
            let is_promoted = faults.iter().any(|fault| fault.deed == Deed::Redis(RedisDeed::Promote));
            faults.iter().any(is_named) || (is_promoted && name.ends_with("-redis") && name != REPLICA_LINK)
        };
        let redis = plan
            .redis
            .map(|persistence| self.launch(REDIS, |stage| servers::redis(persistence, &stage.logs)));
        let redis = redis.transpose()?;
        if let (true, Some(master)) = (plan.replica, redis) {
            let master = if is_linked(REPLICA_LINK) { self.link(REPLICA_LINK, master)? } else { master };
            self.launch(REPLICA, |stage| servers::replica(master, &stage.logs))?;
        }
        let nats = plan.nats.then(|| self.launch(NATS, |_| servers::nats(&plan.nats_server))).transpose()?;
        let mut doors = Vec::new();
        let coordinators = plan.coordinators().map(|name| (name, true));
        for (name, coordinates) in plan.nodes().map(|name| (name, false)).chain(coordinators) {
            let mut store = None;
            let mut bus = None;
            for (kind, server, own) in [(REDIS, redis, &mut store), (NATS, nats, &mut bus)] {
                let link = format!("{name}-{kind}");
                *own = match server {
                    Some(address) if is_linked(&link) => Some(self.link(&link, address)?),
                    server => server,
                };
            }
            if coordinates {
                self.launch(&name, |_| Ok(servers::control_plane(plan, &name, store, bus)))?;
                continue;
            }
            let address = self.launch(&name, |_| Ok(servers::gateway(plan, &name, store, bus)))?;
            let link = format!("clients-{name}");
            let door = if is_linked(&link) { self.link(&link, address)? } else { address };
            let admin = self.processes[&name].told.get("admin").copied().unwrap_or(address);
            doors.push(Backend { door, admin });
        }
        self.targets = if plan.haproxy {
            vec![self.launch(HAPROXY, |stage| servers::haproxy(&doors, &stage.logs))?]
        } else {
            doors.iter().map(|backend| backend.door).collect()
        };
        Ok(())
    }

    /// Every process by name, with its id and where it listens: for whoever does something to the stage from outside.
    pub(crate) fn directory(&self) -> serde_json::Value {
        let entry = |(name, process): (&String, &Process)| {
            let mut entry = serde_json::json!({ "pid": process.pid(), "address": process.address });
            process.told.iter().for_each(|(section, address)| entry[section] = serde_json::json!(address));
            (name.clone(), entry)
        };
        self.processes.iter().map(entry).collect::<serde_json::Map<_, _>>().into()
    }

    /// Where clients connect: the nodes, or the load balancer.
    pub(crate) fn targets(&self) -> &[SocketAddr] {
        &self.targets
    }

    fn launch(
        &mut self,
        name: &str,
        launch: impl FnOnce(&Self) -> Result<process::Launch, String>,
    ) -> Result<SocketAddr, String> {
        let process = Process::start(name, launch(self)?, &self.logs)?;
        let address = process.address;
        self.processes.insert(name.to_owned(), process);
        Ok(address)
    }

    fn link(&mut self, name: &str, target: SocketAddr) -> Result<SocketAddr, String> {
        let seed = self.links.len() as u64;
        let link = Link::open(target, seed).map_err(|error| format!("link {name}: {error}"))?;
        let address = link.address();
        self.links.insert(name.to_owned(), link);
        Ok(address)
    }

    /// Does it, and waits until it is done.
    fn carry_out(&mut self, step: &Step) -> Result<(), String> {
        let missing = || format!("there is no {} on this stage", step.name);
        match step.what {
            StepDeed::Link(weather) => {
                self.links.get(&step.name).ok_or_else(missing)?.set_weather(weather);
                Ok(())
            }
            StepDeed::Process(deed) => {
                let process = self.processes.get_mut(&step.name).ok_or_else(missing)?;
                match deed {
                    ProcessDeed::Term => process.signal(Signal::TERM),
                    ProcessDeed::Kill => process.signal(Signal::KILL),
                    ProcessDeed::Stop | ProcessDeed::Freeze => process.signal(Signal::STOP),
                    ProcessDeed::Cont => process.signal(Signal::CONT),
                    ProcessDeed::Restart => process.restart(),
                    ProcessDeed::Start => process.await_end().and_then(|()| process.start_again()),
                }
            }
            StepDeed::Redis(deed) => {
                let address = self.processes.get(&step.name).ok_or_else(missing)?.address;
                match deed {
                    RedisDeed::Flush => servers::tell_redis(address, "FLUSHALL"),
                    RedisDeed::Promote => self.promote(address),
                }
            }
        }
    }

    /// Starts gateways again that have ended well by themselves, as after a drain. One that cannot be started shows in its log, and
    /// in what the clients find.
    fn respawn(&mut self) {
        for process in self.processes.values_mut() {
            if process.has_ended_well() {
                let _ = process.start_again();
            }
        }
    }

    /// The master goes as a machine does that is lost, and everybody is led to the replica.
    fn promote(&mut self, replica: SocketAddr) -> Result<(), String> {
        if let Some(master) = self.processes.get_mut(REDIS) {
            master.signal(Signal::KILL)?;
        }
        servers::tell_redis(replica, "REPLICAOF NO ONE")?;
        let ends_there = |name: &str| name.ends_with("-redis") && name != REPLICA_LINK;
        self.links.iter().filter(|(name, _)| ends_there(name)).for_each(|(_, link)| link.lead_to(replica));
        Ok(())
    }
}

/// Between the replica and its master: held, the replica lags.
const REPLICA_LINK: &str = "redis-replica-redis";
