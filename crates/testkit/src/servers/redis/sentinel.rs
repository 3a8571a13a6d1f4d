//! A sentinel, which tells clients which server is the master.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::servers::{Process, free_port};
use crate::until;

use super::RedisServer;
use super::ask::{ask, over_tcp};

/// One sentinel, whose word is enough to call a master dead.
pub struct Sentinel {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Sentinel {
    /// Starts it, and waits until it has found the master.
    ///
    /// # Panics
    ///
    /// If it ends instead; with all that it printed.
    #[track_caller]
    pub fn watching(master: &RedisServer) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let port = free_port();
        let config = format!("bind 127.0.0.1\nport {port}\ndaemonize no\ndir {}\n", folder.path().display());
        fs::write(folder.path().join("sentinel.conf"), config).expect("the folder is ours");
        let mut command = Command::new("redis-server");
        command.args(["sentinel.conf", "--sentinel"]).current_dir(folder.path());
        let mut process = Process::start("redis-sentinel", &mut command);
        until("the sentinel to answer", || {
            assert!(process.is_running(), "the sentinel ended:\n{}", process.output());
            ask(over_tcp(port).ok()?, None, &["PING"]).ok()
        });
        let sentinel = Self { process, port, _folder: folder };
        sentinel.monitor(master);
        sentinel
    }

    /// What a store is configured with to use the master.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/{SERVICE}", self.port)
    }

    /// Answers only this user from now on, and is asked nothing more here.
    #[track_caller]
    pub fn admit_only(&self, user: &str, password: &str) {
        self.command(&["ACL", "SETUSER", user, "on", &format!(">{password}"), "~*", "&*", "+@all"]);
        self.command(&["ACL", "SETUSER", "default", "off"]);
    }

    /// Names another server as the master, without asking anybody.
    #[track_caller]
    pub fn name_master(&self, master: &RedisServer) {
        self.command(&["SENTINEL", "REMOVE", SERVICE]);
        self.monitor(master);
    }

    /// Waits until it knows of this replica, which it can promote then.
    #[track_caller]
    pub fn await_replica(&self, replica: &RedisServer) {
        until("the sentinel to find the replica", || {
            let replicas = self.command(&["SENTINEL", "REPLICAS", SERVICE]);
            // Fields and values, among which that it has answered.
            let is_known =
                replicas.contains(&replica.port().to_string()) && replicas.contains(&"ok".to_owned());
            is_known.then_some(())
        });
    }

    /// Waits until it names this server as the master.
    #[track_caller]
    pub fn await_master(&self, master: &RedisServer) {
        until("the sentinel to name another master", || {
            let named = self.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
            named.contains(&master.port().to_string()).then_some(())
        });
    }

    #[track_caller]
    fn monitor(&self, master: &RedisServer) {
        self.command(&["SENTINEL", "MONITOR", SERVICE, "127.0.0.1", &master.port().to_string(), "1"]);
        for (option, value) in [("down-after-milliseconds", "1000"), ("failover-timeout", "5000")] {
            self.command(&["SENTINEL", "SET", SERVICE, option, value]);
        }
    }

    #[track_caller]
    fn command(&self, words: &[&str]) -> Vec<String> {
        over_tcp(self.port)
            .and_then(|connection| ask(connection, None, words))
            .unwrap_or_else(|error| panic!("{words:?}: {error}\n{}", self.process.output()))
    }
}

const SERVICE: &str = "main";
