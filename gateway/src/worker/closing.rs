//! Endings: who is told what, what is counted, and when a socket may be closed.

use std::io;

use tidegate_protocol::cause::{Attention, CloseCause};
use tidegate_protocol::event::{self, Closing};
use tidegate_wire::close::{self, CloseCode};
use tidegate_wire::frame::{self, OpCode};

use super::{FAREWELLS_A_TURN, Worker};
use crate::connection::{Connection, Endpoint, Farewell, Phase};
use crate::ending::HandshakeOutcome;
use crate::hub::Membership;
use crate::metrics::stats::Single;
use crate::native::Place;
use crate::net::tls::TlsFailure;

impl Worker {
    /// Ends an open connection from our side with the cause's own code and reason.
    pub(super) fn end(&mut self, slot: usize, cause: CloseCause) {
        let row = cause.row();
        let is_native = matches!(self.connections[slot].phase, Phase::Open(Endpoint::Native(_)));
        let code = if is_native { row.native_code } else { row.raw_code };
        self.end_told(slot, cause, code.map(CloseCode::new), row.reason);
    }

    /// [`end_with`](Self::end_with), where a client of the native dialect is told first, unless its session has done so.
    pub(super) fn end_told(&mut self, slot: usize, cause: CloseCause, code: Option<CloseCode>, reason: &str) {
        let closing = self.closing_of(slot, cause, code);
        self.end_behind(slot, cause, &closing, code, reason);
    }

    /// Ends an open connection from our side: a close frame goes out behind what the socket has already begun to take,
    /// and what the client sends is read until it answers or `limits.close_timeout` has passed.
    pub(super) fn end_with(&mut self, slot: usize, cause: CloseCause, code: Option<CloseCode>, reason: &str) {
        self.end_behind(slot, cause, &[], code, reason);
    }

    /// The frame with `closing`; empty where there is none to be sent.
    fn closing_of(&self, slot: usize, cause: CloseCause, code: Option<CloseCode>) -> Vec<u8> {
        let mut told = Vec::new();
        let Some(code) = code else { return told };
        let Phase::Open(Endpoint::Native(client)) = &self.connections[slot].phase else { return told };
        if client.session.closed().is_some() {
            return told;
        }
        let row = cause.row();
        let reconnect = row.comeback.may_reconnect();
        let closing = Closing { code: code.value(), name: row.native_name.into(), reconnect, after_ms: None };
        let mut object = Vec::new();
        event::append_closing(&mut object, &closing);
        frame::append(&mut told, OpCode::Text, &object);
        told
    }

    /// Ends a connection with a frame before the close frame, or with the close frame alone.
    fn end_behind(
        &mut self,
        slot: usize,
        cause: CloseCause,
        told: &[u8],
        code: Option<CloseCode>,
        reason: &str,
    ) {
        if cause.is_departure() {
            for membership in self.memberships(slot) {
                self.deliver_rest(membership, slot);
            }
        }
        self.account(slot, cause, reason);
        let farewell = match cause {
            departure if departure.is_departure() => Farewell::AwaitClose,
            _ => Farewell::Linger,
        };
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Closing(farewell);
        connection.since = self.now;
        connection.stash = None;
        connection.reading = crate::connection::Reading::Wanted;
        if cause == CloseCause::SlowConsumer {
            let dropped = connection.outbox.drop_unsent_frames();
            self.stats.outbox_bytes.sub(dropped as u64);
        }
        self.stats.closing.add(1);
        self.replies.clear();
        self.replies.extend_from_slice(told);
        close::append(&mut self.replies, code, reason);
        self.schedule(slot, self.now + self.close_ticks());
        if self.send_replies(slot) && !self.connections[slot].has_unsent() {
            self.finish_sending(slot);
        }
    }

    /// The client closed, and our answer is sent or queued (RFC 6455 5.5.1): the server closes the TCP stream first.
    pub(super) fn end_by_client(&mut self, slot: usize) {
        self.account(slot, CloseCause::ClientClosed, "");
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Closing(Farewell::Linger);
        if connection.has_unsent() {
            connection.since = self.now;
            self.stats.closing.add(1);
            self.schedule(slot, self.now + self.close_ticks());
            return;
        }
        if connection.transport.is_tls() {
            // A close_notify that the client does not wait for: failing to send it changes nothing.
            let _ = connection.transport.shutdown_write();
        }
        self.stats.closing.add(1);
        self.remove(slot);
    }

    /// Ends a connection to which nothing more can be said.
    pub(super) fn lose(&mut self, slot: usize, cause: CloseCause) {
        match self.connections[slot].phase {
            Phase::Handshaking(_) => self.abandon_handshake(slot, HandshakeOutcome::ClientGone),
            Phase::Closing(_) => self.remove(slot),
            Phase::Open(_) => {
                self.account(slot, cause, "");
                self.connections[slot].phase = Phase::Closing(Farewell::Linger);
                self.stats.closing.add(1);
                self.remove(slot);
            }
        }
    }

    /// Ends a handshake without an answer.
    pub(super) fn abandon_handshake(&mut self, slot: usize, outcome: HandshakeOutcome) {
        self.stats.handshakes[outcome as usize].add(1);
        let connection = &self.connections[slot];
        tracing::debug!(id = connection.id, peer = %connection.peer, outcome = outcome.name(), "handshake abandoned");
        self.forget(slot);
    }

