//! A worker: one thread, its sockets, and its part of the hub.
//!
//! Place in the data path: all of it between the listener and the socket of the receiver. A turn takes a batch of
//! events; what was published in it goes out at its end, before anything new is read. There is no future in here, no
//! lock and no waiting: [`driver`] polls, the worker answers (docs/decisions/0003).

pub(crate) mod accept;
pub(crate) mod closing;
pub(crate) mod driver;
pub(crate) mod evict;
pub(crate) mod frames;
pub(crate) mod handshake;
pub(crate) mod ingest;
mod leave;
pub(crate) mod mail;
pub(crate) mod native;
pub(crate) mod perform;
pub(crate) mod publish;
pub(crate) mod snapshot;
mod stall;
mod standing;
pub(crate) mod subscribe;
pub(crate) mod timers;
pub(crate) mod wheel;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Registry, Token};
use slab::Slab;
use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::event::Objects;
use tidegate_protocol::time::Millis;
use tidegate_wire::decode::{self, Role, State};
use tidegate_wire::deflate::SharedDeflater;
use tidegate_wire::pool::{BufferPool, PoolConfig};

use crate::connection::{Connection, Io, Phase, Reading, is_transient};
use crate::hub::run::{CompressedForms, Published};
use crate::hub::{ChannelIndex, Hub};
use crate::metrics::stats::WorkerStats;
use crate::net::listener::AcceptBackoff;
use crate::node::Node;
use evict::Departures;
use mail::{Mail, Mailbox, Parcel};
use wheel::{Tick, Wheel, start_of, tick_of};

/// Events of one turn. Small, so that the end of a turn, where publications go out, is never far.
pub(crate) const TURN: usize = 128;
/// Turns with so many events are always timed, of the others one in [`TURNS_A_SAMPLE`].
const LARGE_TURN: usize = 16;
const TURNS_A_SAMPLE: u32 = 16;
/// Deadlines handled in one turn. Many clients that came together come due together: they must not hold up the sockets.
const TIMERS_A_TURN: usize = 8;
/// Connections sent away in one turn of a drain.
const FAREWELLS_A_TURN: usize = 8;
/// Letters read in one turn.
const LETTERS_A_TURN: usize = 256;
/// Published frames that are held back for the end of a turn; more go out in the middle of it.
const PUBLISHED_BYTES_MAX: usize = 1 << 20;
/// How long a worker without connections may sleep; the liveness probe wants to see it turn.
const IDLE_PATIENCE: Duration = Duration::from_secs(1);
/// Scratch memory that survives a turn.
const SCRATCH_KEPT_BYTES: usize = 256 << 10;
/// The part of the pool that is kept when nobody needs it.
const FREE_SHARE_OF_POOL: usize = 16;
/// How soon a full mailbox of another worker is tried again.
const LANE_RETRY: Duration = Duration::from_millis(1);

const LISTENER: Token = Token(usize::MAX);
const MAIL: Token = Token(usize::MAX - 1);

/// Everything one thread owns.
pub(crate) struct Worker {
    pub(crate) index: usize,
    node: Arc<Node>,
    stats: Arc<WorkerStats>,
    registry: Registry,
    listener: Option<TcpListener>,
    accept_backoff: AcceptBackoff,
    mailbox: Mailbox,
    connections: Slab<Connection>,
    generation: u32,
    next_id: u64,
    hub: Hub,
    wheel: Wheel,
    /// Entries of the wheel that came up and have not been looked at.
    due: VecDeque<(Tick, u32)>,
    now: Tick,
    /// Unix time of the turn.
    now_unix: Millis,
    turn_began: Instant,
    turns: u32,
    pool: BufferPool,
    pool_bytes_max: usize,
    /// Taken out while a message of the native dialect, which borrows from it, is handled.
    decode: Option<decode::Shared>,
    deflater: SharedDeflater,
    /// Where every read lands; nothing in it outlives the handling of the read.
    input: Box<[u8]>,
    /// Frames in answer to the read that is being handled.
    replies: Vec<u8>,
    /// Objects for the client whose session is being handled.
    outgoing: Objects,
    /// Pongs for it.
    pongs: Vec<u8>,
    published: Published,
    /// Channels of which publications are missing.
    gaps: Vec<ChannelIndex>,
    forms: CompressedForms,
    /// A run as one receiver's own compression window has it.
    windowed: Vec<u8>,
    /// Connections that may have more to read without another event.
    ready: Vec<Token>,
    /// Whether the listener may have more connections without another event.
    accept_more: bool,
    mail_more: bool,
    /// This turn's share of deliveries, and what is left of it.
    delivery_share: usize,
    delivery_units: usize,
    /// Parcels that other workers' full mailboxes did not take.
    lanes: Vec<VecDeque<Parcel>>,
    /// The next slot whose connection is to be sent away; none while the worker serves.
    drain_cursor: Option<usize>,
    /// Who is to leave, and who was told to.
    departures: Departures,
    stopped: bool,
}

