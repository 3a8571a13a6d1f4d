//! The gateway's configuration tree: every section, key, default, unit and range, each written down once.
//!
//! Read once at start, before a port is bound; every other part is handed the section it needs. The doc comments are
//! the text of `docs/configuration.md`, which a test regenerates.

pub(crate) mod api;
pub(crate) mod auth;
pub(crate) mod namespaces;
pub(crate) mod overload;
#[cfg(test)]
mod reference;
mod rules;
pub(crate) mod session;
pub(crate) mod shares;
pub(crate) mod store;
pub(crate) mod telemetry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tidegate_service::config::{Checks, Configuration, Environment, Source, Sources};
use tidegate_service::config::{bytes, computed, named, required, section, tables, value};
use tidegate_service::{config_choice, config_section, process};
use tidegate_wire::request::RequestLimits;

use self::api::Api;
use self::auth::Auth;
use self::namespaces::Namespace;
use self::overload::Overload;
use self::session::Session;
use self::shares::{AddressLimits, ClusterLimits, UserLimits};
use self::store::{Bus, Store};
use self::telemetry::Telemetry;
use crate::http::raw_path::RawPath;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Shorter deadlines than this cannot be kept by a timer with slots; longer ones protect nobody.
const DEADLINE_MIN: Duration = milliseconds(10);
const DEADLINE_MAX: Duration = seconds(3600);

config_section! {
    /// The whole configuration of a gateway.
    pub struct Config {
        /// What this node is called and how many threads serve.
        pub node: Node = section();
        /// The port that clients connect to.
        pub client: Client = section();
        /// The port by which your servers publish, look and manage. Without a key it answers every call with 401.
        pub api: Api = section();
        /// The port for probes, metrics and inspection.
        pub admin: Admin = section();
        /// Who may connect, and how they prove who they are. Without any of the ways below and without `anonymous`, nobody.
        pub auth: Auth = section();
        /// The channels `NAME:…`; those without colon belong to `default`. Channels of a namespace that has no section do
        /// not exist.
        pub namespaces: BTreeMap<String, Namespace> = named(&["default"]);
        /// Bounds on everything that clients can make the gateway hold or wait for.
        pub limits: Limits = section();
        /// Sessions of the native dialect: what a client comes back to.
        pub session: Session = section();
        /// Where sessions, histories and presence are kept.
        pub store: Store = section();
        /// How nodes reach each other.
        pub bus: Bus = section();
        /// When the gateway refuses new clients to keep the ones it has: 503 with `Retry-After`. From nine tenths of a bound
        /// on, it refuses sessions that are new (4051) and takes those that are resumed.
        pub overload: Overload = section();
        /// How the gateway sends its clients away, after SIGTERM or when the control plane orders it.
        pub drain: Drain = section();
        /// What the gateway tells about itself.
        pub telemetry: Telemetry = section();
        /// Paths of the raw dialect: messages are opaque, any subprotocol or none.
        pub raw: Vec<Raw> = tables(Raw::embedded);
    }
}

config_section! {
    /// What this node is called and how many threads serve.
    pub struct Node {
        /// Name of this node, unique in its cluster.
        pub name: String = computed("`POD_NAME`, else the host name and a random tail", node_name)
            .checked(rules::check_node_name);
        /// Worker threads, each owning its share of the connections; 0: one per core that the cgroup grants.
        pub workers: usize = value(0).within(0..=1024);
        /// How many gateways serve together.
        pub replicas: u32 = value(1).within(1..=10_000);
        /// How the others and the control plane reach the admin port: a URL, `HOST:PORT` or a host; the port is that of
        /// `admin.listen` where it is left out. Empty: the address that the admin port is bound to, or 127.0.0.1 where that
        /// is every address.
        pub advertise: String = computed("`POD_IP`, else empty", pod_ip);
        /// How long this node counts as there without saying so to the others: then its clients have left for them, and it
        /// sends away those it finds when it goes on after all.
        pub lease: Duration = value(seconds(15)).within(seconds(3)..=seconds(300));
    }
}

