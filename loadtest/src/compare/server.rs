//! A server under comparison: a child process on its own core, found by the address it prints.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::affinity;
use crate::failure::Failure;

/// How to start one.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) name: String,
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A running one; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

/// From start to the first accepted connection.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Lines of output in which the address must be.
const LINES_MAX: usize = 50;
/// In a peer's command: replaced by a free port.
const PORT: &str = "{port}";

impl Launch {
    /// This program's own `floor`.
    pub(super) fn floor(name: &str) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::system("finding this program's file"))?;
        Ok(Self {
            name: name.to_owned(),
            program: program.to_string_lossy().into_owned(),
            arguments: vec!["floor".to_owned()],
            environment: Vec::new(),
        })
    }

    /// The gateway, with one worker.
    pub(super) fn gateway(
        name: &str,
        binary: &Path,
        arguments: &[String],
        environment: &[String],
    ) -> Result<Self, Failure> {
        let mut variables: Vec<(String, String)> = [
            ("TIDEGATE_CLIENT__LISTEN", "127.0.0.1:0"),
            ("TIDEGATE_API__LISTEN", "127.0.0.1:0"),
            ("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:0"),
            ("TIDEGATE_NODE__WORKERS", "1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        for pair in environment {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::Usage(format!("--gateway-env takes KEY=VALUE, not `{pair}`")))?;
            variables.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            program: binary.to_string_lossy().into_owned(),
            arguments: arguments.to_vec(),
            environment: variables,
        })
    }

    /// The same with more arguments behind the others.
    pub(super) fn with_arguments(&self, more: impl IntoIterator<Item = String>) -> Self {
        let mut launch = self.clone();
        launch.arguments.extend(more);
        launch
    }

    /// From `NAME=COMMAND`.
    pub(super) fn peer(text: &str) -> Result<Self, Failure> {
        let (name, command) = text
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--peer takes NAME=COMMAND, not `{text}`")))?;
        Ok(Self {
            name: name.to_owned(),
            program: "sh".to_owned(),
            // `exec`: the server, not the shell, is the process that is measured and killed.
            arguments: vec!["-c".to_owned(), format!("exec {command}")],
            environment: Vec::new(),
        })
    }

    fn failed(&self, reason: &impl ToString) -> Failure {
        Failure::Peer { name: self.name.clone(), reason: reason.to_string() }
    }
}

impl Server {
    /// Starts it on `core` and waits until it listens.
    pub(super) fn start(launch: &Launch, core: Option<usize>) -> Result<Self, Failure> {
        let port = if launch.arguments.iter().any(|argument| argument.contains(PORT)) {
            Some(free_port().map_err(|error| launch.failed(&error))?)
        } else {
            None
        };
        let mut child = spawn(launch, core, port)?;
        let found = match port {
            Some(port) => await_port(SocketAddr::from(([127, 0, 0, 1], port))),
            None => read_address(&mut child),
        };
        match found {
            Ok(address) => Ok(Self { child, address }),
            Err(reason) => {
                stop(&mut child);
                Err(launch.failed(&reason))
            }
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// It has nothing to lose: no need to ask politely.
fn stop(child: &mut Child) {
    // Fails only if it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// A child inherits the cores of the thread that starts it, so that thread is pinned and then ends.
fn spawn(launch: &Launch, core: Option<usize>, port: Option<u16>) -> Result<Child, Failure> {
    let port = port.map(|port| port.to_string()).unwrap_or_default();
    let arguments = launch.arguments.iter().map(|argument| argument.replace(PORT, &port));
    let mut command = Command::new(&launch.program);
    command
        .args(arguments)
        .envs(launch.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let starter = thread::spawn(move || {
        if let Some(core) = core {
            affinity::pin_this_thread(core)?;
        }
        command.spawn().map_err(Failure::system("starting the server"))
    });
    starter
        .join()
        .map_err(|_| launch.failed(&"the starting thread panicked"))?
        .map_err(|error| launch.failed(&error))
}

/// Reads its output until an address is in it, and goes on reading in the background so that it never blocks on output.
fn read_address(child: &mut Child) -> Result<SocketAddr, String> {
    let stdout = child.stdout.take().ok_or("it has no standard output")?;
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(stdout);
        let address = (0..LINES_MAX).find_map(|_| {
            let mut line = String::new();
            match output.read_line(&mut line) {
                Ok(0) | Err(_) => Some(None),
                Ok(_) => address_in(&line).map(Some),
            }
        });
        // The receiver may have given up waiting.
        let _ = found.send(address.flatten());
        let mut rest = [0; 4096];
        while matches!(output.read(&mut rest), Ok(count) if count > 0) {}
    });
    match address.recv_timeout(START_TIMEOUT) {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(format!("its first {LINES_MAX} lines of output do not tell its address")),
        Err(_) => Err(format!("it did not tell its address within {START_TIMEOUT:?}")),
    }
}

/// The address in a line like `listening on 127.0.0.1:1234`, or under the key `client` anywhere in a line of JSON.
fn address_in(line: &str) -> Option<SocketAddr> {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(line) {
        return client_address(&json);
    }
    let (_, rest) = line.split_once("listening on ")?;
    rest.split_whitespace().next()?.parse().ok()
}

fn client_address(json: &serde_json::Value) -> Option<SocketAddr> {
    match json {
        serde_json::Value::Object(fields) => fields
            .get("client")
            .and_then(|value| value.as_str()?.parse().ok())
            .or_else(|| fields.values().find_map(client_address)),
        _ => None,
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn await_port(address: SocketAddr) -> Result<SocketAddr, String> {
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        if TcpStream::connect(address).is_ok() {
            return Ok(address);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("nothing listens on {address} after {START_TIMEOUT:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_text_and_in_json() {
        let expected = Some("127.0.0.1:4123".parse().unwrap());
        assert_eq!(address_in("listening on 127.0.0.1:4123\n"), expected);
        assert_eq!(address_in("ws server listening on 127.0.0.1:4123 (pid 3)"), expected);
        let json = r#"{"level":"INFO","fields":{"message":"listening","client":"127.0.0.1:4123","admin":"127.0.0.1:9"}}"#;
        assert_eq!(address_in(json), expected);
        assert_eq!(address_in(r#"{"message":"starting"}"#), None);
        assert_eq!(address_in("starting"), None);
    }

    #[test]
    fn a_server_is_started_on_its_core_and_killed_when_dropped() {
        let core = affinity::two_cores().unwrap().map(|cores| cores.server);
        let launch = Launch::peer("fake=sh -c 'echo listening on 127.0.0.1:9; exec sleep 60'").unwrap();
        let server = Server::start(&launch, core).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        if let Some(core) = core {
            assert!(status.contains(&format!("Cpus_allowed_list:\t{core}\n")), "{status}");
        }
        let directory = format!("/proc/{}", server.pid());
        drop(server);
        assert!(!Path::new(&directory).exists());
    }

    #[test]
    fn a_server_that_ends_without_an_address_is_named() {
        let launch = Launch::peer("mute=true").unwrap();
        let error = Server::start(&launch, None).unwrap_err().to_string();
        assert!(error.contains("mute") && error.contains("address"), "{error}");
    }
}
