//! From the first byte to 101 or a refusal: PROXY header, TLS, the upgrade request.

use std::net::SocketAddr;

use tidegate_service::trace::{Span, TraceParent};
use tidegate_wire::decode::Decoder;
use tidegate_wire::deflate::{self, Agreement, Deflate, Inflate};
use tidegate_wire::handshake::{self, Refusal};
use tidegate_wire::request::{Parsed, RequestParser, UpgradeRequest};

use super::{Worker, leave};
use crate::admission::upgrade::{self, Admitted, Leave, Refused, Target};
use crate::connection::{Connection, Endpoint, Farewell, PartialRequest, Phase};
use crate::ending::{HandshakeOutcome, Stage};
use crate::http::Handover;
use crate::hub::Member;
use crate::hub::directory::Realm;
use crate::native::NativeClient;
use crate::net::proxy_protocol::{self, Progress, ProxyError};
use crate::net::transport::Transport;
use crate::node::Node;
use crate::spans::{self, Arrival};

/// A request that was answered with 101.
struct Accepted {
    route: u16,
    target: Target,
    agreement: Option<Agreement>,
    /// The upgrade's own, if it is sampled.
    span: Option<TraceParent>,
    /// Length of the request; frames may follow.
    consumed: usize,
}

/// What a request head turned out to be.
enum Judged {
    Incomplete,
    /// Complete, and kept until the cluster has answered.
    Unanswered,
    Http,
    Accepted(Accepted),
    Refused(Refused),
}

impl Worker {
    /// Handles `len` bytes at the front of the input buffer.
    pub(super) fn handle_handshake_bytes(&mut self, slot: usize, len: usize) {
        let Phase::Handshaking(state) = &mut self.connections[slot].phase else { return };
        match state.stage {
            Stage::Proxy => self.handle_proxy_header(slot, len),
            // The session decrypted something, so its handshake is over.
            Stage::Tls | Stage::Request => {
                state.stage = Stage::Request;
                self.handle_request(slot, len);
            }
        }
    }

    fn handle_proxy_header(&mut self, slot: usize, len: usize) {
        let Some((from_partial, len)) = self.gather(slot, len) else { return };
        let Phase::Handshaking(state) = &mut self.connections[slot].phase else { return };
        let bytes = match &state.partial {
            Some(partial) if from_partial => &partial.bytes[..],
            _ => &self.input[..len],
        };
        let (source, consumed) = match proxy_protocol::parse(bytes) {
            Ok(Progress::Incomplete) => {
                return self.keep_partial(slot, from_partial, len, RequestParser::new());
            }
            Ok(Progress::Done { source, consumed }) => (source, consumed),
            Err(ProxyError::Missing) if !self.node.proxy_header_required => (None, 0),
            Err(error) => {
                tracing::warn!(peer = %self.connections[slot].peer, %error, "PROXY header refused");
                return self.abandon_handshake(slot, HandshakeOutcome::ProxyHeader);
            }
        };
        let rest = len - consumed;
        match state.partial.take() {
            Some(partial) if from_partial => self.input[..rest].copy_from_slice(&partial.bytes[consumed..]),
            _ => self.input.copy_within(consumed..len, 0),
        }
        self.handle_client_known(slot, source, rest);
    }

    /// Goes on behind the PROXY header, with `rest` bytes of the client's at the front of the input buffer.
    fn handle_client_known(&mut self, slot: usize, source: Option<SocketAddr>, rest: usize) {
        let connection = &mut self.connections[slot];
        connection.peer = source.unwrap_or(connection.peer);
        self.take_address_permit(slot);
        let stage = if self.node.tls.is_some() { Stage::Tls } else { Stage::Request };
        if let Phase::Handshaking(state) = &mut self.connections[slot].phase {
            state.stage = stage;
        }
        if stage == Stage::Tls {
            return self.start_tls(slot, rest);
        }
        if rest > 0 {
            self.handle_request(slot, rest);
        }
    }

    fn start_tls(&mut self, slot: usize, received: usize) {
        let Some(tls) = self.node.tls.clone() else { return };
        let mut connection = self.connections.remove(slot);
        let token = Connection::token(slot, connection.generation);
        let transport = match connection.transport {
            Transport::Plain(socket) => Transport::with_tls(socket, &tls, &self.input[..received]),
            secured @ Transport::Tls(_) => Ok(secured),
        };
        match transport {
            Ok(transport) => {
                connection.transport = transport;
                let again = self.connections.insert(connection);
                assert_eq!(again, slot, "a slab gives the slot that was freed last");
                // What was fed may already hold the whole handshake: no event will tell.
                self.ready.push(token);
            }
            Err(error) => {
                tracing::debug!(peer = %connection.peer, %error, "TLS handshake failed");
                self.stats.handshaking.sub(1);
                self.stats.parser_states[connection.parser_state as usize].sub(1);
                self.stats.handshakes[HandshakeOutcome::Tls as usize].add(1);
            }
        }
    }

