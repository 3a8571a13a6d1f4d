//! How each kind of process is started, and the few words that a Redis is told.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::plan::{Persistence, StagePlan};
use super::process::{Launch, Ready, listen_key};

/// What a gateway is set to where no configuration is given: all may come in, and the channels of `verify` keep what it sends.
const OPEN_HOUSE: [(&str, &str); 7] = [
    ("TIDEGATE_AUTH__ANONYMOUS", "true"),
    ("TIDEGATE_NAMESPACES__DEFAULT__HISTORY_SIZE", "100000"),
    ("TIDEGATE_NAMESPACES__DEFAULT__PRESENCE", "true"),
    ("TIDEGATE_NAMESPACES__DEFAULT__SUBSCRIBE", "anyone"),
    ("TIDEGATE_NAMESPACES__DEFAULT__PUBLISH", "anyone"),
    ("TIDEGATE_SESSION__MESSAGES_PER_SECOND", "0"),
    ("TIDEGATE_SESSION__BYTES_PER_SECOND", "0"),
];
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A port that nobody has now; a start on it may still be too late.
pub(super) fn free_address() -> Result<SocketAddr, String> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map_err(|error| format!("asking for a free port: {error}"))
}

pub(super) fn gateway(
    plan: &StagePlan,
    name: &str,
    store: Option<SocketAddr>,
    bus: Option<SocketAddr>,
) -> Launch {
    let mut environment = places(&["client", "api", "admin"], name, store, bus);
    let mut arguments = Vec::new();
    match &plan.config {
        Some(file) => arguments.extend(["--config".to_owned(), file.display().to_string()]),
        None => environment.extend(OPEN_HOUSE.map(|(key, value)| (key.to_owned(), value.to_owned()))),
    }
    for setting in &plan.settings {
        arguments.extend(["--set".to_owned(), setting.clone()]);
    }
    Launch { program: plan.gateway.clone(), arguments, environment, ready: Ready::Told }
}

pub(super) fn control_plane(
    plan: &StagePlan,
    name: &str,
    store: Option<SocketAddr>,
    bus: Option<SocketAddr>,
) -> Launch {
    let environment = places(&["api", "admin"], name, store, bus);
    let mut arguments = Vec::new();
    if let Some(file) = &plan.control_plane_config {
        arguments.extend(["--config".to_owned(), file.display().to_string()]);
    }
    Launch { program: plan.control_plane.clone(), arguments, environment, ready: Ready::Told }
}

/// Where one of our programs listens, what it is called, and where it finds what it shares with others.
fn places(
    sections: &[&str],
    name: &str,
    store: Option<SocketAddr>,
    bus: Option<SocketAddr>,
) -> Vec<(String, String)> {
    let mut environment: Vec<_> =
        sections.iter().map(|section| (listen_key(section), "127.0.0.1:0".to_owned())).collect();
    environment.push(("TIDEGATE_NODE__NAME".to_owned(), name.to_owned()));
    environment.extend(store.map(|address| ("TIDEGATE_STORE__URL".to_owned(), format!("redis://{address}"))));
    environment.extend(bus.map(|address| ("TIDEGATE_BUS__URL".to_owned(), format!("nats://{address}"))));
    environment
}

pub(super) fn redis(persistence: Persistence, folder: &Path) -> Result<Launch, String> {
    let address = free_address()?;
    let mut arguments = redis_arguments(address, &folder.join("redis"))?;
    if persistence == Persistence::Always {
        arguments.extend(["--appendonly", "yes", "--appendfsync", "always"].map(str::to_owned));
    }
    Ok(server("redis-server", arguments, address))
}

pub(super) fn replica(master: SocketAddr, folder: &Path) -> Result<Launch, String> {
    let address = free_address()?;
    let mut arguments = redis_arguments(address, &folder.join("redis-replica"))?;
    arguments.extend(["--replicaof".to_owned(), master.ip().to_string(), master.port().to_string()]);
    Ok(server("redis-server", arguments, address))
}

fn redis_arguments(address: SocketAddr, folder: &Path) -> Result<Vec<String>, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let port = address.port().to_string();
    let folder = folder.display().to_string();
    let arguments = ["--bind", "127.0.0.1", "--port", &port, "--dir", &folder, "--save", ""];
    Ok(arguments.map(str::to_owned).into())
}

pub(super) fn nats(program: &Path) -> Result<Launch, String> {
    let address = free_address()?;
    let arguments =
        ["--addr".to_owned(), "127.0.0.1".to_owned(), "--port".to_owned(), address.port().to_string()];
    Ok(server(program, arguments.into(), address))
}

/// A node as a balancer sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backend {
    /// Where it leads clients.
    pub(super) door: SocketAddr,
    /// Where it asks whether the node takes new ones.
    pub(super) admin: SocketAddr,
}

/// In TCP mode: it knows of no WebSockets. It asks each node's admin port whether it is ready, as Kubernetes does.
pub(super) fn haproxy(nodes: &[Backend], folder: &Path) -> Result<Launch, String> {
    let address = free_address()?;
    let mut text = format!(
        "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1h\n  timeout server 1h\n  timeout check 1s\n  retries 3\n  \
         option redispatch\nlisten gateways\n  bind {address}\n  balance roundrobin\n  option httpchk GET /readyz\n"
    );
    for (index, Backend { door, admin }) in nodes.iter().enumerate() {
        text += &format!(
            "  server node-{} {door} check addr {} port {} inter 200ms fall 1 rise 1\n",
            index + 1,
            admin.ip(),
            admin.port()
        );
    }
    let file = folder.join("haproxy.cfg");
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    // In the foreground: one process, which is the one that signals go to.
    Ok(server("haproxy", vec!["-db".to_owned(), "-f".to_owned(), file.display().to_string()], address))
}

fn server(program: impl AsRef<Path>, arguments: Vec<String>, address: SocketAddr) -> Launch {
    let program = program.as_ref().to_owned();
    Launch { program, arguments, environment: Vec::new(), ready: Ready::Port(address) }
}

/// One command, which must be answered with OK.
pub(super) fn tell_redis(address: SocketAddr, command: &str) -> Result<(), String> {
    let ask = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        socket.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("+OK") => Ok(()),
        Ok(answer) => Err(format!("Redis on {address} answered {command} with {answer:?}")),
        Err(error) => Err(format!("Redis on {address}, {command}: {error}")),
    }
}
