//! The admin port's listener: one request a connection, everything about a connection bounded.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::Shown;
use super::routes::router;
use crate::lifecycle::{Lifecycle, Phase};

/// Connections served at once; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may last, the slowest reader of the longest answer included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// Pause after a failed accept: the usual cause, no descriptors left, does not pass at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// A bound admin port that does not answer yet.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
}

/// The thread that answers. It ends by itself once the process is [`Phase::Stopped`].
#[derive(Debug)]
pub struct AdminThread {
    thread: JoinHandle<()>,
}

impl AdminServer {
    /// Binds the port; 0 takes a free one.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers in a thread of its own.
    pub fn start(self, shown: Shown) -> io::Result<AdminThread> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = move || {
            if let Err(error) = runtime.block_on(self.serve(shown)) {
                tracing::error!(%error, "the admin port cannot be served");
            }
        };
        Ok(AdminThread { thread: thread::Builder::new().name("admin".to_owned()).spawn(serve)? })
    }

    /// Answers until the process is [`Phase::Stopped`].
    pub async fn serve(self, shown: Shown) -> io::Result<()> {
        let lifecycle: Lifecycle = shown.lifecycle.clone();
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let router = router(shown);
        tokio::select! {
            never = accept(listener, router) => match never {},
            () = lifecycle.reached(Phase::Stopped) => Ok(()),
        }
    }
}

impl AdminThread {
    /// Waits for the thread; call once the process is [`Phase::Stopped`].
    pub fn join(self) -> thread::Result<()> {
        self.thread.join()
    }
}

async fn accept(listener: tokio::net::TcpListener, router: Router) -> Infallible {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&free).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((socket, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    serve_connection(socket, router).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin port could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn serve_connection(socket: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        // An idle scraper must not hold one of the few places a probe needs.
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}