    pub(super) fn handle_request(&mut self, slot: usize, len: usize) {
        let Some((from_partial, len)) = self.gather(slot, len) else { return };
        if self.waits_for_leave(slot, len) {
            return;
        }
        self.replies.clear();
        let arrival = self.arrival(slot);
        let token = Connection::token(slot, self.connections[slot].generation);
        let Phase::Handshaking(state) = &mut self.connections[slot].phase else { return };
        let mut fresh = RequestParser::new();
        let door = state.refusal;
        let (known, mut span) =
            state.partial.as_mut().map_or_else(Default::default, |kept| kept.judged_so_far());
        let (parser, bytes) = match &mut state.partial {
            Some(partial) if from_partial => (&mut partial.parser, &partial.bytes[..]),
            _ => (&mut fresh, &self.input[..len]),
        };
        let judged = match parser.parse(&self.node.request_limits, bytes) {
            Ok(Parsed::Incomplete) => Judged::Incomplete,
            Ok(Parsed::Http) => Judged::Http,
            Ok(Parsed::Upgrade { request, consumed }) => {
                if known == Leave::Unasked {
                    span = self.node.spans.upgrade(arrival.as_ref(), Some(&request));
                }
                match upgrade::admit(&self.node, &request, door, known, self.turn_began) {
                    Ok(admitted) => {
                        match leave::ask(&self.node, &admitted.target, known, self.index, token) {
                            Leave::Unasked | Leave::Asked => Judged::Unanswered,
                            Leave::Refused { retry_after } => Judged::Refused(upgrade::no_leave(retry_after)),
                            Leave::Given => {
                                let span = std::mem::take(&mut span);
                                let accepted =
                                    accept(&self.node, &mut self.replies, &request, admitted, span);
                                Judged::Accepted(Accepted { consumed, ..accepted })
                            }
                        }
                    }
                    Err(refused) => Judged::Refused(refused),
                }
            }
            Err(error) => {
                span = self.node.spans.upgrade(arrival.as_ref(), None);
                Judged::Refused(Refused::new(HandshakeOutcome::Malformed, error.status(), error.to_string()))
            }
        };
        match judged {
            Judged::Incomplete => self.keep_partial(slot, from_partial, len, fresh),
            Judged::Unanswered => {
                self.keep_partial(slot, from_partial, len, fresh);
                self.await_leave(slot, span);
            }
            Judged::Http => self.give_to_http(slot, from_partial, len),
            Judged::Refused(refused) => {
                spans::refused(&mut span, refused.status, refused.outcome);
                self.refuse(slot, &refused);
            }
            Judged::Accepted(accepted) => self.open(slot, &accepted, from_partial, len),
        }
    }

    /// What the span of an upgrade says of its connection, where there may be one.
    fn arrival(&self, slot: usize) -> Option<Arrival> {
        let connection = &self.connections[slot];
        self.node.spans.are_on().then(|| Arrival {
            client: connection.peer,
            peer: connection.transport.socket().peer_addr().ok(),
            is_tls: connection.transport.is_tls(),
            accepted_at: connection.accepted_at,
        })
    }

    /// Appends what came to the request's beginning, if that was kept. True: the bytes are there, else in the input
    /// buffer. `None`: no buffer was left, and the handshake is over.
    fn gather(&mut self, slot: usize, len: usize) -> Option<(bool, usize)> {
        let Phase::Handshaking(state) = &mut self.connections[slot].phase else { return None };
        let Some(partial) = &mut state.partial else { return Some((false, len)) };
        if partial.bytes.try_extend(&self.input[..len]).is_err() {
            self.refuse_overloaded(slot);
            return None;
        }
        let len = partial.bytes.len();
        Some((true, len))
    }

    fn keep_partial(&mut self, slot: usize, kept_already: bool, len: usize, parser: RequestParser) {
        if kept_already {
            return;
        }
        let buffer = self.pool.try_take(len).and_then(|mut bytes| {
            bytes.try_extend(&self.input[..len]).ok()?;
            Some(bytes)
        });
        let Some(bytes) = buffer else { return self.refuse_overloaded(slot) };
        if let Phase::Handshaking(state) = &mut self.connections[slot].phase {
            state.partial = Some(Box::new(PartialRequest::new(parser, bytes)));
        }
    }

