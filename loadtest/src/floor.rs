//! The floor: a raw epoll server that makes the system calls of a WebSocket server and next to nothing else.
//!
//! It is the yardstick of `compare`. For each readable socket it makes one `recv` (a read that does not fill the buffer has drained
//! an edge-triggered socket) and one `send` for everything that read brought; for each connection one `accept4` and one
//! `epoll_ctl`. What it does beyond system calls is what no server can leave out: it finds the key and computes the accept
//! value, cuts frames by their length, and unmasks. What it leaves out is everything else: checks, limits, deadlines, UTF-8,
//! fragments, pings, and readers that do not keep up (they are dropped).
//!
//! Place in the data path: `run` → [`turn`](Floor::turn) → `greeting` or `frames` → one `send`.

mod frames;
mod greeting;
mod rooms;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use socket2::{Domain, Protocol, Socket, Type};

use self::frames::Cut;
use self::rooms::{RoomId, Rooms};
use crate::failure::Failure;

/// What a connection is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    /// Its request has not come whole yet.
    Stranger,
    /// What it sends comes back.
    Echo,
    /// What it sends goes to all in the room.
    Member(RoomId),
}

/// One connection: 12 bytes and the descriptor. Idle memory is part of the yardstick.
struct Connection {
    socket: OwnedFd,
    role: Role,
    /// Index into `partials`, or `NO_PARTIAL`.
    partial: u32,
}

/// How paths are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// `/echo` echoes, every other path is a channel of its own.
    Path,
    /// Every path echoes.
    Echo,
    /// Every path is a channel of its own.
    Channel,
}

/// One read takes at most this much; a frame that does not fit is the end of its connection.
const READ_BUFFER_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
const BACKLOG: i32 = 4096;
const NO_PARTIAL: u32 = u32::MAX;
/// No descriptor has this number.
const LISTENER: u64 = u64::MAX;

/// The server: one thread, one epoll.
pub(crate) struct Floor {
    listener: TcpListener,
    epoll: OwnedFd,
    mode: Mode,
    /// By descriptor number, which the kernel keeps dense.
    connections: Vec<Option<Connection>>,
    rooms: Rooms,
    /// Beginnings of frames whose rest has not come; empty ones are free.
    partials: Vec<Vec<u8>>,
    free_partials: Vec<u32>,
    inbuf: Box<[u8]>,
}

/// What became of a connection after a read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Stays,
    Leaves,
}

