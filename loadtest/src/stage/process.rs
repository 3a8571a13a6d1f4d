//! One process of a stage: started with its output in a file, waited for, signalled by its id, started again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How to start it.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) ready: Ready,
}

/// When it is ready.
#[derive(Clone, Debug)]
pub(super) enum Ready {
    /// It accepts connections there.
    Port(SocketAddr),
    /// One of our own programs: its log tells where it listens, and its admin port says that it is ready.
    Told,
}

/// One, running or not.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    launch: Launch,
    logs: PathBuf,
    starts: u32,
    child: Option<Child>,
    /// Where it listens for those it serves.
    pub(super) address: SocketAddr,
    /// All addresses that its log tells, by the name of the configuration's section.
    pub(super) told: BTreeMap<&'static str, SocketAddr>,
}

/// From start to readiness.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// From SIGTERM to the end, when it is to be started again: a gateway may drain first.
const END_TIMEOUT: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(10);

impl Process {
    /// Starts it and waits until it is ready.
    pub(super) fn start(name: &str, launch: Launch, logs: &Path) -> Result<Self, String> {
        let address = match launch.ready {
            Ready::Port(address) => address,
            Ready::Told => SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let mut process = Self {
            name: name.to_owned(),
            launch,
            logs: logs.to_owned(),
            starts: 0,
            child: None,
            address,
            told: BTreeMap::new(),
        };
        process.start_again()?;
        Ok(process)
    }

    /// Starts it, on the ports that it had before.
    pub(super) fn start_again(&mut self) -> Result<(), String> {
        if self.is_running() {
            return Err(format!("{} runs: it cannot be started", self.name));
        }
        self.starts += 1;
        let log = self.logs.join(format!("{}.{}.log", self.name, self.starts));
        let file = |error: std::io::Error| format!("{}: {error}", log.display());
        let output = File::create(&log).map_err(file)?;
        let errors = output.try_clone().map_err(file)?;
        let child = Command::new(&self.launch.program)
            .args(&self.launch.arguments)
            .envs(self.launch.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.launch.program.display()))?;
        self.child = Some(child);
        self.await_ready(&log)
            .map_err(|reason| format!("{} is not ready: {reason}; see {}", self.name, log.display()))
    }

    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), String> {
        let child = self.child.as_ref().ok_or_else(|| format!("{} does not run", self.name))?;
        let pid = Pid::from_child(child);
        kill_process(pid, signal).map_err(|error| format!("{}, process {pid:?}: {error}", self.name))?;
        if signal == Signal::KILL {
            self.reap();
        }
        Ok(())
    }

    /// SIGTERM, its end, and a new start.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.signal(Signal::TERM)?;
        self.await_end()?;
        self.start_again()
    }

    /// Its end, by itself.
    pub(super) fn await_end(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + END_TIMEOUT;
        while self.is_running() {
            if Instant::now() > deadline {
                return Err(format!("{} has not ended {END_TIMEOUT:?} after SIGTERM", self.name));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn is_running(&mut self) -> bool {
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            self.child = None;
        }
        self.child.is_some()
    }

    /// Whether it has ended with exit code 0 since the last look.
    pub(super) fn has_ended_well(&mut self) -> bool {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        ended.is_some_and(|status| status.success())
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    fn await_ready(&mut self, log: &Path) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if self.is_ready(log)? {
                return Ok(());
            }
            if !self.is_running() {
                return Err("it has ended".to_owned());
            }
            if Instant::now() > deadline {
                return Err(format!("{START_TIMEOUT:?} have passed"));
            }
            thread::sleep(LOOK);
        }
    }

    fn is_ready(&mut self, log: &Path) -> Result<bool, String> {
        match self.launch.ready {
            Ready::Port(address) => Ok(TcpStream::connect(address).is_ok()),
            Ready::Told => {
                let text = fs::read_to_string(log).map_err(|error| format!("{}: {error}", log.display()))?;
                let Some(told) = text.lines().find_map(listening) else { return Ok(false) };
                let admin = told[ADMIN];
                self.address = *told.get(CLIENT).or_else(|| told.get(API)).unwrap_or(&admin);
                self.keep_ports(&told);
                self.told = told;
                Ok(is_ready_by_admin(admin))
            }
        }
    }

    /// Clients, balancers and coordinators know the addresses: another start must have them too.
    fn keep_ports(&mut self, told: &BTreeMap<&'static str, SocketAddr>) {
        for (section, address) in told {
            let key = listen_key(section);
            if let Some((_, value)) = self.launch.environment.iter_mut().find(|(name, _)| *name == key) {
                *value = address.to_string();
            }
        }
    }

    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

/// Sections of the configuration that have an address.
const CLIENT: &str = "client";
const API: &str = "api";
const ADMIN: &str = "admin";

/// The variable by which one of our programs is told where to listen.
pub(super) fn listen_key(section: &str) -> String {
    format!("TIDEGATE_{}__LISTEN", section.to_uppercase())
}

impl Drop for Process {
    /// It has nothing to lose: no need to ask politely. SIGKILL ends a stopped process, too.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The addresses in this line of a log, if it tells them; the admin port's is among them.
fn listening(line: &str) -> Option<BTreeMap<&'static str, SocketAddr>> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let address = |name: &'static str| Some((name, entry.get(name)?.as_str()?.parse().ok()?));
    let told: BTreeMap<_, _> = [CLIENT, API, ADMIN].into_iter().filter_map(address).collect();
    told.contains_key(ADMIN).then_some(told)
}

fn is_ready_by_admin(admin: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut socket = TcpStream::connect(admin)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        socket.read_exact(&mut answer)?;
        Ok(answer == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_tells_its_addresses_in_its_log() {
        let line = r#"{"level":"INFO","message":"listening","client":"127.0.0.1:38943","admin":"127.0.0.1:39497","node":"a"}"#;
        let expected = [("client", "127.0.0.1:38943"), ("admin", "127.0.0.1:39497")];
        let expected = expected.map(|(section, address)| (section, address.parse().unwrap()));
        assert_eq!(listening(line), Some(expected.into()));
        assert_eq!(listening(r#"{"message":"starting"}"#), None);
        assert_eq!(listening("no JSON"), None);
    }

    #[test]
    fn a_process_that_ends_before_it_is_ready_is_told_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch {
            program: "sh".into(),
            arguments: vec!["-c".into(), "echo no such option; exit 3".into()],
            environment: Vec::new(),
            ready: Ready::Told,
        };
        let error = Process::start("node-1", launch, folder.path()).unwrap_err();
        assert!(
            error.contains("node-1 is not ready: it has ended") && error.contains("node-1.1.log"),
            "{error}"
        );
        let log = fs::read_to_string(folder.path().join("node-1.1.log")).unwrap();
        assert_eq!(log, "no such option\n");
    }

    #[test]
    fn a_killed_process_can_be_started_again_and_a_running_one_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let launch = Launch {
            program: "sleep".into(),
            arguments: vec!["60".into()],
            environment: Vec::new(),
            ready: Ready::Port(listener.local_addr().unwrap()),
        };
        let mut process = Process::start("sleeper", launch, folder.path()).unwrap();
        assert!(process.start_again().unwrap_err().contains("sleeper runs"));
        process.signal(Signal::KILL).unwrap();
        assert!(process.signal(Signal::TERM).unwrap_err().contains("does not run"));
        process.start_again().unwrap();
        process.restart().unwrap();
        assert!(process.is_running() && !process.has_ended_well());
        process.signal(Signal::KILL).unwrap();
        assert!(!process.has_ended_well());
    }
}