impl Worker {
    /// A worker that has not begun to listen: [`driver::run`] does both.
    pub(crate) fn new(
        index: usize,
        node: Arc<Node>,
        registry: Registry,
        listener: TcpListener,
        mailbox: Mailbox,
    ) -> Self {
        let workers = node.stats.len();
        let limits = &node.limits;
        let pool_bytes_max = limits.pool_bytes / workers;
        let pool = BufferPool::new(PoolConfig {
            in_use_bytes_max: pool_bytes_max,
            free_bytes_max: pool_bytes_max / FREE_SHARE_OF_POOL,
        });
        let frame_limits = decode::Limits {
            frame_bytes_max: limits.frame_bytes as u64,
            message_bytes_max: limits.message_bytes as u64,
        };
        Self {
            index,
            stats: Arc::clone(&node.stats[index]),
            registry,
            listener: Some(listener),
            accept_backoff: AcceptBackoff::new(),
            mailbox,
            connections: Slab::new(),
            generation: 0,
            next_id: (index as u64) << 48,
            hub: Hub::new(index, Arc::clone(&node.directory)),
            wheel: Wheel::new(),
            due: VecDeque::new(),
            now: 0,
            now_unix: node.broker.clock.now(),
            turn_began: Instant::now(),
            turns: 0,
            decode: Some(decode::Shared::new(Role::Server, frame_limits, pool.clone())),
            deflater: SharedDeflater::new(node.compression.level),
            pool,
            pool_bytes_max,
            input: vec![0; limits.read_buffer_bytes].into_boxed_slice(),
            replies: Vec::new(),
            outgoing: Objects::default(),
            pongs: Vec::new(),
            published: Published::default(),
            gaps: Vec::new(),
            forms: CompressedForms::default(),
            windowed: Vec::new(),
            ready: Vec::new(),
            accept_more: false,
            mail_more: false,
            delivery_share: 0,
            delivery_units: 0,
            lanes: (0..workers).map(|_| VecDeque::new()).collect(),
            drain_cursor: None,
            departures: Departures::default(),
            stopped: false,
            node,
        }
    }

    /// Handles one batch of events, what was left over from the turn before, and everything that is due by now.
    pub(crate) fn turn(&mut self, events: &Events) {
        let count = events.iter().count();
        self.begin_turn(count);
        for event in events {
            match event.token() {
                LISTENER => self.accept_more = true,
                MAIL => self.mail_more = true,
                token => self.handle_event(token, event),
            }
        }
        self.resume_reads();
        if self.mail_more {
            self.read_mail();
        }
        if self.accept_more || self.accept_backoff.try_resume(self.turn_began) {
            self.accept();
        }
        self.end_turn(count);
    }

    /// How long the next poll may wait.
    pub(crate) fn patience(&self) -> Duration {
        let has_work = self.accept_more
            || self.mail_more
            || !self.due.is_empty()
            || self.is_sending_away()
            || self.is_evicting()
            || self.hub.has_backlog()
            || !self.ready.is_empty() && !self.is_congested();
        if has_work {
            return Duration::ZERO;
        }
        let since_start = self.turn_began.saturating_duration_since(self.node.started);
        let to_next_tick = match self.connections.is_empty() {
            true => IDLE_PATIENCE,
            false => start_of(self.now + 1).saturating_sub(since_start),
        };
        let resume_at = self.accept_backoff.resume_at();
        let to_accept = resume_at.map_or(to_next_tick, |at| at.saturating_duration_since(self.turn_began));
        let patience = to_next_tick.min(to_accept);
        if self.is_congested() { patience.min(LANE_RETRY) } else { patience }
    }