config_section! {
    /// The port that clients connect to.
    pub struct Client {
        /// Address and port; port 0 takes a free one.
        pub listen: SocketAddr = value(SocketAddr::from(([0, 0, 0, 0], 8000)));
        /// Web pages that may connect, by their `Origin`: `https://app.example`, or `https://*.example` for every
        /// host below. Empty: every one. Programs that send no `Origin` may always connect.
        pub allowed_origins: Vec<String> = value(Vec::new());
        /// Path of the native dialect; empty: it is not served.
        pub native_path: String = value("/ws".to_owned()).checked(rules::check_native_path);
        /// Whether `/` shows the demo page.
        pub demo_page: bool = value(true);
        /// TLS on the client port: on when both files are set.
        pub tls: Tls = section();
        /// The header by which a load balancer tells who the client is (PROXY protocol, version 1 and 2).
        pub proxy_protocol: ProxyProtocol = section();
        /// Compression of messages (permessage-deflate, RFC 7692).
        pub compression: Compression = section();
    }
}

config_section! {
    /// TLS on the client port: on when both files are set.
    pub struct Tls {
        /// Certificate chain in PEM, the server's own first.
        pub cert_file: Option<PathBuf> = value(None);
        /// Private key in PEM.
        pub key_file: Option<PathBuf> = value(None);
        /// How often the files are looked at; a new certificate serves new connections and drops none.
        pub reload_interval: Duration = value(seconds(10)).within(milliseconds(100)..=seconds(86_400));
    }
}

config_section! {
    /// The header by which a load balancer tells who the client is (PROXY protocol, version 1 and 2).
    pub struct ProxyProtocol {
        /// Addresses of the load balancers. Empty: the header is not expected, and not understood.
        pub trusted_cidrs: Vec<IpNet> = value(Vec::new());
        /// Whether a trusted peer must send the header; otherwise one without it is a client itself.
        pub required: bool = value(true);
    }
}

config_section! {
    /// Compression of messages (permessage-deflate, RFC 7692).
    pub struct Compression {
        /// Whether compression is agreed on with clients that offer it.
        pub enabled: bool = value(true);
        /// Whether the gateway's window lives on between messages: better ratio, and memory for each connection.
        pub server_context_takeover: bool = value(false);
        /// Whether a client's window may live on between messages: the gateway then keeps it for each connection.
        pub client_context_takeover: bool = value(false);
        /// Largest window of the gateway, as the power of two of its bytes.
        pub server_max_window_bits: u8 = value(15).within(9..=15);
        /// Effort: 1 is fastest, 9 smallest.
        pub level: u8 = value(1).within(1..=9);
        /// Smaller messages go out as they are.
        pub threshold: usize = bytes(KIB).within(0..=GIB);
    }
}

config_section! {
    /// The port for probes, metrics and inspection. It has no authentication: keep it inside the cluster.
    pub struct Admin {
        /// Address and port; port 0 takes a free one.
        pub listen: SocketAddr = value(SocketAddr::from(([0, 0, 0, 0], 9000)));
    }
}

