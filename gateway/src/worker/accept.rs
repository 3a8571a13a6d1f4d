//! Accepting: the listener's queue becomes connections, here or on a less loaded worker.

use std::io;
use std::net::SocketAddr;

use mio::Interest;
use mio::net::TcpStream;
use tidegate_wire::decode::{Decoder, State};

use super::mail::Mail;
use super::{More, Worker};
use crate::admission::quota::Share;
use crate::connection::outbox::Outbox;
use crate::connection::{Connection, Handshake, Phase, Reading};
use crate::ending::{HandshakeOutcome, Stage};
use crate::net::listener::AcceptFault;
use crate::net::transport::Transport;

/// Sockets accepted in one turn.
const ACCEPTS_A_TURN: usize = 16;
/// How many connections beyond the limit are kept for as long as it takes to tell them 503; more are just closed.
const REFUSALS_IN_PROGRESS_MAX: u64 = 1024;
/// How much more loaded than another worker this one must be to give a socket away: below, the hop costs more than the
/// imbalance.
const IMBALANCE_MIN: u64 = 8;

impl Worker {
    /// Takes sockets from the listener's queue: some each turn, and all before the queue is left alone.
    pub(super) fn accept(&mut self) {
        self.accept_more = false;
        if self.accept_backoff.is_paused(self.turn_began) {
            return;
        }
        for _ in 0..ACCEPTS_A_TURN {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((socket, peer)) => {
                    self.accept_backoff.handle_accepted();
                    self.stats.accepted.add(1);
                    self.place(socket, peer);
                }
                Err(error) => return self.handle_accept_error(&error),
            }
        }
        self.accept_more = true;
    }

    fn handle_accept_error(&mut self, error: &io::Error) {
        match AcceptFault::of(error) {
            AcceptFault::Empty => {}
            AcceptFault::Connection => {
                self.stats.accept_errors.add(1);
                self.accept_more = true;
            }
            AcceptFault::Exhausted => {
                self.stats.accept_pauses.add(1);
                self.accept_backoff.handle_exhausted(self.turn_began);
                tracing::warn!(worker = self.index, %error, "out of descriptors or memory, accepting pauses");
            }
            AcceptFault::Listener => {
                self.stats.accept_errors.add(1);
                tracing::error!(worker = self.index, %error, "the listener failed, this worker accepts no more");
                self.listener = None;
            }
        }
    }

    /// Keeps an accepted socket or gives it to the least loaded worker: connections live long, so an uneven spread
    /// would stay.
    fn place(&mut self, socket: TcpStream, peer: SocketAddr) {
        let posts = self.node.posts();
        if posts.len() > 1 {
            let least = (0..posts.len()).min_by_key(|&other| self.node.stats[other].connections());
            if let Some(least) = least
                && self.stats.connections() > self.node.stats[least].connections() + IMBALANCE_MIN
            {
                match posts[least].try_send(Mail::Adopt(socket, peer)) {
                    Ok(()) => self.stats.handed_over.add(1),
                    Err(Mail::Adopt(socket, peer)) => self.adopt(socket, peer),
                    Err(_) => {}
                }
                return;
            }
        }
        self.adopt(socket, peer);
    }

    /// Makes a socket one of this worker's connections.
    pub(super) fn adopt(&mut self, socket: TcpStream, peer: SocketAddr) {
        let open = self.node.connections();
        if open >= self.node.limits.connections + REFUSALS_IN_PROGRESS_MAX {
            self.stats.accept_dropped.add(1);
            return;
        }
        let from_proxy = self.node.trusted.contains(peer.ip());
        let stage = match (from_proxy, &self.node.tls) {
            (true, _) => Stage::Proxy,
            (false, Some(_)) => Stage::Tls,
            (false, None) => Stage::Request,
        };
        let transport = match (&self.node.tls, stage) {
            (Some(tls), Stage::Tls) => match Transport::with_tls(socket, tls, &[]) {
                Ok(transport) => transport,
                Err(error) => {
                    tracing::warn!(worker = self.index, %peer, %error, "TLS session could not be made");
                    self.stats.accept_errors.add(1);
                    return;
                }
            },
            _ => Transport::Plain(socket),
        };
        let handshake = Handshake { stage, partial: None, refusal: self.door_refusal(open) };
        self.insert(transport, handshake, peer);
    }

    fn insert(&mut self, transport: Transport, handshake: Handshake, peer: SocketAddr) {
        let limits_address = handshake.stage != Stage::Proxy;
        self.generation = self.generation.wrapping_add(1) & 0x7fff_ffff;
        self.next_id += 1;
        let generation = self.generation;
        let slot = self.connections.insert(Connection {
            transport,
            phase: Phase::Handshaking(handshake),
            outbox: Outbox::default(),
            decoder: Decoder::new(),
            deflate: None,
            stash: None,
            generation,
            seen: self.now,
            timer: 0,
            since: self.now,
            progress: self.now,
            pings_unanswered: 0,
            parser_state: State::Idle,
            awaits_writable: false,
            reading: Reading::Wanted,
            read_closed: false,
            is_asked_to_leave: false,
            route: 0,
            id: self.next_id,
            peer,
            accepted_at: self.turn_began,
            permit: None,
            share: Share::default(),
        });
        self.stats.handshaking.add(1);
        self.stats.parser_states[State::Idle as usize].add(1);
        if limits_address {
            self.take_address_permit(slot);
        }
        let token = Connection::token(slot, generation);
        let is_congested = self.is_congested();
        let transport = &mut self.connections[slot].transport;
        // Where many come at once their requests are mostly here, too: what is read before the socket is registered costs no
        // event. TLS is left to events, since its first flight takes long to answer.
        let early = (!transport.is_tls() && !is_congested).then(|| transport.try_read(&mut self.input));
        if let Err(error) = self.registry.register(transport, token, Interest::READABLE) {
            tracing::warn!(worker = self.index, %peer, %error, "socket could not be registered");
            self.stats.accept_errors.add(1);
            self.abandon_handshake(slot, HandshakeOutcome::ClientGone);
            return;
        }
        self.schedule(slot, self.now + self.handshake_ticks());
        if let Some(read) = early
            && self.handle_read(slot, read) == More::Perhaps
        {
            self.ready.push(token);
        }
    }

    /// Counts the connection under its client's address; over the limit its request will be refused.
    pub(super) fn take_address_permit(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        if self.node.drain.blocked.refuses(connection.peer.ip(), self.turn_began)
            && let Phase::Handshaking(handshake) = &mut connection.phase
        {
            handshake.refusal.get_or_insert(HandshakeOutcome::AddressLimit);
        }
        match self.node.addresses.try_acquire(connection.peer.ip()) {
            Ok(permit) => connection.permit = Some(permit),
            Err(_) => {
                if let Phase::Handshaking(handshake) = &mut connection.phase {
                    handshake.refusal.get_or_insert(HandshakeOutcome::AddressLimit);
                }
            }
        }
    }

    /// Whether the node takes new clients at all. Told to the client only when its request is read: an answer before
    /// the question would be lost to a reset.
    fn door_refusal(&self, open: u64) -> Option<HandshakeOutcome> {
        if self.node.drain.is_shut() {
            return Some(HandshakeOutcome::Draining);
        }
        (open >= self.node.limits.connections).then_some(HandshakeOutcome::NodeLimit)
    }
}
