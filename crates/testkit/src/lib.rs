//! What tests of whole programs are written with: the real gateway as a child process, and clients that can misbehave.
//!
//! Only `tests/` folders use this crate (`cargo xtask tidy` checks it). A test that goes wrong here has nothing better to
//! do than to stop, so everything panics with what it waited for, at the caller's line. Nothing sleeps for a guessed
//! time: every wait ends with the event it is for, or fails at [`DEADLINE`].

use std::time::Duration;

mod client;
mod cluster;
mod control_plane;
mod gateway;
mod http;
mod http_server;
mod limits;
mod logs;
mod metrics;
mod native;
mod otlp;
mod servers;
mod tls;
mod wait;

pub use client::{Client, Ending, Frame, Received, Request};
pub use cluster::Cluster;
pub use control_plane::{ControlPlane, ControlPlaneBuilder};
pub use gateway::{Builder, Gateway};
pub use http::HttpResponse;
pub use http_server::HttpServer;
pub use limits::raise_descriptor_limit;
pub use metrics::Metrics;
pub use native::{Inflate, NativeClient, Refusal};
pub use otlp::{OtlpReceiver, ReceivedSpan};
pub use servers::{
    ChaosProxy, Haproxy, NatsBuilder, NatsServer, ProxyProtocol, RedisBuilder, RedisCluster, RedisServer,
    Sentinel,
};
pub use tls::Certificate;
pub use wait::until;

/// When a wait is given up. Long, because a loaded machine is no fault; a test that passes never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(30);
