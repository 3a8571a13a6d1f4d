//! NATS servers as child processes.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::tls::Certificate;

use super::Process;

/// How a NATS server is to be started.
pub struct NatsBuilder {
    binary: PathBuf,
    config: String,
    folder: TempDir,
}

/// A NATS server on a free port, which it keeps when restarted. Dropping it kills the process.
pub struct NatsServer {
    binary: PathBuf,
    config: String,
    folder: TempDir,
    process: Option<Process>,
    port: u16,
    route_port: Option<u16>,
}

impl NatsServer {
    /// Prepares a server: the newest that is installed, or the one that the environment variable `NATS_SERVER` names.
    pub fn builder() -> NatsBuilder {
        let binary = std::env::var_os("NATS_SERVER").map_or_else(installed, PathBuf::from);
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        NatsBuilder { binary, config: String::new(), folder }
    }

    /// A server with nothing configured.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Two servers that pass each other's messages on.
    #[track_caller]
    pub fn cluster_of_two() -> [Self; 2] {
        let cluster = |routes: &str| {
            format!("cluster {{ name: testkit, listen: \"127.0.0.1:-1\", routes: [{routes}] }}")
        };
        let mut first = Self::builder().config(&cluster("")).start();
        let route = first.route_port.expect("it is configured");
        let mut second = Self::builder().config(&cluster(&format!("\"nats://127.0.0.1:{route}\""))).start();
        for server in [&mut first, &mut second] {
            server.await_log("Route connection created");
        }
        [first, second]
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address without credentials.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it without a warning to anyone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again on the same port, after having killed it if it runs.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// Stops it in its tracks (SIGSTOP): connections stay, nothing moves.
    #[track_caller]
    pub fn freeze(&self) {
        self.process.as_ref().expect("it runs").freeze();
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::CONT);
    }

    /// Waits until it has logged a line with this text since it was last started.
    #[track_caller]
    pub fn await_log(&mut self, text: &str) {
        let process = self.process.as_mut().expect("it runs");
        process.await_output(&format!("log \"{text}\""), |lines| {
            lines.iter().any(|line| line.contains(text)).then_some(())
        });
    }

    #[track_caller]
    fn launch(&mut self) {
        let file = self.folder.path().join("nats.conf");
        let listen = match self.port {
            0 => "127.0.0.1:-1".to_owned(),
            port => format!("127.0.0.1:{port}"),
        };
        fs::write(&file, format!("listen: \"{listen}\"\n{}", self.config)).expect("the folder is ours");

        let has_peers = self.config.contains("cluster {");
        let mut process = Process::start("nats-server", Command::new(&self.binary).arg("-c").arg(&file));
        let (port, route_port) = process.await_output("be ready", |lines| {
            let port_of = |kind: &str| {
                let (_, address) = lines.iter().find_map(|line| line.split_once(kind))?;
                address.rsplit_once(':')?.1.trim().parse().ok()
            };
            lines.iter().find(|line| line.contains("Server is ready"))?;
            // It says so before it listens for its peers.
            let route_port = port_of("Listening for route connections on ");
            if has_peers && route_port.is_none() {
                return None;
            }
            Some((port_of("Listening for client connections on ")?, route_port))
        });
        (self.port, self.route_port) = (port, route_port);
        self.process = Some(process);
    }
}

impl NatsBuilder {
    /// Uses another program.
    #[must_use]
    pub fn binary(mut self, binary: impl Into<PathBuf>) -> Self {
        self.binary = binary.into();
        self
    }

    /// Adds to the configuration, in the server's own language.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// Encrypts connections; clients connect to `localhost`.
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        let folder = self.folder.path();
        certificate.write_to(folder);
        writeln!(
            self.config,
            "tls {{ cert_file: \"{0}/cert.pem\", key_file: \"{0}/key.pem\" }}",
            folder.display()
        )
        .expect("a string takes whatever is written");
        self
    }

    /// Starts the process and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it ends before; with all that it printed.
    #[track_caller]
    pub fn start(self) -> NatsServer {
        let Self { binary, config, folder } = self;
        let mut server = NatsServer { binary, config, folder, process: None, port: 0, route_port: None };
        server.launch();
        server
    }
}

/// Where `scripts/setup servers` puts the program, which is newer than Debian's; else the name, for `PATH`.
fn installed() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/servers/bin/nats-server");
    if path.exists() { path } else { "nats-server".into() }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_server_keeps_its_port_when_restarted() {
        let mut server = NatsServer::start();
        let port = server.port();
        assert!(greeting(port).starts_with("INFO {"));

        server.kill();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        server.restart();
        assert_eq!(server.port(), port);
        assert!(greeting(port).starts_with("INFO {"));
    }

    #[test]
    fn two_servers_find_each_other() {
        let [first, second] = NatsServer::cluster_of_two();
        assert_ne!(first.port(), second.port());
        for server in [&first, &second] {
            assert!(greeting(server.port()).contains("\"cluster\":\"testkit\""));
        }
    }

    fn greeting(port: u16) -> String {
        let mut line = String::new();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }
}
