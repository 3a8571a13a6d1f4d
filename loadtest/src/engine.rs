//! The event loop of the load generator: one thread, one epoll, any number of WebSocket clients.
//!
//! Place in the data path: it stands on the other end of the server's sockets. The engine owns sockets and protocol (by
//! `tidegate-wire`'s client role); what to send, and what an answer means, is a [`Load`]: one for each scenario. A load has no
//! socket in it: it gets events and the time, and gives [`Commands`].

mod commands;
mod connection;
mod deadlines;
mod dial;
mod native;
mod receive;
mod timer;
mod transport;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tidegate_protocol::channel::Channel;
use tidegate_protocol::command::Connect;
use tidegate_wire::client::{ClientRequest, ResponseParser};
use tidegate_wire::decode::{Limits, Role, Shared};
use tidegate_wire::pool::{BufferPool, PoolConfig};

use self::commands::Command;
pub(crate) use self::commands::{Commands, Dial, Goodbye, Opening, SocketSize};
pub(crate) use self::connection::Ending;
use self::connection::{Connection, Flushed, Reading, Sent, Stage};
use self::deadlines::Deadlines;
use self::timer::Timer;
use self::transport::Transport;
use crate::clock::Nanos;
use crate::failure::Failure;
use crate::native::{Channels, Native, SUBPROTOCOL, append_connect};
use crate::progress::Progress;
use crate::random;
use crate::target::{Scheme, SourceRange, Target};

/// A place for one connection at a time, numbered from 0.
pub(crate) type Lane = usize;

/// A scenario's side of the engine. `now` is the time the event was taken up.
pub(crate) trait Load {
    /// The handshake succeeded (native dialect: `connect` was answered), or a raw connection is made.
    fn handle_open(&mut self, lane: Lane, now: Nanos, out: &mut Commands);

    /// One whole text or binary message; native dialect: the payload of one publication.
    fn handle_message(&mut self, lane: Lane, message: &[u8], now: Nanos, out: &mut Commands);

    /// Bytes on a raw connection.
    fn handle_bytes(&mut self, _lane: Lane, _bytes: &[u8]) {}

    /// The socket does not take all that is being sent.
    fn handle_blocked(&mut self, _lane: Lane) {}

    /// The socket has taken what it did not take before.
    fn handle_unblocked(&mut self, _lane: Lane) {}

    /// The connection is gone; its lane is free.
    fn handle_end(&mut self, lane: Lane, ending: Ending, now: Nanos, out: &mut Commands);

    /// Called before each wait. Says when it wants to be called again if nothing happens.
    fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Wake, Failure>;

    /// One line for whoever watches.
    fn progress(&self) -> String;
}

/// When the load is to be called again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wake {
    /// At this time, or with the next event.
    At(Nanos),
    /// The run is over.
    Done,
}

/// What the engine needs to know about a run.
pub(crate) struct Setup {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) sources: Option<SourceRange>,
    pub(crate) lanes: usize,
    pub(crate) message_bytes_max: usize,
    pub(crate) progress: Progress,
}

/// Where to connect, and what is spoken there.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) target: Target,
    pub(crate) speech: Speech,
}

/// What becomes of a scenario's messages.
#[derive(Clone, Debug)]
pub(crate) enum Speech {
    /// They go out and come in as they are.
    Opaque,
    /// The same, in text messages of the native dialect: the scenario speaks it itself.
    Objects,
    /// The engine speaks the native dialect: it connects, answers signs of life, publishes what is sent, and gives the payloads
    /// of publications.
    Native(Native, Channels),
}

/// Sockets, decoders and buffers of all connections.
pub(crate) struct Engine {
    poll: Poll,
    timer: Timer,
    lanes: Vec<Option<Connection>>,
    endpoints: Vec<Endpoint>,
    /// `None`: no target needs it.
    tls: Option<Arc<ClientConfig>>,
    sources: Option<SourceRange>,
    shared: Shared,
    inbuf: Box<[u8]>,
    commands: Commands,
    /// Waits for TCP and for the handshake.
    opening: Deadlines,
    /// Waits for the server to close TCP after close frames.
    closing: Deadlines,
    dialled: u32,
    progress: Progress,
}

