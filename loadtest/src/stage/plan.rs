//! Who takes part in a stage, as it is written on the command line: `gateways=3,redis,nats,haproxy`.

use std::path::PathBuf;
use std::str::FromStr;

use super::{HAPROXY, NATS, REDIS, REPLICA};
use crate::fault::{Deed, Fault, RedisDeed};

/// What to start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct StagePlan {
    pub(crate) gateways: usize,
    pub(crate) control_planes: usize,
    pub(crate) redis: Option<Persistence>,
    /// A second Redis, which follows the first.
    pub(crate) replica: bool,
    pub(crate) nats: bool,
    pub(crate) haproxy: bool,
    /// The gateway's binary.
    pub(crate) gateway: PathBuf,
    /// The control plane's binary.
    pub(crate) control_plane: PathBuf,
    /// The control planes' configuration file.
    pub(crate) control_plane_config: Option<PathBuf>,
    pub(crate) nats_server: PathBuf,
    /// The gateways' configuration file; `None`: one channel namespace with history, and everybody may come in.
    pub(crate) config: Option<PathBuf>,
    /// `section.key=value`, for all gateways.
    pub(crate) settings: Vec<String>,
}

/// Does Redis know after a restart what it knew before?
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Persistence {
    #[default]
    None,
    /// Each write is on disk before it is answered.
    Always,
}

/// More than one machine carries.
const GATEWAYS_MAX: usize = 32;
const CONTROL_PLANES_MAX: usize = 5;
const PARTS: &str = "gateways=N, redis, redis=persistent, redis-replica, nats, haproxy, control-planes=N";

impl StagePlan {
    /// The gateways' names.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = String> + use<> {
        (1..=self.gateways).map(|number| format!("node-{number}"))
    }

    /// The control planes' names.
    pub(crate) fn coordinators(&self) -> impl Iterator<Item = String> + use<> {
        (1..=self.control_planes).map(|number| format!("control-plane-{number}"))
    }

    /// Names of all processes.
    fn processes(&self) -> Vec<String> {
        let servers = [
            (REDIS, self.redis.is_some()),
            (REPLICA, self.replica),
            (NATS, self.nats),
            (HAPROXY, self.haproxy),
        ];
        let servers = servers.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name.to_owned());
        self.nodes().chain(servers).chain(self.coordinators()).collect()
    }

    /// Names of all links.
    fn links(&self) -> Vec<String> {
        let mut links = Vec::new();
        for node in self.nodes() {
            links.push(format!("clients-{node}"));
            links.extend(self.redis.map(|_| format!("{node}-{REDIS}")));
            links.extend(self.nats.then(|| format!("{node}-{NATS}")));
        }
        for name in self.coordinators() {
            links.extend(self.redis.map(|_| format!("{name}-{REDIS}")));
            links.extend(self.nats.then(|| format!("{name}-{NATS}")));
        }
        links.extend(self.replica.then(|| format!("{REPLICA}-{REDIS}")));
        links
    }
}

/// Is everybody there whom a fault is for? `Err` says what is, and what to write.
pub(crate) fn check(plan: Option<&StagePlan>, faults: &[Fault]) -> Result<(), String> {
    for fault in faults {
        let Some(plan) = plan else {
            return Err(format!(
                "`{fault}`: only processes of --spawn can be done something to; name them there"
            ));
        };
        let (kind, known) = match fault.deed {
            Deed::Process(_) => ("process", plan.processes()),
            Deed::Link(_) => ("link", plan.links()),
            Deed::Redis(RedisDeed::Promote) => {
                ("replica", plan.processes().into_iter().filter(|name| name == REPLICA).collect())
            }
            Deed::Redis(RedisDeed::Flush) => {
                ("Redis", plan.processes().into_iter().filter(|name| name.starts_with(REDIS)).collect())
            }
        };
        if !known.contains(&fault.name) {
            let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("`{fault}`: --spawn makes no {kind} `{}`; there is {there}", fault.name));
        }
    }
    Ok(())
}