impl Floor {
    /// Binds and listens.
    pub(crate) fn bind(address: SocketAddr, mode: Mode) -> Result<Self, Failure> {
        crate::descriptors::ensure(0)?;
        let listener = listen(address).map_err(|source| Failure::Listen { address, source })?;
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Failure::system("creating an epoll"))?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), flags)
            .map_err(Failure::system("registering the listener with epoll"))?;
        Ok(Self {
            listener,
            epoll,
            mode,
            connections: Vec::new(),
            rooms: Rooms::default(),
            partials: Vec::new(),
            free_partials: Vec::new(),
            inbuf: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
        })
    }

    /// Prints `listening on ADDRESS`, then serves until the process is killed.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let address = self.listener.local_addr().map_err(Failure::system("asking for the bound address"))?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "listening on {address}")
            .and_then(|()| stdout.flush())
            .map_err(Failure::system("writing to standard output"))?;
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) => self.turn(&events),
                Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(Failure::System { what: "waiting for events", source: error.into() });
                }
            }
            events.clear();
        }
    }

    /// One batch of events, then one send to each member of each room that something was said in.
    fn turn(&mut self, events: &[Event]) {
        for event in events {
            let (data, flags) = (event.data, event.flags);
            match data.u64() {
                LISTENER => self.accept(),
                descriptor => {
                    let ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
                    self.handle_readable(descriptor as usize, ending);
                }
            }
        }
        let (rooms, connections) = (&mut self.rooms, &mut self.connections);
        rooms.broadcast(|member, frames| {
            let Some(connection) = &connections[member as usize] else { return };
            // A member that does not take all of it at once is dropped, at its next read: a floor has no outbox.
            if send(&connection.socket, frames, SendFlags::NOSIGNAL) != Ok(frames.len()) {
                let _ = rustix::net::shutdown(&connection.socket, rustix::net::Shutdown::Both);
            }
        });
    }

    fn accept(&mut self) {
        // Ends at EAGAIN, as edge-triggered epoll requires; other errors end this turn too and show in the client.
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            let descriptor = socket.as_raw_fd().unsigned_abs() as usize;
            let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            if epoll::add(&self.epoll, &socket, EventData::new_u64(descriptor as u64), flags).is_err() {
                continue;
            }
            if self.connections.len() <= descriptor {
                self.connections.resize_with(descriptor + 1, || None);
            }
            self.connections[descriptor] =
                Some(Connection { socket, role: Role::Stranger, partial: NO_PARTIAL });
        }
    }

    /// A short read has drained the socket, except that an end of stream may stand behind it (`ending`).
    fn handle_readable(&mut self, descriptor: usize, ending: bool) {
        loop {
            let Some(connection) = &mut self.connections[descriptor] else { return };
            let mut kept = 0;
            if connection.partial != NO_PARTIAL {
                let partial = &mut self.partials[connection.partial as usize];
                kept = partial.len();
                self.inbuf[..kept].copy_from_slice(partial);
                partial.clear();
                self.free_partials.push(connection.partial);
                connection.partial = NO_PARTIAL;
            }
            let room = self.inbuf.len() - kept;
            let count = match recv(&connection.socket, &mut self.inbuf[kept..], RecvFlags::empty()) {
                Ok((count, _)) if count > 0 => count,
                Err(Errno::AGAIN) => {
                    self.keep(descriptor, 0, kept);
                    return;
                }
                // End of stream, a reset, or a frame that does not fit the buffer.
                Ok(_) | Err(_) => return self.remove(descriptor),
            };
            if self.handle_bytes(descriptor, kept + count) == Fate::Leaves {
                return self.remove(descriptor);
            }
            if count < room && !ending {
                return;
            }
        }
    }

    /// The connection's bytes are `inbuf[..len]`.
    fn handle_bytes(&mut self, descriptor: usize, len: usize) -> Fate {
        let Some(connection) = &mut self.connections[descriptor] else { return Fate::Leaves };
        let mut at = 0;
        if connection.role == Role::Stranger {
            let Some(greeting) = greeting::find(&self.inbuf[..len]) else {
                self.keep(descriptor, 0, len);
                return Fate::Stays;
            };
            let Some(request) = greeting else { return Fate::Leaves };
            let is_echo = self.mode == Mode::Echo || (self.mode == Mode::Path && request.path == b"/echo");
            connection.role = if is_echo {
                Role::Echo
            } else {
                Role::Member(self.rooms.join(request.path, descriptor as u32))
            };
            at = request.len;
            let answer = greeting::answer(request.key);
            if send(&connection.socket, &answer, SendFlags::NOSIGNAL) != Ok(answer.len()) {
                return Fate::Leaves;
            }
            if at == len {
                return Fate::Stays;
            }
        }
        let cut: Cut = frames::answer_in_place(&mut self.inbuf[at..len]);
        let answers = &self.inbuf[at..len][cut.answers.clone()];
        let mut sent = Ok(answers.len());
        match connection.role {
            Role::Member(room) if !cut.is_close => self.rooms.say(room, answers),
            Role::Echo | Role::Member(_) | Role::Stranger if !answers.is_empty() => {
                sent = send(&connection.socket, answers, SendFlags::NOSIGNAL);
            }
            Role::Echo | Role::Member(_) | Role::Stranger => {}
        }
        if sent != Ok(answers.len()) || cut.is_close {
            return Fate::Leaves;
        }
        self.keep(descriptor, at + cut.consumed, len);
        Fate::Stays
    }

    /// Keeps `inbuf[from..to]`, if there is anything, for the next read.
    fn keep(&mut self, descriptor: usize, from: usize, to: usize) {
        let Some(connection) = &mut self.connections[descriptor] else { return };
        if from == to {
            return;
        }
        let slot = self.free_partials.pop().unwrap_or_else(|| {
            self.partials.push(Vec::new());
            (self.partials.len() - 1) as u32
        });
        self.partials[slot as usize].extend_from_slice(&self.inbuf[from..to]);
        connection.partial = slot;
    }

    /// Closes; closing takes the descriptor out of the epoll.
    fn remove(&mut self, descriptor: usize) {
        let Some(connection) = self.connections[descriptor].take() else { return };
        if let Role::Member(room) = connection.role {
            self.rooms.leave(room, descriptor as u32);
        }
        if connection.partial != NO_PARTIAL {
            self.partials[connection.partial as usize].clear();
            self.free_partials.push(connection.partial);
        }
    }
}

/// TCP_NODELAY is set here once: on Linux accepted sockets inherit it.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
