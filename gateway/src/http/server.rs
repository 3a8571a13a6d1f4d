//! Serves the connections that workers hand over: one request each, under one deadline.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::door::Admitted;
use super::router::{Pages, router};
use super::stream::HttpStream;
use super::{Handover, HttpDoor};

/// Bytes of a request's body that are read and thrown away so that the client gets to see its answer.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How long plain HTTP connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpDeadlines {
    /// From handover until the answer is written and the client has closed.
    pub exchange: Duration,
    /// Within that: from the end of the answer until the client has closed.
    pub linger: Duration,
    /// At the end of the process: until all answers have been written.
    pub stop: Duration,
}

impl Default for HttpDeadlines {
    fn default() -> Self {
        Self {
            exchange: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            stop: Duration::from_secs(5),
        }
    }
}

/// The far end of [`HttpDoor`]: what runs on the tokio side.
///
/// Each connection carries one request: every answer says `Connection: close`. A second request could be an upgrade,
/// and that has to arrive on a connection of its own, at a worker; nothing served here is fetched often enough to miss
/// keep-alive.
#[derive(Debug)]
pub(crate) struct HttpServer {
    handovers: mpsc::Receiver<Admitted>,
    router: Router,
    deadlines: HttpDeadlines,
}

impl HttpServer {
    /// A server for at most `connections_max` simultaneous connections, and the door to it.
    pub(crate) fn new(pages: Pages, connections_max: usize, deadlines: HttpDeadlines) -> (HttpDoor, Self) {
        let (door, handovers) = HttpDoor::new(connections_max);
        (door, Self { handovers, router: router(pages), deadlines })
    }

    /// Serves until `stop` resolves, then refuses handovers, answers those already made and returns, after
    /// [`HttpDeadlines::stop`] at the latest. Needs a tokio runtime with network and time.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut exchanges = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                admitted = self.handovers.recv() => match admitted {
                    Some(admitted) => self.start(&mut exchanges, admitted),
                    None => break,
                },
                Some(_ended) = exchanges.join_next() => {}
                () = &mut stop => break,
            }
        }
        self.handovers.close();
        while let Ok(admitted) = self.handovers.try_recv() {
            self.start(&mut exchanges, admitted);
        }
        // Dropping the set ends those that did not make it.
        let _all_or_late =
            timeout(self.deadlines.stop, async { while exchanges.join_next().await.is_some() {} }).await;
    }

    fn start(&self, exchanges: &mut JoinSet<()>, admitted: Admitted) {
        let Admitted { handover, slot } = admitted;
        let (router, deadlines) = (self.router.clone(), self.deadlines);
        exchanges.spawn(async move {
            let peer = handover.peer;
            match timeout(deadlines.exchange, exchange(handover, router, deadlines)).await {
                Ok(Ok(())) => {}
                // The client's doing, all of these: gone, too slow, or not speaking HTTP after all.
                Ok(Err(error)) => tracing::debug!(%peer, %error, "plain HTTP exchange failed"),
                Err(_elapsed) => tracing::debug!(%peer, "plain HTTP exchange took too long"),
            }
            drop(slot);
        });
    }
}

/// One request, one answer, and a close that lets the answer arrive.
async fn exchange(handover: Handover, router: Router, deadlines: HttpDeadlines) -> io::Result<()> {
    let mut stream = HttpStream::new(handover)?;
    // Lent, not given: the stream is needed once more after hyper has written the answer and ended our direction.
    http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(deadlines.exchange)
        .serve_connection(TokioIo::new(&mut stream), TowerToHyperService::new(router))
        .await
        .map_err(io::Error::other)?;

    // Closing a socket with unread bytes (a body nobody asked for) resets the connection, and a reset can overtake the
    // answer: read until the client ends its direction, too.
    let _read_or_late = timeout(deadlines.linger, discard(&mut stream)).await;
    Ok(())
}

async fn discard(stream: &mut HttpStream) -> io::Result<()> {
    let mut scrap = [0; 4096];
    let mut left = LINGER_BYTES_MAX;
    while left > 0 {
        match stream.read(&mut scrap).await? {
            0 => break,
            n => left = left.saturating_sub(n),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
