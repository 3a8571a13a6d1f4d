//! An API port's listener: connections are kept for further requests, and everything about one is bounded.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections served at once; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1024;

/// How long a client may take to send a request's head, the silence since its last request included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a client may take to come through what lies below HTTP, such as a TLS handshake.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take none of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// After the last answer: how long, and for how many bytes, a client is listened to so that the answer gets through.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1 << 20;

/// At the end of the process: how long requests in progress may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// Pause after a failed accept: the usual cause, no descriptors left, does not pass at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// A bound API port that does not answer yet.
#[derive(Debug)]
pub struct ApiServer {
    listener: TcpListener,
    address: SocketAddr,
}

/// What lies below HTTP on each connection, such as TLS.
pub trait Transport: Clone + Send + Sync + 'static {
    /// What HTTP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin;
    /// What is known of the peer from then on: handlers find it as an extension of their requests.
    type Peer: Clone + Send + Sync + 'static;

    /// Makes a connection of an accepted socket; it is given 10 s.
    fn open(&self, socket: TcpStream) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
}

/// HTTP right on the socket.
#[derive(Clone, Copy, Debug)]
struct Plain;

impl Transport for Plain {
    type Stream = TcpStream;
    type Peer = ();

    async fn open(&self, socket: TcpStream) -> io::Result<(TcpStream, ())> {
        Ok((socket, ()))
    }
}

impl ApiServer {
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

    /// Serves until `stop` resolves, then answers what has begun and returns, after 5 s at the latest. Handlers find the
    /// caller's address as [`ConnectInfo`]. Needs a tokio runtime with network and time.
    pub async fn run(self, router: Router, stop: impl Future<Output = ()>) -> io::Result<()> {
        self.run_over(Plain, router, stop).await
    }

    /// As [`ApiServer::run`], over something else than the bare socket.
    pub async fn run_over(
        self,
        transport: impl Transport,
        router: Router,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let (stopping, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        tokio::select! {
            never = accept(listener, &transport, &router, &stopped, &mut connections) => match never {},
            () = stop => {}
        }
        drop(stopping);
        // Dropping the set ends those that did not make it.
        let _all_or_late =
            timeout(STOP_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
        Ok(())
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    transport: &impl Transport,
    router: &Router,
    stopped: &watch::Receiver<()>,
    connections: &mut JoinSet<()>,
) -> Infallible {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Those that have ended are forgotten here.
        while connections.try_join_next().is_some() {}
        let permit = Arc::clone(&free).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((socket, peer)) => {
                let (transport, router, stopped) = (transport.clone(), router.clone(), stopped.clone());
                connections.spawn(async move {
                    // Both are improvements only: a socket that refuses them is already gone.
                    let _ = socket.set_nodelay(true);
                    let _ = SockRef::from(&socket).set_tcp_user_timeout(Some(WRITE_TIMEOUT));
                    match timeout(OPEN_TIMEOUT, transport.open(socket)).await {
                        Ok(Ok((stream, known))) => {
                            serve_connection(stream, peer, known, router, stopped).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "an API connection was not opened"),
                        Err(_late) => tracing::debug!("an API connection was not opened in time"),
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the API port could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn serve_connection(
    mut socket: impl AsyncRead + AsyncWrite + Send + Unpin,
    peer: SocketAddr,
    known: impl Clone + Send + Sync + 'static,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(known.clone());
        router.call(request)
    });
    // Lent, not given: the socket is needed once more after hyper has ended our direction.
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(&mut socket), service)
    );
    let served = tokio::select! {
        served = connection.as_mut() => served,
        // The sender says nothing, it goes.
        _gone = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an API connection failed");
        return;
    }
    // Closing a socket with unread bytes (a body that was refused) resets the connection, and a reset can overtake the
    // answer: read until the client ends its direction, too.
    let _read_or_late = timeout(LINGER, discard(&mut socket)).await;
}

async fn discard(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut scrap = [0; 4096];
    let mut left = LINGER_BYTES_MAX;
    while left > 0 {
        match socket.read(&mut scrap).await? {
            0 => break,
            n => left = left.saturating_sub(n),
        }
    }
    Ok(())
}
