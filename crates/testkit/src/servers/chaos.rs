//! A TCP proxy whose links can be cut, one way or both, slowed down, and healed.
//!
//! A cut loses nothing: as when packets are dropped, what was written stays with its sender, and gets through once the
//! link is whole again. Only [`ChaosProxy::reset`] ends connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// A proxy on a free port of 127.0.0.1. Dropped, it closes all connections.
pub struct ChaosProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    faults: Mutex<Faults>,
    changed: Condvar,
    upstream_bytes: AtomicU64,
    downstream_bytes: AtomicU64,
    is_stopped: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

/// What is wrong with the links.
#[derive(Clone, Copy, Default)]
struct Faults {
    upstream_cut: bool,
    downstream_cut: bool,
    delay: Duration,
    bytes_per_second: Option<u64>,
}

/// Which way bytes go.
#[derive(Clone, Copy)]
enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Bytes on their way, and when they came in.
struct Chunk {
    bytes: Vec<u8>,
    since: Instant,
}

/// Small enough for a throttled link to trickle.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks under way on a link that is delayed; one that is cut takes no more than these and what the system buffers.
const CHUNKS_MAX: usize = 256;

impl ChaosProxy {
    /// Listens, and connects each client to `server`.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    #[track_caller]
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server,
            faults: Mutex::default(),
            changed: Condvar::new(),
            upstream_bytes: AtomicU64::new(0),
            downstream_bytes: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared }
    }

    /// Starts one in front of a port of 127.0.0.1.
    #[track_caller]
    pub fn before(port: u16) -> Self {
        Self::start((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through, neither way. Connections can still be made, and stay silent.
    pub fn cut(&self) {
        self.change(|faults| (faults.upstream_cut, faults.downstream_cut) = (true, true));
    }

    /// Lets nothing through from clients to the server.
    pub fn cut_upstream(&self) {
        self.change(|faults| faults.upstream_cut = true);
    }

    /// Lets nothing through from the server to clients.
    pub fn cut_downstream(&self) {
        self.change(|faults| faults.downstream_cut = true);
    }

    /// Keeps everything for this long, each way, without limiting how much is under way.
    pub fn delay(&self, delay: Duration) {
        self.change(|faults| faults.delay = delay);
    }

    /// Lets so many bytes a second through, each way and connection.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.change(|faults| faults.bytes_per_second = Some(bytes_per_second.max(1)));
    }

    /// Ends every connection that there is; new ones can be made.
    pub fn reset(&self) {
        for connection in self.shared.connections().drain(..) {
            // One that has ended already needs nothing more.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Makes all links whole and quick again. What was held back comes through.
    pub fn heal(&self) {
        self.change(|faults| *faults = Faults::default());
    }

    /// Bytes that went from clients to the server.
    pub fn upstream_bytes(&self) -> u64 {
        self.shared.upstream_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that went from the server to clients.
    pub fn downstream_bytes(&self) -> u64 {
        self.shared.downstream_bytes.load(Ordering::Relaxed)
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.faults());
        self.shared.changed.notify_all();
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        self.heal();
        self.reset();
        // Wakes the thread that accepts, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a chunk may go on, and says how many bytes a second may.
    fn wait(&self, way: Way, since: Instant) -> Option<u64> {
        let mut faults = self.faults();
        loop {
            let early = faults.delay.saturating_sub(since.elapsed());
            faults = if faults.is_cut(way) {
                self.changed.wait(faults).unwrap_or_else(PoisonError::into_inner)
            } else if !early.is_zero() {
                self.changed.wait_timeout(faults, early).unwrap_or_else(PoisonError::into_inner).0
            } else {
                return faults.bytes_per_second;
            };
        }
    }
}

impl Faults {
    fn is_cut(&self, way: Way) -> bool {
        match way {
            Way::Up => self.upstream_cut,
            Way::Down => self.downstream_cut,
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.is_stopped.load(Ordering::SeqCst) {
            return;
        }
        // A server that is not there is no connection for the client, but one that ends at once.
        let Ok(server) = TcpStream::connect(shared.server) else { continue };
        if let Err(error) = connect(&client, &server, shared) {
            panic!("a proxied connection could not be set up: {error}");
        }
    }
}

fn connect(client: &TcpStream, server: &TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    for stream in [client, server] {
        stream.set_nodelay(true)?;
        shared.connections().push(stream.try_clone()?);
    }
    for (way, from, to) in [(Way::Up, client, server), (Way::Down, server, client)] {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (put, take) = sync_channel(CHUNKS_MAX);
        let shared = Arc::clone(shared);
        thread::spawn(move || read(from, &put));
        thread::spawn(move || write(to, &take, way, &shared));
    }
    Ok(())
}

fn read(mut from: TcpStream, put: &SyncSender<Chunk>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let chunk = Chunk { bytes: buffer[..count].to_vec(), since: Instant::now() };
        if put.send(chunk).is_err() {
            return;
        }
    }
}

fn write(mut to: TcpStream, take: &Receiver<Chunk>, way: Way, shared: &Shared) {
    for Chunk { bytes, since } in take {
        let bytes_per_second = shared.wait(way, since);
        if to.write_all(&bytes).is_err() {
            // The reader finds out with its next chunk, or from the other side's end.
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
        let counter = match way {
            Way::Up => &shared.upstream_bytes,
            Way::Down => &shared.downstream_bytes,
        };
        counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if let Some(bytes_per_second) = bytes_per_second {
            thread::sleep(Duration::from_secs(1).mul_f64(bytes.len() as f64 / bytes_per_second as f64));
        }
    }
    // The other side has said its last word. A cut link does not pass on even that.
    shared.wait(way, Instant::now());
    let _ = to.shutdown(Shutdown::Write);
}