/// One read takes as much as the servers' reads do.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Most events of one wait.
const EVENTS_MAX: usize = 1024;
/// How long connecting and the handshake may take together.
const OPENING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the server may take to close TCP after a close frame.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);
/// Memory for unfinished frames of all connections.
const POOL_BYTES_MAX: usize = 4 << 30;
const POOL_FREE_BYTES_MAX: usize = 64 << 20;
/// A header beside the largest message.
const FRAME_SLACK_BYTES: u64 = 64;
/// A message of the native dialect may hold many objects.
const OBJECTS_BYTES: u64 = 16 << 20;

const TIMER: Token = Token(usize::MAX - 1);

impl Engine {
    pub(crate) fn new(setup: Setup) -> Result<Self, Failure> {
        crate::descriptors::ensure(setup.lanes)?;
        let poll = Poll::new().map_err(Failure::system("creating an epoll"))?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        let is_opaque = |endpoint: &Endpoint| matches!(endpoint.speech, Speech::Opaque);
        let objects_bytes = if setup.endpoints.iter().all(is_opaque) { 0 } else { OBJECTS_BYTES };
        let bytes_max = setup.message_bytes_max as u64 + FRAME_SLACK_BYTES + objects_bytes;
        let limits = Limits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max };
        let pool = BufferPool::new(PoolConfig {
            in_use_bytes_max: POOL_BYTES_MAX,
            free_bytes_max: POOL_FREE_BYTES_MAX,
        });
        let needs_tls = setup.endpoints.iter().any(|endpoint| endpoint.target.scheme == Scheme::Tls);
        let tls = if needs_tls { Some(transport::client_config().map_err(tls_failure)?) } else { None };
        let mut lanes = Vec::new();
        lanes.resize_with(setup.lanes, || None);
        Ok(Self {
            poll,
            timer,
            lanes,
            endpoints: setup.endpoints,
            tls,
            sources: setup.sources,
            shared: Shared::new(Role::Client, limits, pool),
            inbuf: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            commands: Commands::new(random::seed()?, setup.lanes),
            opening: Deadlines::new(OPENING_TIMEOUT),
            closing: Deadlines::new(CLOSING_TIMEOUT),
            dialled: 0,
            progress: setup.progress,
        })
    }

    /// Runs until the load says that it is done. Connections still open are dropped with the engine.
    pub(crate) fn run(&mut self, load: &mut impl Load) -> Result<(), Failure> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let now = Nanos::now();
            self.expire(now, load);
            let wake = load.handle_time(now, &mut self.commands)?;
            self.carry_out(now, load)?;
            let Wake::At(at) = wake else { return Ok(()) };
            self.progress.tick(now, || load.progress());

            self.wait(&mut events, at.min(self.progress.due_at()))?;
            for event in &events {
                if event.token() != TIMER {
                    let now = Nanos::now();
                    self.handle_event(event, now, load);
                    self.carry_out(now, load)?;
                }
            }
        }
    }

    fn wait(&mut self, events: &mut Events, until: Nanos) -> Result<(), Failure> {
        let timeout = if until <= Nanos::now() {
            Some(Duration::ZERO)
        } else {
            self.timer.arm(until)?;
            None
        };
        match self.poll.poll(events, timeout) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            Err(error) => Err(Failure::System { what: "waiting for events", source: error }),
        }
    }

    fn handle_event(&mut self, event: &Event, now: Nanos, load: &mut impl Load) {
        let lane = event.token().0;
        let Some(connection) = &mut self.lanes[lane] else { return };
        if matches!(connection.stage, Stage::Connecting { .. }) && !self.connected(lane, now, load) {
            return;
        }
        let Some(connection) = &mut self.lanes[lane] else { return };
        if event.is_writable() && connection.flush() == Flushed::Now {
            load.handle_unblocked(lane);
        }
        let ending = event.is_read_closed() || event.is_error();
        if ending {
            // Whoever does not read is read out at the end: a close frame may tell why.
            connection.reading = Reading::On;
        }
        if event.is_readable() || ending {
            self.read(lane, ending, now, load);
        }
    }

    /// TCP has connected, or failed to. True if the connection is still there.
    fn connected(&mut self, lane: Lane, now: Nanos, load: &mut impl Load) -> bool {
        let Some(connection) = &mut self.lanes[lane] else { return false };
        if let Some(error) = connection.transport.socket().take_error().unwrap_or_else(Some) {
            self.end(lane, Ending::Unreachable(error.to_string()), now, load);
            return false;
        }
        match std::mem::replace(&mut connection.stage, Stage::Raw) {
            Stage::Connecting { parser: Some(parser) } => {
                connection.stage = Stage::Upgrading { parser, head: Vec::new() };
            }
            Stage::Connecting { parser: None } => load.handle_open(lane, now, &mut self.commands),
            other => connection.stage = other,
        }
        connection.flush();
        true
    }

    /// Reads until the socket is empty. A short read means empty, except that an end of stream may stand behind it: its event is
    /// `ending`, and only a read that returns 0 or an error takes it up.
    fn read(&mut self, lane: Lane, ending: bool, now: Nanos, load: &mut impl Load) {
        loop {
            let Some(connection) = &mut self.lanes[lane] else { return };
            if connection.reading == Reading::Paused {
                return;
            }
            let ended = match connection.read(&mut self.inbuf) {
                None => return,
                Some(Ok(0)) => connection.ending(Ok(())),
                Some(Err(error)) => connection.ending(Err(error)),
                Some(Ok(count)) => {
                    let short_read_drains = connection.transport.is_drained_by_short_read();
                    let was_closing = connection.closed_with.is_some();
                    let input = &mut self.inbuf[..count];
                    let received = receive::receive(
                        connection,
                        lane,
                        &mut self.shared,
                        input,
                        now,
                        load,
                        &mut self.commands,
                    );
                    if !was_closing && connection.closed_with.is_some() {
                        self.closing.start(now, lane, connection.generation);
                    }
                    match received {
                        Err(violation) => violation,
                        Ok(()) if count == self.inbuf.len() || ending || !short_read_drains => continue,
                        Ok(()) => return,
                    }
                }
            };
            return self.end(lane, ended, now, load);
        }
    }

    fn end(&mut self, lane: Lane, ending: Ending, now: Nanos, load: &mut impl Load) {
        // Closing the descriptor takes it out of the epoll too.
        if self.lanes[lane].take().is_some() {
            load.handle_end(lane, ending, now, &mut self.commands);
        }
    }

    fn expire(&mut self, now: Nanos, load: &mut impl Load) {
        while let Some((lane, generation)) = self.opening.expired(now) {
            let late = self.current(lane, generation).is_some_and(|connection| {
                matches!(
                    connection.stage,
                    Stage::Connecting { .. } | Stage::Upgrading { .. } | Stage::Entering
                )
            });
            if late {
                self.end(lane, Ending::TimedOut, now, load);
            }
        }
        while let Some((lane, generation)) = self.closing.expired(now) {
            if let Some(connection) = self.current(lane, generation) {
                let ending = match connection.closed_with {
                    Some(_) => connection.ending(Ok(())),
                    None => Ending::TimedOut,
                };
                self.end(lane, ending, now, load);
            }
        }
    }

    fn current(&self, lane: Lane, generation: u32) -> Option<&Connection> {
        self.lanes[lane].as_ref().filter(|connection| connection.generation == generation)
    }

    /// Does what the load asked for, and what it asks for in answer to that.
    fn carry_out(&mut self, now: Nanos, load: &mut impl Load) -> Result<(), Failure> {
        while !self.commands.list.is_empty() {
            let mut list = std::mem::take(&mut self.commands.list);
            let mut bytes = std::mem::take(&mut self.commands.bytes);
            for command in list.drain(..) {
                match command {
                    Command::Dial(lane, dial) => self.dial(lane, dial, now, load)?,
                    Command::Send(lane, range) => {
                        if let Some(connection) = &mut self.lanes[lane]
                            && connection.send(&bytes[range]) == Sent::InPart
                        {
                            load.handle_blocked(lane);
                        }
                    }
                    Command::Close(lane, goodbye) => self.close(lane, goodbye, now, load),
                    Command::PauseReading(lane) => {
                        if let Some(connection) = &mut self.lanes[lane] {
                            connection.reading = Reading::Paused;
                        }
                    }
                    Command::ResumeReading(lane) => {
                        if let Some(connection) = &mut self.lanes[lane] {
                            connection.reading = Reading::On;
                        }
                        self.read(lane, true, now, load);
                    }
                }
            }
            bytes.clear();
            self.commands.reuse(list, bytes);
        }
        Ok(())
    }

    fn dial(&mut self, lane: Lane, dial: Dial, now: Nanos, load: &mut impl Load) -> Result<(), Failure> {
        let Endpoint { target, speech } = &self.endpoints[dial.target];
        let turn = self.dialled;
        self.dialled = turn.wrapping_add(1);
        let mut socket = match dial::connect(target.address, self.sources, turn, dial.socket) {
            Ok(socket) => socket,
            Err(error) => {
                let error = dial::limit_of_ours(error)?;
                let ending = Ending::Unreachable(error.to_string());
                load.handle_end(lane, ending, now, &mut self.commands);
                return Ok(());
            }
        };
        self.poll
            .registry()
            .register(&mut socket, Token(lane), Interest::READABLE | Interest::WRITABLE)
            .map_err(Failure::system("registering a socket with epoll"))?;
        let mut request = Vec::new();
        let parser = match dial.opening {
            Opening::Raw => None,
            Opening::Upgrade => {
                let key = self.commands.handshake_key();
                ClientRequest {
                    host: &target.host,
                    target: &target.path,
                    key,
                    origin: None,
                    subprotocols: speech.subprotocols(),
                    deflate: None,
                    headers: &[],
                }
                .append(&mut request);
                Some(ResponseParser::new(key))
            }
        };
        self.opening.start(now, lane, turn);
        let transport = match &self.tls {
            Some(config) if target.scheme == Scheme::Tls => tls_transport(socket, config, target)?,
            Some(_) | None => Transport::Plain(socket),
        };
        let mut connection = Connection::new(transport, parser, request, turn);
        connection.subprotocols = speech.subprotocols();
        self.commands.set_channel(lane, speech.channel(lane));
        if let Speech::Native(native, _) = speech {
            connection.greeting = Some(greeting(native, speech.channel(lane).as_deref(), turn));
        }
        self.lanes[lane] = Some(connection);
        Ok(())
    }

    fn close(&mut self, lane: Lane, goodbye: Goodbye, now: Nanos, load: &mut impl Load) {
        let Some(connection) = &mut self.lanes[lane] else { return };
        match goodbye {
            // The frame has gone out as a `Send` just before; the server closes TCP.
            Goodbye::Frame | Goodbye::Return => {
                connection.close_sent = true;
                self.closing.start(now, lane, connection.generation);
            }
            Goodbye::Fin => self.end(lane, Ending::Ours, now, load),
            Goodbye::Reset => {
                // Without lingering the kernel sends RST and forgets the connection; if it cannot be set, FIN does.
                let _ =
                    socket2::SockRef::from(connection.transport.socket()).set_linger(Some(Duration::ZERO));
                self.end(lane, Ending::Ours, now, load);
            }
        }
    }
}