    /// Whether the worker was stopped, or drained and has no connection left.
    pub(crate) fn is_finished(&self) -> bool {
        self.stopped || self.drain_cursor.is_some() && self.connections.is_empty()
    }

    fn begin_turn(&mut self, events: usize) {
        let stood_still = self.turn_began.elapsed();
        self.turn_began = Instant::now();
        let uptime = self.turn_began.saturating_duration_since(self.node.started);
        self.stats.turned_at_ms.set(u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX));
        self.now_unix = self.node.started_unix + uptime;
        if stood_still > self.node.broker.terms.node_lease {
            self.give_up_sessions(stood_still);
        }
        let now = tick_of(uptime);
        if now > self.now {
            self.now = now;
            self.tick();
        }
        self.handle_timers();
        self.evict();
        self.send_away();
        self.continue_deliveries(events);
    }

    /// Sends out what the turn published and tells the counters.
    fn end_turn(&mut self, events: usize) {
        self.deliver_published();
        self.turns = self.turns.wrapping_add(1);
        // Reading the clock once more costs a short turn more than a hundredth of its time.
        if events >= LARGE_TURN || self.turns.is_multiple_of(TURNS_A_SAMPLE) {
            self.stats.turns.observe(self.turn_began.elapsed());
        }
    }

    fn handle_event(&mut self, token: Token, event: &Event) {
        let Some(slot) = self.slot_of(token) else { return };
        if event.is_writable() && !self.handle_writable(slot) {
            return;
        }
        if event.is_read_closed() {
            self.connections[slot].read_closed = true;
        }
        let is_due = event.is_readable() || event.is_read_closed() || event.is_error();
        if is_due && (self.is_congested() || self.read(slot) == More::Perhaps) {
            self.ready.push(token);
        }
    }

    /// The slot of a connection that still exists; an event or a note may be older than its connection.
    fn slot_of(&self, token: Token) -> Option<usize> {
        let slot = token.0 & 0xffff_ffff;
        let connection = self.connections.get(slot)?;
        (connection.generation as usize == token.0 >> 32).then_some(slot)
    }

    /// One read for every connection that had more last time: nobody gets a second before all others got one.
    fn resume_reads(&mut self) {
        if self.ready.is_empty() || self.is_congested() {
            return;
        }
        for token in std::mem::take(&mut self.ready) {
            if let Some(slot) = self.slot_of(token)
                && self.read(slot) == More::Perhaps
            {
                self.ready.push(token);
            }
        }
    }

    /// Reads once and handles what came.
    fn read(&mut self, slot: usize) -> More {
        if self.must_wait(slot) {
            return More::Perhaps;
        }
        let connection = &mut self.connections[slot];
        if connection.reading == Reading::Paused {
            return More::No;
        }
        if connection.stash.is_some() {
            return self.handle_stash(slot);
        }
        let read = connection.transport.try_read(&mut self.input);
        self.handle_read(slot, read)
    }

    /// Handles what a read into the input buffer came to.
    fn handle_read(&mut self, slot: usize, read: io::Result<usize>) -> More {
        let connection = &mut self.connections[slot];
        let read = match read {
            Ok(0) => {
                self.handle_end_of_stream(slot);
                return More::No;
            }
            Ok(read) => read,
            Err(error) if is_transient(&error) => {
                self.await_transport(slot);
                return More::No;
            }
            Err(error) => {
                self.handle_read_error(slot, &error);
                return More::No;
            }
        };
        connection.seen = self.now;
        connection.pings_unanswered = 0;
        let more = connection.read_closed || connection.transport.has_more(read, self.input.len());
        match connection.phase {
            Phase::Open(_) => self.handle_frames(slot, 0..read),
            Phase::Handshaking(_) => self.handle_handshake_bytes(slot, read),
            Phase::Closing(_) => self.handle_closing_bytes(slot, 0..read),
        }
        if !more {
            self.await_transport(slot);
        }
        if more { More::Perhaps } else { More::No }
    }

    /// After the last read: what the transport itself wants to send must not wait for our next message.
    fn await_transport(&mut self, slot: usize) {
        if !self.connections.get(slot).is_some_and(|connection| connection.transport.wants_write()) {
            return;
        }
        let (connection, io) = self.connection_io(slot);
        if connection.await_transport(&io, slot).is_err() {
            self.lose(slot, CloseCause::ConnectionLost);
        }
    }

    /// Sends what waits. False: the connection is gone.
    fn handle_writable(&mut self, slot: usize) -> bool {
        let (connection, io) = self.connection_io(slot);
        if connection.flush(&io, slot).is_err() {
            self.lose(slot, CloseCause::ConnectionLost);
            return false;
        }
        if connection.has_unsent() {
            return true;
        }
        match connection.phase {
            Phase::Closing(_) => self.finish_sending(slot),
            Phase::Open(_) if connection.reading == Reading::Paused => {
                connection.reading = Reading::Wanted;
                let token = Connection::token(slot, connection.generation);
                self.ready.push(token);
                true
            }
            Phase::Open(_) | Phase::Handshaking(_) => true,
        }
    }

    /// A connection together with what sending needs.
    fn connection_io(&mut self, slot: usize) -> (&mut Connection, Io<'_>) {
        let io = Io { registry: &self.registry, pool: &self.pool, stats: &self.stats, now: self.now };
        (&mut self.connections[slot], io)
    }

    /// Counts a connection under the state its parser rests in.
    fn count_parser_state(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        let state = connection.decoder.state();
        if state != connection.parser_state {
            self.stats.parser_states[connection.parser_state as usize].sub(1);
            self.stats.parser_states[state as usize].add(1);
            let begins = connection.parser_state == State::Idle;
            connection.parser_state = state;
            if begins {
                connection.since = self.now;
                self.schedule(slot, self.now + self.frame_ticks());
            }
        }
    }

    fn read_mail(&mut self) {
        self.mailbox.hush();
        self.mail_more = true;
        for _ in 0..LETTERS_A_TURN {
            if self.hub.is_full() {
                return;
            }
            let Some(mail) = self.mailbox.try_next() else {
                self.mail_more = false;
                return;
            };
            match mail {
                Mail::Adopt(socket, peer) => self.adopt(socket, peer),
                Mail::Parcel(parcel) => self.deliver_parcel(&parcel),
                Mail::Publication(entry, publication) => self.handle_publication(&entry, publication),
                Mail::Head(entry, head) => self.handle_head(&entry, head),
                Mail::Answer(token, answer) => self.handle_answer(token, *answer),
                Mail::Leave(token, leave) => self.handle_leave(token, leave),
                Mail::Order(token, order) => self.handle_order(token, order),
                Mail::Repair(entry, past) => self.handle_repair(&entry, *past),
                Mail::CloseToken { token, close, reply } => {
                    // The asker may have given up.
                    let _ = reply.send(self.close_token(&token, &close));
                }
                Mail::Standing(wish) => self.tell_standing(wish),
                Mail::Probe(since) => {
                    let lag = since.elapsed().as_micros();
                    self.stats.loop_lag_us.set(u64::try_from(lag).unwrap_or(u64::MAX));
                    self.stats.probes_read.add(1);
                }
                Mail::Evict(eviction) => self.handle_eviction(eviction),
                Mail::Spare => self.spare(),
                Mail::CloseDoor => self.stop_listening(),
                Mail::Drain => self.drain(),
                Mail::Stop => self.stopped = true,
                Mail::Handshakes(reply) => drop(reply.send(self.slow_addresses())),
                // The asker may have given up.
                Mail::Describe { limit, reply } => drop(reply.send(self.describe(limit))),
            }
        }
    }
}

/// Whether a socket may have more to read without another event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum More {
    Perhaps,
    No,
}

#[cfg(test)]
mod tests;
