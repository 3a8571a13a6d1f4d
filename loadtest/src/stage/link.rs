//! One TCP link through our own hands: it can be cut, held, delayed, throttled, and made to lose and reset.
//!
//! Place in the data path: between a node and its server, or between clients and a node. Two threads for each direction of each
//! connection: one reads and notes when the bytes may go on, the other waits for that and writes. So a delay does not slow the
//! stream down.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::fault::{Direction, Weather};
use crate::random::Random;

/// A listener whose connections lead elsewhere. It listens until the program ends.
#[derive(Clone, Debug)]
pub(super) struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The weather is another one, or a connection has ended.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    weather: Option<Weather>,
    /// Both sockets of every connection that may be open.
    sockets: Vec<(u64, TcpStream, TcpStream)>,
    accepted: u64,
    random: Random,
}

/// One read.
struct Chunk {
    due_at: Instant,
    bytes: Vec<u8>,
}

/// Most connections of one link: each has four threads.
const CONNECTIONS_MAX: usize = 2_000;
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks on their way, each direction: with 16 KiB each more than a delay of a second takes.
const CHUNKS_MAX: usize = 1_024;
/// How long TCP takes at least to notice that a packet was lost, where nothing follows it (Linux: `TCP_RTO_MIN`).
const RETRANSMISSION: Duration = Duration::from_millis(200);

impl Link {
    /// Listens on a free port of 127.0.0.1; what connects there is connected to `target`.
    pub(super) fn open(target: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let state =
            State { target, weather: None, sockets: Vec::new(), accepted: 0, random: Random::new(seed) };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let link = Self { address: listener.local_addr()?, shared };
        let of_thread = Arc::clone(&link.shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A target that does not listen, or too many connections: the client sees an end.
                let _ = join(&of_thread, client);
            }
        });
        Ok(link)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on; `None`: bytes go through as they come.
    pub(super) fn set_weather(&self, weather: Option<Weather>) {
        let mut state = self.shared.lock();
        state.weather = weather;
        if weather == Some(Weather::Cut) {
            state.end_all();
        }
        self.shared.changed.notify_all();
    }

    /// New connections lead there; those that lead elsewhere end.
    pub(super) fn lead_to(&self, target: SocketAddr) {
        let mut state = self.shared.lock();
        state.target = target;
        state.end_all();
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No thread panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end_all(&mut self) {
        for (_, client, server) in self.sockets.drain(..) {
            end(&client, &server);
        }
    }
}

/// Both sides see an end of stream. Fails only where there is none to see it.
fn end(client: &TcpStream, server: &TcpStream) {
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn join(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    let target = {
        let state = shared.lock();
        if state.weather == Some(Weather::Cut) || state.sockets.len() >= CONNECTIONS_MAX {
            return Ok(());
        }
        state.target
    };
    let server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let number = {
        let mut state = shared.lock();
        state.accepted += 1;
        let number = state.accepted;
        state.sockets.push((number, client.try_clone()?, server.try_clone()?));
        number
    };
    for (direction, from, to) in
        [(Direction::Out, client.try_clone()?, server.try_clone()?), (Direction::In, server, client)]
    {
        let (sender, receiver) = sync_channel(CHUNKS_MAX);
        let (reading, writing) = (Arc::clone(shared), Arc::clone(shared));
        thread::spawn(move || read(&reading, number, from, &sender));
        thread::spawn(move || write(&writing, number, direction, to, &receiver));
    }
    Ok(())
}

fn read(shared: &Shared, number: u64, mut from: TcpStream, chunks: &SyncSender<Chunk>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut delay = Duration::ZERO;
        {
            let mut state = shared.lock();
            let weather = state.weather;
            match weather {
                Some(Weather::Delay(by)) => delay = by,
                Some(Weather::Loss { percent }) if state.random.hits(percent) => delay = RETRANSMISSION,
                Some(Weather::Reset { percent }) if state.random.hits(percent) => {
                    return forget(state, number);
                }
                Some(_) | None => {}
            }
        }
        let chunk = Chunk { due_at: Instant::now() + delay, bytes: buffer[..count].to_vec() };
        if chunks.send(chunk).is_err() {
            return;
        }
    }
}

fn write(shared: &Shared, number: u64, direction: Direction, mut to: TcpStream, chunks: &Receiver<Chunk>) {
    for chunk in chunks {
        thread::sleep(chunk.due_at.saturating_duration_since(Instant::now()));
        let Some(pause) = pass(shared, number, direction, chunk.bytes.len()) else { return };
        thread::sleep(pause);
        if to.write_all(&chunk.bytes).is_err() {
            return forget(shared.lock(), number);
        }
    }
    // The other end has said its last word; a held link keeps that back too.
    if pass(shared, number, direction, 0).is_some() {
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// Waits until bytes may go this way. Says how long they take; `None`: the connection is gone.
fn pass(shared: &Shared, number: u64, direction: Direction, bytes: usize) -> Option<Duration> {
    let mut state = shared.lock();
    loop {
        if !state.sockets.iter().any(|(own, ..)| *own == number) {
            return None;
        }
        match state.weather {
            Some(Weather::Hold(held)) if held == Direction::Both || held == direction => {
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            Some(Weather::Throttle(per_second)) => {
                let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(per_second);
                return Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)));
            }
            Some(_) | None => return Some(Duration::ZERO),
        }
    }
}

fn forget(mut state: MutexGuard<'_, State>, number: u64) {
    if let Some(at) = state.sockets.iter().position(|(own, ..)| *own == number) {
        let (_, client, server) = state.sockets.swap_remove(at);
        end(&client, &server);
    }
}

#[cfg(test)]
mod tests;
