//! One Redis server, and several that belong together.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::tls::Certificate;
use crate::until;

use super::{Process, free_port};

use self::ask::{ask, over_socket};

mod ask;
mod cluster;
mod sentinel;

pub use cluster::RedisCluster;
pub use sentinel::Sentinel;

/// How a server is to be started.
pub struct RedisBuilder {
    settings: String,
    user: Option<(String, String)>,
    certificate: Option<Certificate>,
    folder: TempDir,
}

/// A running `redis-server`. It keeps nothing on disk unless it was told to.
pub struct RedisServer {
    process: Process,
    port: u16,
    user: Option<(String, String)>,
    tls: bool,
    folder: TempDir,
}

impl RedisServer {
    /// Prepares one.
    pub fn builder() -> RedisBuilder {
        RedisBuilder {
            settings: String::new(),
            user: None,
            certificate: None,
            folder: tempfile::tempdir().expect("there is room for a temporary folder"),
        }
    }

    /// One that needs no password and forgets everything when it ends.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a store is configured with to use it, without user and password.
    pub fn url(&self) -> String {
        match self.tls {
            true => format!("rediss://localhost:{}", self.port),
            false => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// The same with user and password.
    pub fn url_with_credentials(&self) -> String {
        let (name, password) = self.user.as_ref().expect("this server has a user of its own");
        format!("redis://{name}:{password}@127.0.0.1:{}", self.port)
    }

    /// Its folder; holds `cert.pem` if it speaks TLS.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends one command, and gives the answer as its elements in order, those of inner lists as well.
    ///
    /// # Panics
    ///
    /// If the server cannot be reached or answers with an error.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> Vec<String> {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// One field of a section of `INFO`; empty where there is none.
    #[track_caller]
    pub fn info(&self, section: &str, field: &str) -> String {
        let info = self.command(&["INFO", section]).join("\n");
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().trim_end().to_owned()
    }

    /// How often it has carried out a command, as `evalsha` or `xadd`.
    #[track_caller]
    pub fn calls(&self, command: &str) -> u64 {
        let counted = self.info("commandstats", &format!("cmdstat_{command}"));
        let calls = counted.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
        calls.map_or(0, |count| count.parse().expect("it is a number"))
    }

    /// Ends it with SIGTERM, so that it writes what it is told to keep, and starts it again on the same port.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.terminate();
        self.start_again();
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, on the same port and with what is left of its data.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = start(self.folder.path());
        self.await_answer();
    }

    /// Stops it where it is: connections stay, nothing is answered.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Waits until a replica follows, and has all that was written so far.
    #[track_caller]
    pub fn await_replica(&self) {
        until("the replica to be in step", || {
            let written = self.info("replication", "master_repl_offset");
            let copied = format!("state=online,offset={written},");
            self.info("replication", "slave0").contains(&copied).then_some(())
        });
    }

    /// Makes a replica a master, with what it has copied so far.
    #[track_caller]
    pub fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]);
    }

    #[track_caller]
    fn await_answer(&mut self) {
        until("redis-server to answer", || {
            assert!(self.process.is_running(), "redis-server ended:\n{}", self.process.output());
            self.try_command(&["PING"]).ok()
        });
    }

    fn try_command(&self, words: &[&str]) -> Result<Vec<String>, String> {
        ask(over_socket(&self.folder.path().join(SOCKET_FILE))?, self.user.as_ref(), words)
    }
}

impl RedisBuilder {
    /// Its folder, for files of the test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds a line to its configuration, as `maxmemory 10mb`.
    #[must_use]
    pub fn set(mut self, line: &str) -> Self {
        self.settings.push_str(line);
        self.settings.push('\n');
        self
    }

    /// Keeps each write on disk before it is answered.
    #[must_use]
    pub fn appendonly(self) -> Self {
        self.set("appendonly yes").set("appendfsync always")
    }

    /// Lets in only this user, who may use keys that begin with `prefix` and what a store of ours needs.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, prefix: &str) -> Self {
        self.user = Some((name.to_owned(), password.to_owned()));
        self.set("user default off")
            .set(&format!("user {name} on >{password} ~{prefix}* &* +@all -@dangerous +info"))
    }

    /// Speaks TLS with a certificate for `localhost` that is signed by itself.
    #[must_use]
    pub fn tls(mut self) -> Self {
        let certificate = Certificate::generate();
        certificate.write_to(self.folder.path());
        self.certificate = Some(certificate);
        self
    }

    /// Follows another server.
    #[must_use]
    pub fn replica_of(self, master: &RedisServer) -> Self {
        let line = format!("replicaof 127.0.0.1 {}", master.port());
        self.set(&line).set("repl-diskless-sync-delay 0")
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it ends instead; with all that it printed.
    #[track_caller]
    pub fn start(self) -> RedisServer {
        let port = free_port();
        let tls = self.certificate.is_some();
        let mut config = String::from(
            "bind 127.0.0.1\ndaemonize no\nunixsocket redis.sock\nsave \"\"\nenable-debug-command local\nloglevel notice\n",
        );
        let folder = self.folder.path();
        writeln!(config, "dir {}", folder.display()).expect("a string takes whatever is written");
        let ports = match tls {
            true => format!(
                "port 0\ntls-port {port}\ntls-cert-file cert.pem\ntls-key-file key.pem\ntls-auth-clients no\n"
            ),
            false => format!("port {port}\n"),
        };
        config.push_str(&ports);
        config.push_str(&self.settings);
        fs::write(folder.join(CONFIG_FILE), config).expect("the folder is ours");

        let process = start(folder);
        let mut server = RedisServer { process, port, user: self.user, tls, folder: self.folder };
        server.await_answer();
        server
    }
}

#[track_caller]
fn start(folder: &Path) -> Process {
    // Its own name for temporary files is relative to where it runs.
    Process::start("redis-server", Command::new("redis-server").arg(CONFIG_FILE).current_dir(folder))
}

const CONFIG_FILE: &str = "redis.conf";
const SOCKET_FILE: &str = "redis.sock";
