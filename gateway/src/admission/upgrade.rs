//! Whether an upgrade request is answered with 101: limits, overload, the cluster's limits, Origin, path, compression,
//! subprotocol, in this order.
//!
//! Place in the data path: between the parsed request and the open connection. Pure but for the node's rate limit.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use tidegate_wire::deflate::{self, Agreement};
use tidegate_wire::handshake;
use tidegate_wire::request::UpgradeRequest;

use super::origin::OriginVerdict;
use super::overload::{Newcomer, Verdict};
use crate::config::RawMode;
use crate::ending::HandshakeOutcome;
use crate::http::raw_path::PathMatch;
use crate::net::address_limits::RateVerdict;
use crate::node::Node;

/// The subprotocol of the native dialect.
pub(crate) const NATIVE_SUBPROTOCOL: &str = "tidegate.v1.json";
/// Stands for the native path where others have the index of their `[[raw]]` route.
pub(crate) const NATIVE_ROUTE: u16 = u16::MAX;
/// `Retry-After` of refusals that a moment's patience cures.
const RETRY_SOON_S: u32 = 5;

/// What goes into a 101, and what the connection is for.
#[derive(Debug)]
pub(crate) struct Admitted<'n> {
    /// Index of the `[[raw]]` route.
    pub(crate) route: u16,
    pub(crate) target: Target,
    pub(crate) agreement: Option<Agreement>,
    pub(crate) subprotocol: Option<&'n str>,
}

/// What the path stands for.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Target {
    Echo,
    Channel(String),
    /// The native dialect, with the token that came in the request.
    Native(Option<Box<str>>),
}

/// An answer other than 101.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) outcome: HandshakeOutcome,
    pub(crate) status: u16,
    /// One line for a person; no secrets.
    pub(crate) why: Cow<'static, str>,
    pub(crate) retry_after_s: Option<u32>,
}

impl Refused {
    pub(crate) fn new(outcome: HandshakeOutcome, status: u16, why: impl Into<Cow<'static, str>>) -> Self {
        Self { outcome, status, why: why.into(), retry_after_s: None }
    }

    /// 503 for want of a resource of this node.
    pub(crate) fn overloaded(why: &'static str) -> Self {
        Self::new(HandshakeOutcome::Overloaded, 503, why).retry_after(RETRY_SOON_S)
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

/// Whether a client of the raw dialect may be one of the cluster's, as far as that is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Leave {
    /// Nobody was asked.
    #[default]
    Unasked,
    /// The answer is on its way.
    Asked,
    Given,
    Refused {
        retry_after: Duration,
    },
}

/// Judges a well-formed request. `leave` is what is known from having judged it before. `door` is what was decided when the connection was accepted: it is told only now, since
/// an answer before the question would be lost to a reset.
pub(crate) fn admit<'n>(
    node: &'n Node,
    request: &UpgradeRequest<'_>,
    door: Option<HandshakeOutcome>,
    leave: Leave,
    now: Instant,
) -> Result<Admitted<'n>, Refused> {
    check_door(node, door)?;
    match leave {
        Leave::Unasked => {
            check_pressure(node)?;
            check_rate(node, now)?;
            check_cluster(node)?;
        }
        Leave::Asked | Leave::Given => {}
        Leave::Refused { retry_after } => return Err(no_leave(retry_after)),
    }
    if node.origins.check(request.origin()) == OriginVerdict::Refuse {
        let why = "this Origin is not allowed: add it to client.allowed_origins";
        return Err(Refused::new(HandshakeOutcome::Origin, 403, why));
    }
    if node.native_path.as_deref() == Some(request.path()) {
        return admit_native(node, request);
    }
    let found = node
        .routes
        .iter()
        .enumerate()
        .find_map(|(index, route)| Some((index, route, route.path.match_path(request.path())?)));
    let Some((index, route, matched)) = found else {
        return Err(Refused::new(HandshakeOutcome::NotFound, 404, "no WebSocket is served on this path"));
    };
    let target = match (route.mode, matched) {
        (RawMode::Channel, PathMatch::Channel(name)) => Target::Channel(name.into_owned()),
        (RawMode::Channel, PathMatch::Plain) | (RawMode::Echo, _) => Target::Echo,
    };
    let agreement = deflate::negotiate(&node.compression, request.extensions())
        .map_err(|error| Refused::new(HandshakeOutcome::Malformed, 400, error.to_string()))?;
    let subprotocol = handshake::choose_subprotocol(request.subprotocols(), &route.subprotocols)
        .map(|index| route.subprotocols[index].as_str());
    let route = u16::try_from(index).expect("the configuration bounds the number of routes");
    Ok(Admitted { route, target, agreement, subprotocol })
}

