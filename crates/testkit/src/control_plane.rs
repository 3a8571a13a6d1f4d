//! The control plane's binary as a child process: one replica on free ports, asked over its API, ended by signals.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::is_setting;
use crate::http::{self, HttpResponse};
use crate::logs::{Logs, field};
use crate::wait::until;

/// How a replica is to be started.
pub struct ControlPlaneBuilder {
    binary: PathBuf,
    settings: Vec<(String, String)>,
    config: String,
    folder: TempDir,
}

/// A running replica. Dropping it kills the process.
pub struct ControlPlane {
    child: Child,
    logs: Logs,
    api: SocketAddr,
    admin: SocketAddr,
    _folder: TempDir,
}

impl ControlPlaneBuilder {
    /// Sets one key, as `election.lease`, by its flag.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds TOML to the configuration file; for arrays of tables, which have no flag.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Starts the process and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it ends before; with all that it printed.
    #[track_caller]
    pub fn start(self) -> ControlPlane {
        let mut child =
            self.command().spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let logs = Logs::default();
        logs.collect(child.stdout.take().expect("it is piped"));
        logs.collect(child.stderr.take().expect("it is piped"));
        let listening = until("the control plane to listen", || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the control plane ended before it listened ({status}):\n{}", logs.lines().join("\n"));
            }
            logs.entries().into_iter().find(|entry| field(entry, "message") == Some("listening"))
        });
        let address = |name| {
            let shown = field(&listening, name).unwrap_or_else(|| panic!("no field `{name}` in {listening}"));
            shown.parse().unwrap_or_else(|_| panic!("no socket address: {shown}"))
        };
        let (api, admin) = (address("api"), address("admin"));
        ControlPlane { api, admin, child, logs, _folder: self.folder }
    }

    /// Runs the process to its end; for configurations that it must refuse.
    #[track_caller]
    pub fn run_to_end(self) -> (Option<i32>, String) {
        let output = self.command().output().expect("the binary has been built");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn command(&self) -> Command {
        let file = self.folder.path().join("control-plane.toml");
        fs::write(&file, &self.config).expect("the folder is ours");
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(file);
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (variable, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(variable);
        }
        command
    }
}

impl ControlPlane {
    /// Prepares a replica on free ports of 127.0.0.1, without Kubernetes. Callers pass
    /// `env!("CARGO_BIN_EXE_tidegate-control-plane")`, which only the package's own tests can expand.
    pub fn builder(binary: impl Into<PathBuf>) -> ControlPlaneBuilder {
        let builder = ControlPlaneBuilder {
            binary: binary.into(),
            settings: Vec::new(),
            config: String::new(),
            folder: tempfile::tempdir().expect("there is room for a temporary folder"),
        };
        builder
            .set("api.listen", "127.0.0.1:0")
            .set("admin.listen", "127.0.0.1:0")
            .set("kubernetes.enabled", "false")
    }

    /// Any method on the API port.
    #[track_caller]
    pub fn api_call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> HttpResponse {
        http::exchange_with(self.api, method, target, headers, body)
    }

    /// `GET` on the admin port.
    #[track_caller]
    pub fn admin_get(&self, target: &str) -> HttpResponse {
        http::exchange(self.admin, "GET", target, "")
    }

    /// Waits for a log entry with this message.
    #[track_caller]
    pub fn await_log(&self, message: &str) -> Value {
        until(&format!("the log line \"{message}\""), || {
            self.logs.entries().into_iter().find(|entry| field(entry, "message") == Some(message))
        })
    }

    /// Ends it without a warning to anyone, and waits until it is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_exit();
    }

    /// Sends SIGTERM, and waits until the process has ended.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit()
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .expect("the process is our child");
    }

    #[track_caller]
    fn wait_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the control plane to end", || child.try_wait().expect("it is our child"))
    }
}

impl Drop for ControlPlane {
    #[expect(
        clippy::print_stdout,
        reason = "the test runner captures it and shows it for the test that failed"
    )]
    fn drop(&mut self) {
        // It may have ended already: then there is nothing left to kill, and only the wait does something.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- the control plane's output:\n{}\n---", self.logs.lines().join("\n"));
        }
    }
}