config_section! {
    /// Bounds on everything that clients can make the gateway hold or wait for.
    pub struct Limits {
        /// Longest message, all of its fragments together and after decompression; a longer one closes with 1009.
        pub message_bytes: usize = bytes(MIB).within(125..=GIB);
        /// Longest frame; at most `message_bytes`.
        pub frame_bytes: usize = bytes(MIB).within(125..=GIB).settled("`message_bytes`");
        /// What may wait for one client. An echo client over it is no longer read, a channel subscriber is closed.
        pub outbox_bytes: usize = bytes(MIB).within(4 * KIB..=GIB);
        /// Connections of this node; further ones are refused with 503.
        pub connections: u64 = value(100_000).within(1..=10_000_000);
        /// Connections of one address, further ones are refused with 429; 0: no limit.
        pub connections_per_ip: u64 = value(0).within(0..=10_000_000);
        /// Handshakes a second on this node, further ones are refused with 503; 0: no limit.
        pub handshakes_per_second: u32 = value(0).within(0..=1_000_000);
        /// Longest request head.
        pub header_bytes: usize = bytes(8 * KIB).within(256..=RequestLimits::BYTES_CEILING);
        /// Most header fields in a request.
        pub headers: usize = value(64).within(8..=1024);
        /// Longest request target; at most `header_bytes`.
        pub target_bytes: usize = bytes(4 * KIB).within(1..=MIB).settled("`\"4KiB\"`, or less with `header_bytes`");
        /// How long a handshake may take, TLS and PROXY header included.
        pub handshake_timeout: Duration = value(seconds(10)).within(DEADLINE_MIN..=DEADLINE_MAX);
        /// How long a frame or a fragmented message may stay unfinished.
        pub frame_timeout: Duration = value(seconds(30)).within(DEADLINE_MIN..=DEADLINE_MAX);
        /// How long a client may take nothing of what waits for it.
        pub write_timeout: Duration = value(seconds(30)).within(DEADLINE_MIN..=DEADLINE_MAX);
        /// How long a client may take to answer a close frame.
        pub close_timeout: Duration = value(seconds(5)).within(DEADLINE_MIN..=DEADLINE_MAX);
        /// How long a client of the native dialect may take to send `connect`, and to be answered.
        pub connect_timeout: Duration = value(seconds(10)).within(DEADLINE_MIN..=DEADLINE_MAX);
        /// Time without a sign of life after which a client is pinged.
        pub ping_interval: Duration = value(seconds(30)).within(DEADLINE_MIN..=DEADLINE_MAX);
        /// Unanswered pings in a row after which a client counts as gone.
        pub pings_missed: u32 = value(3).within(1..=100);
        /// Buffers of unfinished messages and outboxes in use on this node, all connections together.
        pub pool_bytes: usize = bytes(256 * MIB).within(MIB..=1024 * GIB);
        /// The kernel's send buffer of one client (`SO_SNDBUF`); 0: the kernel tunes it, up to megabytes. Clients that do
        /// not read fill it, and the kernel's memory for all sockets is bounded too.
        pub socket_send_bytes: usize = bytes(128 * KIB).within(0..=64 * MIB);
        /// The kernel's receive buffer of one client (`SO_RCVBUF`); 0: the kernel tunes it. Raise it for clients that send
        /// large messages over long distances: it bounds what is on its way.
        pub socket_receive_bytes: usize = bytes(128 * KIB).within(0..=64 * MIB);
        /// Buffer that a worker reads into; each worker has one.
        pub read_buffer_bytes: usize = bytes(64 * KIB).within(4 * KIB..=16 * MIB);
        /// What all connections of one user may take of this node together. Anonymous ones are no user. 0: no limit.
        pub user: UserLimits = section();
        /// What all connections of one address (IPv6: of one /64) may take of this node together. Clients of the raw dialect
        /// cannot be told to wait: above it they are closed. 0: no limit.
        pub address: AddressLimits = section();
        /// What all nodes together take on. Without the store, each keeps to its share. 0: no limit.
        pub cluster: ClusterLimits = section();
    }
}

