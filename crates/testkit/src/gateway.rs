//! The gateway's binary as a child process: started on free ports, asked over its admin port, ended by signals.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, Request};
use crate::http::{self, HttpResponse};
use crate::logs::{Logs, field};
use crate::metrics::Metrics;
use crate::wait::until;

/// How a gateway is to be started.
pub struct Builder {
    binary: PathBuf,
    settings: Vec<(String, String)>,
    config: String,
    folder: TempDir,
}

/// A running gateway. Dropping it kills the process.
pub struct Gateway {
    child: Child,
    logs: Logs,
    client: SocketAddr,
    api: SocketAddr,
    admin: SocketAddr,
    _folder: TempDir,
}

impl Builder {
    /// Sets one key, as `limits.frame_timeout`, by its environment variable.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let variable = format!("TIDEGATE_{}", key.to_uppercase().replace('.', "__"));
        self.settings.push((variable, value.to_owned()));
        self
    }

    /// Adds TOML to the configuration file; for arrays of tables, which have no variable.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// A folder that lives as long as the gateway, for certificates and the like.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the process and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it ends before; with all that it printed.
    #[track_caller]
    pub fn start(self) -> Gateway {
        let mut child =
            self.command(&[]).spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let logs = Logs::default();
        logs.collect(child.stdout.take().expect("it is piped"));
        logs.collect(child.stderr.take().expect("it is piped"));

        let listening = until("the gateway to listen", || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the gateway ended before it listened ({status}):\n{}", logs.lines().join("\n"));
            }
            logs.entries().into_iter().find(|entry| field(entry, "message") == Some("listening"))
        });
        let address = |name| {
            let shown = field(&listening, name).unwrap_or_else(|| panic!("no field `{name}` in {listening}"));
            shown.parse().unwrap_or_else(|_| panic!("no socket address: {shown}"))
        };
        let (client, api, admin) = (address("client"), address("api"), address("admin"));
        Gateway { client, api, admin, child, logs, _folder: self.folder }
    }

    /// Runs the process to its end, with these arguments added; for configurations that it must refuse.
    ///
    /// # Panics
    ///
    /// If it does not end by itself.
    #[track_caller]
    pub fn run_to_end(self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut child = self.command(arguments).spawn().expect("the binary has been built");
        let (stdout, stderr) = (Logs::default(), Logs::default());
        let readers = [
            stdout.collect(child.stdout.take().expect("it is piped")),
            stderr.collect(child.stderr.take().expect("it is piped")),
        ];
        let status = wait_exit(&mut child);
        for reader in readers {
            reader.join().expect("it only reads lines");
        }
        (status.code(), stdout.lines().join("\n"), stderr.lines().join("\n"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let file = self.folder.path().join("gateway.toml");
        fs::write(&file, &self.config).expect("the folder is ours");

        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(file).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (variable, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(variable);
        }
        command.envs(self.settings.iter().map(|(variable, value)| (variable, value)));
        command
    }
}

impl Gateway {
    /// Prepares one worker on free ports of 127.0.0.1. Callers pass `env!("CARGO_BIN_EXE_tidegate-gateway")`, which
    /// only the package's own tests can expand.
    pub fn builder(binary: impl Into<PathBuf>) -> Builder {
        let builder = Builder {
            binary: binary.into(),
            settings: Vec::new(),
            config: String::new(),
            folder: tempfile::tempdir().expect("there is room for a temporary folder"),
        };
        builder
            .set("client.listen", "127.0.0.1:0")
            .set("admin.listen", "127.0.0.1:0")
            .set("api.listen", "127.0.0.1:0")
            .set("node.workers", "1")
            // What else runs on the machine is not what tests look at.
            .set("overload.loop_lag", "0s")
            .set("overload.memory_percent", "0")
    }

    /// Where clients connect.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// A request to upgrade at `target`.
    pub fn request<'a>(&self, target: &'a str) -> Request<'a> {
        Request::to(self.client, target)
    }

    /// An open connection at `target`.
    #[track_caller]
    pub fn open(&self, target: &str) -> Client {
        self.request(target).open()
    }

    /// `GET` on the client port.
    #[track_caller]
    pub fn client_get(&self, target: &str) -> HttpResponse {
        http::exchange(self.client, "GET", target, "")
    }

    /// Any method on the client port.
    #[track_caller]
    pub fn client_call(&self, method: &str, target: &str) -> HttpResponse {
        http::exchange(self.client, method, target, "")
    }

    /// Any method on the port of the server API.
    #[track_caller]
    pub fn api_call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> HttpResponse {
        http::exchange_with(self.api, method, target, headers, body)
    }

    /// `GET` on the admin port.
    #[track_caller]
    pub fn admin_get(&self, target: &str) -> HttpResponse {
        http::exchange(self.admin, "GET", target, "")
    }

    /// `PUT` on the admin port.
    #[track_caller]
    pub fn admin_put(&self, target: &str, body: &str) -> HttpResponse {
        http::exchange(self.admin, "PUT", target, body)
    }

    /// A fresh scrape.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let response = self.admin_get("/metrics");
        assert_eq!(response.status, 200, "{}", response.body);
        Metrics::parse(&response.body)
    }

    /// One value of a fresh scrape; what has no sample yet counts as zero.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().value(name, labels).unwrap_or(0.0)
    }

    /// Waits until a metric has this value.
    #[track_caller]
    pub fn await_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        until(&format!("{name} {labels:?} to be {value}"), || {
            let found = self.metric(name, labels);
            // Counts and sizes, far below 2^53: they compare exactly.
            (found.to_bits() == value.to_bits()).then_some(())
        });
    }

    /// All log entries so far that `wanted` picks.
    pub fn log_entries(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.logs.entries().into_iter().filter(|entry| wanted(entry)).collect()
    }

    /// Waits for a log entry with this message.
    #[track_caller]
    pub fn await_log(&self, message: &str) -> Value {
        until(&format!("the log line \"{message}\""), || {
            self.logs.entries().into_iter().find(|entry| field(entry, "message") == Some(message))
        })
    }

    /// Waits for a log entry in which this text occurs.
    #[track_caller]
    pub fn await_log_containing(&self, text: &str) {
        until(&format!("a log line with \"{text}\""), || {
            self.logs.lines().iter().any(|line| line.contains(text)).then_some(())
        });
    }

    /// Resident memory, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        kib.map(|kib: u64| kib * 1024).expect("a running process has resident memory")
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .expect("the process is our child");
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        wait_exit(&mut self.child)
    }

    /// Asks the gateway to leave; it must do so with exit code 0.
    #[track_caller]
    pub fn stop(mut self) {
        self.terminate();
        let status = self.wait_exit();
        assert_eq!(
            status.code(),
            Some(0),
            "the gateway ended with {status}:\n{}",
            self.logs.lines().join("\n")
        );
    }
}

impl Drop for Gateway {
    #[expect(
        clippy::print_stdout,
        reason = "the test runner captures it and shows it for the test that failed"
    )]
    fn drop(&mut self) {
        // It may have ended already: then there is nothing left to kill, and only the wait does something.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- the gateway's output:\n{}\n---", self.logs.lines().join("\n"));
        }
    }
}

#[track_caller]
fn wait_exit(child: &mut Child) -> ExitStatus {
    until("the gateway to end", || child.try_wait().expect("it is our child"))
}

pub(crate) fn is_setting(variable: &OsStr) -> bool {
    variable.to_string_lossy().starts_with("TIDEGATE_")
}