    /// 101: from here on the connection is open.
    fn open(&mut self, slot: usize, accepted: &Accepted, from_partial: bool, len: usize) {
        let endpoint = match &accepted.target {
            Target::Echo => Endpoint::Echo,
            Target::Channel(name) => {
                let member = Member { connection: slot_index(slot), subscription: 0 };
                Endpoint::Channel(self.hub.join(Realm::Raw, name, member))
            }
            Target::Native(token) => {
                let (token, policy) = (token.clone(), &self.node.session_policy);
                let client = NativeClient::new(token, accepted.span, self.now_unix, policy);
                Endpoint::Native(Box::new(client))
            }
        };
        let connection = &mut self.connections[slot];
        let phase = std::mem::replace(&mut connection.phase, Phase::Open(endpoint));
        connection.route = accepted.route;
        connection.share = self.node.address_quotas.join(connection.peer.ip(), self.now_unix);
        if let Some(agreement) = &accepted.agreement {
            connection.decoder = Decoder::with_deflate(Inflate::new(agreement, deflate::Role::Server));
            connection.deflate =
                Some(Box::new(Deflate::new(agreement, deflate::Role::Server, &self.node.compression)));
        }
        self.stats.handshaking.sub(1);
        self.open_gauge(slot).add(1);
        self.stats.handshakes[HandshakeOutcome::Accepted as usize].add(1);
        let connection = &mut self.connections[slot];
        self.stats
            .handshake_durations
            .observe(self.turn_began.saturating_duration_since(connection.accepted_at));
        connection.accepted_at = self.turn_began;
        self.schedule_session(slot);
        if !self.send_replies(slot) {
            return;
        }
        // Frames that came with the request.
        let consumed = accepted.consumed;
        if len > consumed {
            let mut rest = consumed..len;
            if from_partial
                && let Phase::Handshaking(state) = &phase
                && let Some(partial) = &state.partial
            {
                rest = 0..len - consumed;
                self.input[rest.clone()].copy_from_slice(&partial.bytes[consumed..len]);
            }
            self.handle_frames(slot, rest);
        }
    }

    /// Not an upgrade: the HTTP server reads the same bytes again.
    fn give_to_http(&mut self, slot: usize, from_partial: bool, len: usize) {
        let prefix = match &self.connections[slot].phase {
            Phase::Handshaking(state) if from_partial => {
                state.partial.as_ref().map_or_else(Vec::new, |partial| partial.bytes.to_vec())
            }
            _ => self.input[..len].to_vec(),
        };
        let mut connection = self.connections.remove(slot);
        let registered = self.registry.deregister(&mut connection.transport);
        let parser_state = connection.parser_state;
        let handover = Handover { transport: connection.transport, prefix, peer: connection.peer };
        self.stats.handshaking.sub(1);
        self.stats.parser_states[parser_state as usize].sub(1);
        if registered.is_err() {
            self.stats.handshakes[HandshakeOutcome::ClientGone as usize].add(1);
            return;
        }
        match self.node.http.try_handover(handover) {
            Ok(()) => self.stats.handshakes[HandshakeOutcome::Http as usize].add(1),
            Err(mut handover) => {
                let refused = Refused::overloaded("too many plain HTTP requests at once: try again later");
                self.stats.handshakes[refused.outcome as usize].add(1);
                self.replies.clear();
                append(&mut self.replies, &refused);
                // Best effort: the connection is dropped right after.
                let _ = handover.transport.try_write(&self.replies);
                let _ = handover.transport.shutdown_write();
            }
        }
    }

    pub(super) fn refuse_overloaded(&mut self, slot: usize) {
        self.refuse(slot, &Refused::overloaded("this node is out of buffers: try again later"));
    }

    /// 408 for a request that did not come in time.
    pub(super) fn refuse_slow(&mut self, slot: usize) {
        let why = "the upgrade request did not arrive in time";
        self.refuse(slot, &Refused::new(HandshakeOutcome::Timeout, 408, why));
    }

    fn refuse(&mut self, slot: usize, refused: &Refused) {
        self.replies.clear();
        append(&mut self.replies, refused);
        self.stats.handshakes[refused.outcome as usize].add(1);
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Closing(Farewell::Linger);
        tracing::debug!(
            id = connection.id,
            peer = %connection.peer,
            outcome = refused.outcome.name(),
            status = refused.status,
            why = %refused.why,
            "handshake refused"
        );
        self.stats.handshaking.sub(1);
        self.stats.closing.add(1);
        self.schedule(slot, self.now + self.close_ticks());
        if self.send_replies(slot) && !self.connections[slot].has_unsent() {
            self.finish_sending(slot);
        }
    }
}

/// Writes the answer 101. Its span ends with it: a connection's life is no span.
fn accept(
    node: &Node,
    out: &mut Vec<u8>,
    request: &UpgradeRequest<'_>,
    admitted: Admitted<'_>,
    mut span: Span,
) -> Accepted {
    spans::accepted(&mut span, || node.route_pattern(admitted.route));
    handshake::append_accept(out, request.key(), admitted.subprotocol, admitted.agreement.as_ref());
    let Admitted { route, target, agreement, .. } = admitted;
    Accepted { route, target, agreement, span: span.context(), consumed: 0 }
}

fn append(out: &mut Vec<u8>, refused: &Refused) {
    let refusal =
        Refusal { status: refused.status, body: &refused.why, retry_after_s: refused.retry_after_s };
    handshake::append_refusal(out, &refusal);
}

/// A slot as the hub keeps it.
fn slot_index(slot: usize) -> u32 {
    u32::try_from(slot).expect("a process has fewer descriptors than a u32 counts")
}