/// The native dialect. Credentials that come with the request have to be good; the client may do without.
fn admit_native<'n>(node: &'n Node, request: &UpgradeRequest<'_>) -> Result<Admitted<'n>, Refused> {
    let agreement = deflate::negotiate(&node.compression, request.extensions())
        .map_err(|error| Refused::new(HandshakeOutcome::Malformed, 400, error.to_string()))?;
    let subprotocol = handshake::choose_subprotocol(request.subprotocols(), &[NATIVE_SUBPROTOCOL])
        .map(|_| NATIVE_SUBPROTOCOL);
    let token = bearer(request).or_else(|| query_token(node, request.query()));
    if let Some(token) = &token {
        let judged = node.clients.check_at_the_door(token, node.broker.clock.now());
        judged.map_err(|error| Refused::new(HandshakeOutcome::Unauthorized, 401, error.message))?;
    }
    let target = Target::Native(token.map(Into::into));
    Ok(Admitted { route: NATIVE_ROUTE, target, agreement, subprotocol })
}

/// The token of `Authorization: Bearer` (RFC 6750, section 2.1).
fn bearer(request: &UpgradeRequest<'_>) -> Option<String> {
    let (scheme, token) = std::str::from_utf8(request.authorization()?).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The token of the query parameter that the configuration names, if it names one.
fn query_token(node: &Node, query: Option<&str>) -> Option<String> {
    let name = node.query_parameter.as_deref()?;
    let (_, token) = form_urlencoded::parse(query?.as_bytes()).find(|(key, _)| key == name)?;
    Some(token.into_owned())
}

fn check_door(node: &Node, door: Option<HandshakeOutcome>) -> Result<(), Refused> {
    let draining = node.drain.is_shut().then_some(HandshakeOutcome::Draining);
    let Some(outcome) = door.or(draining) else { return Ok(()) };
    let (status, why, retry_after_s) = match outcome {
        HandshakeOutcome::AddressLimit => {
            (429, "too many connections from this address: close some first", RETRY_SOON_S)
        }
        HandshakeOutcome::NodeLimit => (503, "this node is full: try again later", RETRY_SOON_S),
        _ => (503, "this node is draining: try again, another one will answer", 1),
    };
    Err(Refused::new(outcome, status, why).retry_after(retry_after_s))
}

fn check_pressure(node: &Node) -> Result<(), Refused> {
    match node.gate.judge(Newcomer::Handshake) {
        Verdict::Accept => Ok(()),
        Verdict::Refuse { retry_after, .. } => {
            let seconds = u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX);
            Err(Refused::overloaded("this node is overloaded: try again later").retry_after(seconds))
        }
    }
}

fn check_rate(node: &Node, now: Instant) -> Result<(), Refused> {
    match node.rate.as_ref().map(|rate| rate.try_take(now)) {
        None | Some(RateVerdict::Admit) => Ok(()),
        Some(RateVerdict::Defer { retry_after_s }) => {
            let why = "too many handshakes a second: try again later";
            Err(Refused::new(HandshakeOutcome::RateLimit, 503, why).retry_after(retry_after_s))
        }
    }
}

fn check_cluster(node: &Node) -> Result<(), Refused> {
    match node.broker.budget.is_full(node.open_connections()) {
        true => Err(no_leave(Duration::from_secs(RETRY_SOON_S.into()))),
        false => Ok(()),
    }
}

