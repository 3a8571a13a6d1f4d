//! The upgrade as one SERVER span: from accept to 101 or a refusal. A connection's life is no span: later ones link here.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use tidegate_service::trace::{Span, SpanKind, TraceParent};
use tidegate_wire::request::UpgradeRequest;

use super::Spans;
use crate::ending::HandshakeOutcome;

/// What is known of an upgrade before its request is read.
pub(crate) struct Arrival {
    /// The client, as the PROXY header named it or else as the socket does.
    pub(crate) client: SocketAddr,
    /// The other end of the socket, if it still has one.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) is_tls: bool,
    pub(crate) accepted_at: Instant,
}

impl Spans {
    /// Whether [`upgrade`](Self::upgrade) can give a span: what it wants to know costs a system call.
    pub(crate) fn are_on(&self) -> bool {
        self.tracer.is_on()
    }

    /// A handshake that is judged now; it began when the connection was accepted. `head` is `None` where the request
    /// cannot be parsed.
    pub(crate) fn upgrade(&self, arrival: Option<&Arrival>, head: Option<&UpgradeRequest<'_>>) -> Span {
        let Some(arrival) = arrival else { return Span::none() };
        let parent = head.and_then(parent_of);
        let began = || SystemTime::now() - arrival.accepted_at.elapsed();
        let mut span = self.tracer.start_at(SpanKind::Server, "GET", parent, began);
        if !span.is_recording() {
            return span;
        }
        // RFC 6455, section 4.1: an upgrade is a GET of HTTP/1.1, whatever else is wrong with it.
        span.set("http.request.method", "GET");
        span.set("network.protocol.name", "http");
        span.set("network.protocol.version", "1.1");
        span.set("url.scheme", if arrival.is_tls { "https" } else { "http" });
        span.set("client.address", arrival.client.ip().to_string());
        span.set("client.port", i64::from(arrival.client.port()));
        if let Some(peer) = arrival.peer {
            span.set("network.peer.address", peer.ip().to_string());
            span.set("network.peer.port", i64::from(peer.port()));
        }
        if let Some(head) = head {
            // Not the query: it may hold a token.
            span.set("url.path", head.path().to_owned());
            let (host, port) = host_and_port(head.host());
            span.set("server.address", host.to_owned());
            if let Some(port) = port {
                span.set("server.port", i64::from(port));
            }
            if let Some(agent) = head.header("user-agent") {
                span.set("user_agent.original", String::from_utf8_lossy(agent).into_owned());
            }
        }
        span
    }
}

/// The upgrade was answered with 101 for a route, which names the span.
pub(crate) fn accepted(span: &mut Span, route: impl FnOnce() -> String) {
    if span.is_recording() {
        let route = route();
        span.rename(format!("GET {route}"));
        span.set("http.route", route);
        span.set("http.response.status_code", 101);
        span.set("tidegate.handshake.outcome", HandshakeOutcome::Accepted.name());
    }
}

/// The upgrade was refused. Only what is our fault is an error (semantic conventions, HTTP server spans).
pub(crate) fn refused(span: &mut Span, status: u16, outcome: HandshakeOutcome) {
    if span.is_recording() {
        span.set("http.response.status_code", i64::from(status));
        span.set("tidegate.handshake.outcome", outcome.name());
        if status >= 500 {
            span.set("error.type", status.to_string());
            span.fail(outcome.name());
        }
    }
}

/// The client's span. Several headers are as none (Trace Context, section 3.2.1).
fn parent_of(head: &UpgradeRequest<'_>) -> Option<TraceParent> {
    let mut values = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("traceparent"));
    let ((_, value), None) = (values.next()?, values.next()) else { return None };
    TraceParent::parse(std::str::from_utf8(value).ok()?)
}

/// `Host` in its two parts; an IPv6 address keeps its brackets.
fn host_and_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
        _ => (host, None),
    }
}