    pub(super) fn handle_end_of_stream(&mut self, slot: usize) {
        self.lose(slot, CloseCause::ClientGone);
    }

    pub(super) fn handle_read_error(&mut self, slot: usize, error: &io::Error) {
        if error.get_ref().is_some_and(|inner| inner.is::<TlsFailure>())
            && matches!(self.connections[slot].phase, Phase::Handshaking(_))
        {
            tracing::debug!(peer = %self.connections[slot].peer, %error, "TLS handshake failed");
            return self.abandon_handshake(slot, HandshakeOutcome::Tls);
        }
        self.lose(slot, CloseCause::ConnectionLost);
    }

    /// Everything queued for a closing connection is with the kernel. False: the connection is gone.
    pub(super) fn finish_sending(&mut self, slot: usize) -> bool {
        let (connection, io) = self.connection_io(slot);
        if !matches!(connection.phase, Phase::Closing(Farewell::Linger)) {
            return true;
        }
        if connection.transport.shutdown_write().is_err() || connection.await_transport(&io, slot).is_err() {
            self.remove(slot);
            return false;
        }
        true
    }

    /// Whether the client's close frame is still to come.
    pub(super) fn awaits_close(&self, slot: usize) -> bool {
        matches!(self.connections[slot].phase, Phase::Closing(Farewell::AwaitClose))
    }

    /// Takes a closing connection out of the worker; its descriptor closes here.
    pub(super) fn remove(&mut self, slot: usize) {
        self.stats.closing.sub(1);
        self.drop_connection(slot);
    }

    fn forget(&mut self, slot: usize) {
        self.stats.handshaking.sub(1);
        self.drop_connection(slot);
    }

    fn drop_connection(&mut self, slot: usize) {
        let connection = self.connections.remove(slot);
        self.stats.outbox_bytes.sub(connection.outbox.len() as u64);
        self.stats.parser_states[connection.parser_state as usize].sub(1);
    }

    /// No new clients; the old ones are sent away from the next turn on.
    pub(super) fn drain(&mut self) {
        self.stop_listening();
        self.drain_cursor.get_or_insert(0);
    }

    /// No new clients. A load balancer that only connects to see whether a node is well finds nobody and takes another one.
    pub(super) fn stop_listening(&mut self) {
        // What the kernel has already accepted for us would be reset.
        self.accept();
        self.accept_more = false;
        self.listener = None;
    }

    /// Sends some clients away. A request that is under way is answered with 503 when it is complete.
    pub(super) fn send_away(&mut self) {
        let mut farewells = 0;
        while let Some(slot) = self.drain_cursor.filter(|&slot| slot < self.connections.capacity())
            && farewells < FAREWELLS_A_TURN
        {
            self.drain_cursor = Some(slot + 1);
            if self.connections.get(slot).is_some_and(|connection| matches!(connection.phase, Phase::Open(_)))
            {
                if !self.connections[slot].is_asked_to_leave {
                    self.stats.drain_moved.add(1);
                }
                self.stats.drain_forced.add(1);
                self.end(slot, CloseCause::Shutdown);
                farewells += 1;
            }
        }
    }

    /// Whether a drain has not come to every connection yet.
    pub(super) fn is_sending_away(&self) -> bool {
        self.drain_cursor.is_some_and(|slot| slot < self.connections.capacity())
    }

    /// The one place where an open connection's end is counted and logged (invariant I6); it also leaves its channel.
    fn account(&mut self, slot: usize, cause: CloseCause, detail: &str) {
        let connection = &self.connections[slot];
        let life = self.turn_began.saturating_duration_since(connection.accepted_at);
        self.stats.closed[cause as usize].add(1);
        self.stats.connection_durations[cause as usize].observe(life);
        self.open_gauge(slot).sub(1);
        log(connection, cause, detail, life);
        let was_asked = connection.is_asked_to_leave;
        self.note_departure(slot, cause);
        match &mut self.connections[slot].phase {
            Phase::Open(Endpoint::Channel(membership)) => {
                let membership = *membership;
                self.leave(slot, 0, Place::Live(membership));
            }
            Phase::Open(Endpoint::Native(_)) => self.let_go(slot, cause, was_asked),
            Phase::Open(Endpoint::Echo) | Phase::Handshaking(_) | Phase::Closing(_) => {}
        }
    }

    /// The channels that an open connection is a member of.
    fn memberships(&self, slot: usize) -> Vec<Membership> {
        match &self.connections[slot].phase {
            Phase::Open(Endpoint::Channel(membership)) => vec![*membership],
            Phase::Open(Endpoint::Native(client)) => client.memberships().collect(),
            Phase::Open(Endpoint::Echo) | Phase::Handshaking(_) | Phase::Closing(_) => Vec::new(),
        }
    }

    pub(super) fn open_gauge(&self, slot: usize) -> &Single {
        if self.connections[slot].transport.is_tls() { &self.stats.open_tls } else { &self.stats.open_plain }
    }
}

fn log(connection: &Connection, cause: CloseCause, detail: &str, life: std::time::Duration) {
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                id = connection.id,
                peer = %connection.peer,
                cause = cause.row().name,
                detail,
                seconds = life.as_secs_f64(),
                "connection ended"
            )
        };
    }
    match cause.row().attention {
        Attention::Debug => line!(tracing::Level::DEBUG),
        Attention::Info => line!(tracing::Level::INFO),
        Attention::Warn => line!(tracing::Level::WARN),
    }
}
