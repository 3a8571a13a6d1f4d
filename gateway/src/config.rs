//! The gateway's configuration tree: every section, key, default and unit in one place.
//!
//! Read once at start, before a port is bound; every other module is handed the section it needs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What this node is called and how many threads serve.
    pub node: Node,
    /// The port clients connect to.
    pub client: Client,
    /// The port for probes, metrics and inspection.
    pub admin: Admin,
    /// Bounds on everything a client can make the gateway hold or wait for.
    pub limits: Limits,
    /// What happens on SIGTERM.
    pub drain: Drain,
    /// Logs.
    pub telemetry: Telemetry,
    /// Paths served by the raw dialect.
    pub raw: Vec<Raw>,
}

/// Section `node`.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name of this node.
    pub name: String,
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// How many gateways serve together.
    pub replicas: u32,
}

/// Section `client`.
#[derive(Clone, Debug)]
pub struct Client {
    /// Address clients connect to.
    pub listen: SocketAddr,
    /// Origins a browser may come from; empty: every one.
    pub allowed_origins: Vec<String>,
    /// Whether `/` serves the demo page.
    pub demo_page: bool,
    /// TLS of the client port.
    pub tls: Tls,
    /// PROXY protocol in front of the client port.
    pub proxy_protocol: ProxyProtocol,
    /// permessage-deflate.
    pub compression: Compression,
}

/// Section `client.tls`.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM file with the certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the private key.
    pub key_file: Option<PathBuf>,
    /// How often the files are looked at for a new certificate.
    pub reload_interval: Duration,
}

/// Section `client.proxy_protocol`.
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    /// Peers whose PROXY header is believed; empty: off.
    pub trusted_cidrs: Vec<IpNet>,
    /// Whether a trusted peer must send the header.
    pub required: bool,
}

/// Section `client.compression`.
#[derive(Clone, Debug)]
pub struct Compression {
    /// Whether permessage-deflate is offered.
    pub enabled: bool,
    /// Whether the gateway keeps its window between messages.
    pub server_context_takeover: bool,
    /// Whether clients may keep their window between messages.
    pub client_context_takeover: bool,
    /// Largest window of the gateway, 9 to 15 bits.
    pub server_max_window_bits: u8,
    /// Effort, 1 to 9.
    pub level: u8,
    /// Smaller messages go out as they are, bytes.
    pub threshold: usize,
}

/// Section `admin`.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address of the admin port.
    pub listen: SocketAddr,
}

/// Section `limits`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest message, bytes.
    pub message_bytes: usize,
    /// Longest frame, bytes.
    pub frame_bytes: usize,
    /// What may wait for one client, bytes.
    pub outbox_bytes: usize,
    /// Connections of this node.
    pub connections: u64,
    /// Connections of one address; 0: no limit.
    pub connections_per_ip: u64,
    /// Handshakes a second on this node; 0: no limit.
    pub handshakes_per_second: u32,
    /// Longest request head, bytes.
    pub header_bytes: usize,
    /// Most header fields in a request.
    pub headers: usize,
    /// Longest request target, bytes.
    pub target_bytes: usize,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// How long a frame may stay unfinished.
    pub frame_timeout: Duration,
    /// How long an outbox may make no progress.
    pub write_timeout: Duration,
    /// How long a closing handshake may take.
    pub close_timeout: Duration,
    /// Time between pings to a quiet client.
    pub ping_interval: Duration,
    /// Unanswered pings after which a client is gone.
    pub pings_missed: u32,
    /// Buffers in use on this node, bytes.
    pub pool_bytes: usize,
    /// Read buffer of a worker, bytes.
    pub read_buffer_bytes: usize,
}

/// Section `drain`.
#[derive(Clone, Debug)]
pub struct Drain {
    /// How long load balancers may still send clients after SIGTERM.
    pub lb_propagation: Duration,
    /// How long the flush may take until exit.
    pub window: Duration,
}

/// Section `telemetry`.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Shape of log lines.
    pub log_format: LogFormat,
    /// Level or filter.
    pub log_level: String,
}

/// Shape of log lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// One `[[raw]]` path.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Request path; `{channel}` stands for one whole segment.
    pub path: String,
    /// What is done with a message.
    pub mode: RawMode,
    /// Subprotocols the path speaks, best first.
    pub subprotocols: Vec<String>,
    /// What happens to a subscriber that does not read.
    pub slow_reader: SlowReader,
}

/// What a raw path does with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RawMode {
    /// Back to its sender.
    Echo,
    /// To everyone on the same channel.
    Channel,
}

/// What happens to a subscriber that does not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SlowReader {
    /// Its connection is closed.
    Close,
}