impl Speech {
    fn subprotocols(&self) -> &'static [&'static str] {
        match self {
            Self::Opaque => &[],
            Self::Objects | Self::Native(..) => &[SUBPROTOCOL],
        }
    }

    fn channel(&self, lane: Lane) -> Option<Arc<str>> {
        match self {
            Self::Opaque | Self::Objects => None,
            Self::Native(_, channels) => channels.of(lane),
        }
    }
}

/// The `connect` of the `turn`-th connection: each is another user, whose token no server has seen before.
fn greeting(native: &Native, channel: Option<&str>, turn: u32) -> Vec<u8> {
    let mut object = Vec::new();
    let subscribe = channel.map(|name| Channel::parse(name).expect("the command line checks channels"));
    append_connect(
        &mut object,
        Connect {
            token: native.credentials.token(turn as usize).map(Into::into),
            subscribe: subscribe.into_iter().collect(),
            ..Connect::default()
        },
    );
    object
}

fn tls_transport(
    socket: TcpStream,
    config: &Arc<ClientConfig>,
    target: &Target,
) -> Result<Transport, Failure> {
    let name = ServerName::try_from(target.host_name().to_owned())
        .map_err(|error| Failure::Usage(format!("{}: {error}", target.host_name())))?;
    Transport::tls(socket, Arc::clone(config), name).map_err(tls_failure)
}

fn tls_failure(error: rustls::Error) -> Failure {
    Failure::System { what: "setting up TLS", source: io::Error::other(error) }
}