impl FromStr for StagePlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        let mut seen = Vec::new();
        for part in text.split(',') {
            let (name, value) =
                part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            if seen.contains(&name) {
                return Err(format!("`{name}` is there twice"));
            }
            seen.push(name);
            match (name, value) {
                ("gateways", Some(count)) => match count.parse() {
                    Ok(count @ 1..=GATEWAYS_MAX) => plan.gateways = count,
                    _ => {
                        return Err(format!(
                            "`{part}`: a number of gateways from 1 to {GATEWAYS_MAX} is expected"
                        ));
                    }
                },
                ("control-planes", Some(count)) => match count.parse() {
                    Ok(count @ 1..=CONTROL_PLANES_MAX) => plan.control_planes = count,
                    _ => {
                        return Err(format!(
                            "`{part}`: a number of control planes from 1 to {CONTROL_PLANES_MAX} is expected"
                        ));
                    }
                },
                (REDIS, None) => plan.redis = Some(Persistence::None),
                (REDIS, Some("persistent")) => plan.redis = Some(Persistence::Always),
                (REPLICA, None) => plan.replica = true,
                (NATS, None) => plan.nats = true,
                (HAPROXY, None) => plan.haproxy = true,
                _ => return Err(format!("`{part}` cannot be started; take some of {PARTS}")),
            }
        }
        if plan.gateways == 0 {
            return Err("there is no gateway: begin with gateways=1".to_owned());
        }
        if plan.control_planes > 0 && plan.redis.is_none() {
            return Err("control-planes find the gateways in Redis: name redis too".to_owned());
        }
        if plan.replica && plan.redis.is_none() {
            return Err("redis-replica follows redis: name that too".to_owned());
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_one_line() {
        let plan: StagePlan = "gateways=3,redis=persistent,redis-replica,nats,haproxy".parse().unwrap();
        assert_eq!((plan.gateways, plan.redis), (3, Some(Persistence::Always)));
        assert!(plan.replica && plan.nats && plan.haproxy);
        assert_eq!(
            "gateways=1".parse::<StagePlan>().unwrap(),
            StagePlan { gateways: 1, ..StagePlan::default() }
        );
    }

    #[test]
    fn what_cannot_be_started_is_told_with_what_can() {
        for (text, words) in [
            ("redis", "begin with gateways=1"),
            ("gateways=0", "from 1 to 32"),
            ("gateways=33", "from 1 to 32"),
            ("gateways=1,gateways=2", "twice"),
            ("gateways=1,kafka", "`kafka` cannot be started; take some of gateways=N, redis"),
            ("gateways=1,redis-replica", "follows redis"),
            ("gateways=1,redis=maybe", "redis=persistent"),
            ("gateways=1,redis,control-planes=6", "from 1 to 5"),
            ("gateways=1,control-planes=1", "name redis too"),
        ] {
            let error = text.parse::<StagePlan>().unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn faults_need_somebody_on_the_stage() {
        let plan: StagePlan = "gateways=2,redis,nats,control-planes=1".parse().unwrap();
        let check = |text: &str| check(Some(&plan), &[text.parse().unwrap()]);
        for text in [
            "kill:node-2@1s",
            "restart:redis@1s",
            "cut:node-1-nats@1s",
            "cut:node-2-redis@1s",
            "cut:clients-node-1@1s",
            "flush:redis@1s",
            "kill:control-plane-1@1s",
            "cut:control-plane-1-redis@1s",
        ] {
            assert_eq!(check(text), Ok(()));
        }
        for (text, words) in [
            ("kill:node-3@1s", "no process `node-3`; there is node-1, node-2, redis, nats, control"),
            (
                "cut:node-2@1s",
                "no link `node-2`; there is clients-node-1, node-1-redis, node-1-nats, clients-node-2",
            ),
            ("promote:redis-replica@1s", "no replica `redis-replica`; there is none"),
            ("flush:nats@1s", "no Redis `nats`; there is redis"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let error = super::check(None, &["kill:node-1@1s".parse().unwrap()]).unwrap_err();
        assert!(error.contains("--spawn"), "{error}");
    }
}
