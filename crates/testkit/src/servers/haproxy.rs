//! haproxy as the plain TCP load balancer in front of several nodes.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Process, free_port};

/// A balancer on a free port that gives each connection to the server with the fewest. Dropping it kills the process.
pub struct Haproxy {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

/// Whether servers are told who the client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyProtocol {
    /// They see the balancer's address.
    Off,
    /// Each connection begins with a PROXY header of version 2.
    V2,
}

impl Haproxy {
    /// Starts it over these ports of 127.0.0.1 and waits until it listens. A server that refuses connections gets none
    /// until it takes them again.
    ///
    /// # Panics
    ///
    /// If haproxy ends before it listens; with all that it printed.
    #[track_caller]
    pub fn start(ports: impl IntoIterator<Item = u16>, protocol: ProxyProtocol) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let file = folder.path().join("haproxy.cfg");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        fs::write(&file, config(address, ports, protocol)).expect("the folder is ours");

        let mut process = Process::start("haproxy", Command::new(program()).arg("-db").arg("-f").arg(&file));
        process.await_output("listen", |_| TcpStream::connect(address).ok());
        Self { address, _process: process, _folder: folder }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn config(listen: SocketAddr, ports: impl IntoIterator<Item = u16>, protocol: ProxyProtocol) -> String {
    let mut config = format!(
        "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 1h\n  timeout server 1h\n  timeout tunnel 1h\n\
         listen nodes\n  bind {listen}\n  balance leastconn\n  option redispatch\n  retries 3\n"
    );
    let send = match protocol {
        ProxyProtocol::Off => "",
        ProxyProtocol::V2 => " send-proxy-v2",
    };
    for (number, port) in ports.into_iter().enumerate() {
        writeln!(config, "  server n{number} 127.0.0.1:{port} check inter 200ms fall 1 rise 1{send}")
            .expect("a string takes whatever is written");
    }
    config
}

/// Debian keeps it where only root's `PATH` leads.
fn program() -> &'static Path {
    let debian = Path::new("/usr/sbin/haproxy");
    if debian.exists() { debian } else { Path::new("haproxy") }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;
    use crate::wait::until;

    #[test]
    fn each_connection_goes_to_the_server_with_the_fewest() {
        let servers = [listener(), listener()];
        let balancer = Haproxy::start(servers.each_ref().map(port), ProxyProtocol::Off);

        // The wait for the balancer was a connection too, and may still be counted for one of them.
        let _clients = [0; 4].map(|_| client(&balancer, b"hello"));
        for server in &servers {
            assert_eq!(first_words(server, 5), b"hello");
        }
    }

    #[test]
    fn servers_are_told_of_the_client_where_asked() {
        let server = listener();
        let balancer = Haproxy::start([port(&server)], ProxyProtocol::V2);
        let _client = client(&balancer, b"");

        assert_eq!(first_words(&server, 12), b"\r\n\r\n\0\r\nQUIT\n");
    }

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    fn port(server: &TcpListener) -> u16 {
        server.local_addr().unwrap().port()
    }

    fn client(balancer: &Haproxy, greeting: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(balancer.address()).unwrap();
        std::io::Write::write_all(&mut client, greeting).unwrap();
        client
    }

    /// What the first connection that says anything begins with: the balancer's own checks say nothing.
    fn first_words(server: &TcpListener, count: usize) -> Vec<u8> {
        server.set_nonblocking(true).unwrap();
        until("a client of this server", || {
            let (mut stream, _) = server.accept().ok()?;
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(crate::DEADLINE)).unwrap();
            let mut words = vec![0; count];
            stream.read_exact(&mut words).ok().map(|()| words)
        })
    }
}