config_section! {
    /// How the gateway sends its clients away, after SIGTERM or when the control plane orders it; an order may bring its own
    /// durations. The process ends within the sum of `lb_propagation`, `window`, `settle` and `margin` after SIGTERM.
    pub struct Drain {
        /// How long load balancers may go on sending clients; the gateway accepts them until then.
        pub lb_propagation: Duration = value(Duration::ZERO).within(Duration::ZERO..=seconds(3600));
        /// How long a client of the native dialect that was told to leave may take before it is closed; at most half of
        /// `window`. Zero: it is closed at once, as those of the raw dialect are.
        pub leave_grace: Duration = value(seconds(5)).within(Duration::ZERO..=seconds(3600));
        /// How long sending every client away may take. The pace follows from it, and from `max_rate`.
        pub window: Duration = value(seconds(20)).within(Duration::ZERO..=seconds(86_400));
        /// How long sessions that were sent away are awaited on other nodes before the process ends.
        pub settle: Duration = value(seconds(5)).within(Duration::ZERO..=seconds(3600));
        /// Over what time those are closed who are left when `window` is over.
        pub margin: Duration = value(seconds(5)).within(Duration::ZERO..=seconds(3600));
        /// Clients sent away a second by all nodes that drain at the same time, without an order: each node keeps to its part.
        pub max_rate: u32 = value(500).within(1..=1_000_000);
        /// What happens to clients that cannot be sent away within `window` at `max_rate`.
        pub on_deadline: OnDeadline = value(OnDeadline::Burst);
    }
}

config_choice! {
    /// What happens to clients that cannot be sent away in time.
    pub enum OnDeadline {
        /// They go faster than `max_rate`, as evenly as the time allows, and the last of them over `margin`.
        Burst = "burst",
        /// They are cut when `window` is over.
        Cut = "cut",
    }
}

config_section! {
    /// One path of the raw dialect.
    pub struct Raw {
        /// Path of the request; `{channel}` stands for one whole segment.
        pub path: String = required()
            .checked(|path: &String| RawPath::parse(path).map(drop).map_err(|error| error.to_string()));
        /// What happens to a message: back to its sender, or to everyone on the same path (needs `{channel}`).
        pub mode: RawMode = required();
        /// Subprotocols that the path speaks; of those a client offers, its first one among these is chosen.
        pub subprotocols: Vec<String> = value(Vec::new()).checked(rules::check_subprotocols);
        /// What happens to a subscriber that does not read.
        pub slow_reader: SlowReader = value(SlowReader::Close);
    }
}

config_choice! {
    /// What a raw path does with a message.
    pub enum RawMode {
        /// Sends it back to its sender.
        Echo = "echo",
        /// Sends it to everyone on the same channel, its sender included.
        Channel = "channel",
    }
}

config_choice! {
    /// What happens to a subscriber that does not read.
    pub enum SlowReader {
        /// Its connection is closed.
        Close = "close",
    }
}

impl Configuration for Config {
    const PROGRAM: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn settle(&mut self, sources: &Sources) {
        let is_default = |key| matches!(sources.get(key), Some(Source::Default));
        if is_default("limits.frame_bytes") {
            self.limits.frame_bytes = self.limits.message_bytes;
        }
        if is_default("limits.target_bytes") {
            self.limits.target_bytes = self.limits.target_bytes.min(self.limits.header_bytes);
        }
        if is_default("overload.outbox_total_bytes") {
            self.overload.outbox_total_bytes = self.limits.pool_bytes / 4 * 3;
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        rules::check(self, checks);
    }
}

impl Raw {
    /// The paths of a gateway that was told none.
    fn embedded() -> Vec<Self> {
        let raw = |path: &str, mode| Self {
            path: path.to_owned(),
            mode,
            subprotocols: Vec::new(),
            slow_reader: SlowReader::Close,
        };
        vec![raw("/echo", RawMode::Echo), raw("/raw/{channel}", RawMode::Channel)]
    }
}

fn pod_ip(environment: &Environment) -> String {
    environment.text("POD_IP").unwrap_or_default().to_owned()
}

/// `POD_NAME`, else the host name with a tail that tells two gateways on one machine apart.
fn node_name(environment: &Environment) -> String {
    if let Some(pod) = environment.text("POD_NAME") {
        return pod.to_owned();
    }
    let mut tail = [0; 2];
    let tail = match getrandom::fill(&mut tail) {
        Ok(()) => u16::from_be_bytes(tail).into(),
        // A kernel without randomness cannot serve TLS either; the process id is unique on one machine.
        Err(_) => std::process::id(),
    };
    format!("{}-{tail:04x}", process::host_name())
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}