/// 503 for want of room in the cluster.
pub(crate) fn no_leave(retry_after: Duration) -> Refused {
    let why = "all nodes together take no more clients at the moment: try again later";
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    let seconds = u32::try_from(seconds.max(1)).unwrap_or(u32::MAX);
    Refused::new(HandshakeOutcome::ClusterLimit, 503, why).retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use tidegate_wire::request::{Parsed, RequestParser};

    use super::*;
    use crate::node::testing::node;

    /// Judges a request for `path` with these further header lines.
    fn judge(
        node: &Node,
        path: &str,
        lines: &str,
        door: Option<HandshakeOutcome>,
    ) -> Result<(Target, String), Refused> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        );
        let mut parser = RequestParser::new();
        let Ok(Parsed::Upgrade { request, .. }) = parser.parse(&node.request_limits, head.as_bytes()) else {
            panic!("not an upgrade: {head}")
        };
        let admitted = admit(node, &request, door, Leave::Unasked, node.started)?;
        Ok((admitted.target, admitted.subprotocol.unwrap_or_default().to_owned()))
    }

    fn refusal(
        node: &Node,
        path: &str,
        lines: &str,
        door: Option<HandshakeOutcome>,
    ) -> (u16, &'static str, Option<u32>) {
        let refused = judge(node, path, lines, door).expect_err("it must be refused");
        (refused.status, refused.outcome.name(), refused.retry_after_s)
    }

    #[test]
    fn a_path_leads_to_its_route() {
        let node = node(1, &[]);
        assert_eq!(judge(&node, "/echo", "", None).unwrap().0, Target::Echo);
        assert_eq!(judge(&node, "/raw/a%20room?x=1", "", None).map(|_| ()).map_err(|r| r.status), Err(404));
        assert_eq!(judge(&node, "/raw/room?x=1", "", None).unwrap().0, Target::Channel("room".to_owned()));
        assert_eq!(refusal(&node, "/nowhere", "", None), (404, "not_found", None));
    }

    #[test]
    fn a_malformed_extension_header_is_refused_and_an_unknown_extension_is_not() {
        let node = node(1, &[]);
        assert!(judge(&node, "/echo", "Sec-WebSocket-Extensions: x-unknown; a=1\r\n", None).is_ok());
        assert_eq!(
            refusal(&node, "/echo", "Sec-WebSocket-Extensions: permessage-deflate; =\r\n", None),
            (400, "malformed", None)
        );
    }

    #[test]
    fn an_origin_outside_the_list_is_refused() {
        let node = node(1, &["client.allowed_origins=https://app.example"]);
        assert!(judge(&node, "/echo", "Origin: https://app.example\r\n", None).is_ok());
        assert_eq!(refusal(&node, "/echo", "Origin: https://evil.example\r\n", None), (403, "origin", None));
    }

    #[test]
    fn what_was_decided_at_the_door_comes_before_everything_else() {
        let node = node(1, &[]);
        for (door, expected) in [
            (HandshakeOutcome::AddressLimit, (429, "address_limit", Some(5))),
            (HandshakeOutcome::NodeLimit, (503, "node_limit", Some(5))),
            (HandshakeOutcome::Draining, (503, "draining", Some(1))),
        ] {
            assert_eq!(refusal(&node, "/nowhere", "", Some(door)), expected);
        }
        node.drain.shut();
        assert_eq!(refusal(&node, "/echo", "", None), (503, "draining", Some(1)));
    }

    #[test]
    fn one_handshake_more_than_the_rate_is_told_when_to_come_back() {
        let node = node(1, &["limits.handshakes_per_second=2"]);
        assert!(judge(&node, "/echo", "", None).is_ok());
        assert!(judge(&node, "/echo", "", None).is_ok());
        assert_eq!(refusal(&node, "/echo", "", None), (503, "rate_limit", Some(1)));
    }

    #[test]
    fn one_connection_more_than_the_cluster_takes_is_refused() {
        let node = node(1, &["limits.cluster.connections=2"]);
        for _ in 0..2 {
            assert!(judge(&node, "/echo", "", None).is_ok());
            node.stats[0].open_plain.add(1);
        }
        assert_eq!(refusal(&node, "/echo", "", None), (503, "cluster_limit", Some(5)));
    }
}
