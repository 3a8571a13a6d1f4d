//! The way from the workers to the HTTP server: bounded, and never waited for.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::net::transport::Transport;

/// A connection that turned out to speak HTTP.
#[derive(Debug)]
pub(crate) struct Handover {
    /// Deregistered from the worker's event loop; a TLS handshake is over.
    pub transport: Transport,
    /// Plaintext that was already read: from the first byte of the request on.
    pub prefix: Vec<u8>,
    /// The client.
    pub peer: SocketAddr,
}

/// A worker's end of the way. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct HttpDoor {
    sender: mpsc::Sender<Admitted>,
    /// One permit for each connection that is on its way or being served.
    slots: Arc<Semaphore>,
}

/// A handover with the slot it occupies until it is answered.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) handover: Handover,
    pub(super) slot: OwnedSemaphorePermit,
}

impl HttpDoor {
    /// A way for at most `connections_max` simultaneous connections, with its far end.
    pub(super) fn new(connections_max: usize) -> (Self, mpsc::Receiver<Admitted>) {
        // The slots bound what can be queued, so a send into as many places always fits.
        let (sender, receiver) = mpsc::channel(connections_max);
        (Self { sender, slots: Arc::new(Semaphore::new(connections_max)) }, receiver)
    }

    /// Gives the connection away, or back if as many as allowed are being served (or the server has stopped): the
    /// worker answers 503 then.
    pub(crate) fn try_handover(&self, handover: Handover) -> Result<(), Handover> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return Err(handover);
        };
        self.sender.try_send(Admitted { handover, slot }).map_err(|refused| refused.into_inner().handover)
    }

    /// How many connections are on their way or being served.
    pub(crate) fn in_use(&self) -> usize {
        self.sender.max_capacity() - self.slots.available_permits()
    }
}
