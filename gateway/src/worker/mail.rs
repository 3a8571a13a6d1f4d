//! What reaches a worker from outside its sockets: bounded, with one wake-up for any number of letters.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use mio::Waker;
use mio::net::TcpStream;
use tokio::sync::oneshot;

use super::snapshot::ConnectionView;
use crate::hub::directory::ChannelEntry;

/// Letters that may wait for a worker. A sender that finds the box full keeps its letter and comes back.
const LETTERS_MAX: usize = 1024;

/// One letter.
pub(crate) enum Mail {
    /// A socket that another worker accepted.
    Adopt(TcpStream, SocketAddr),
    /// What another worker's clients published in one turn.
    Parcel(Parcel),
    /// Stop accepting and send every client away.
    Drain,
    /// Drop what is left and end.
    Stop,
    /// Describe up to `limit` connections.
    Describe { limit: usize, reply: oneshot::Sender<Vec<ConnectionView>> },
}

/// Encoded frames for channels that the receiving worker has members of.
#[derive(Clone)]
pub(crate) struct Parcel {
    pub(crate) frames: Arc<[u8]>,
    pub(crate) runs: Vec<ParcelRun>,
}

/// The part of a parcel that is for one channel.
#[derive(Clone)]
pub(crate) struct ParcelRun {
    pub(crate) channel: Arc<ChannelEntry>,
    pub(crate) bytes: Range<usize>,
    pub(crate) messages: u32,
}

/// The sending end of a worker's mailbox.
#[derive(Clone)]
pub(crate) struct Post {
    letters: Sender<Mail>,
    bell: Arc<Bell>,
}

/// Wakes the worker at most once between two times that it looks.
struct Bell {
    waker: Waker,
    rung: AtomicBool,
}

/// A worker's end.
pub(crate) struct Mailbox {
    letters: Receiver<Mail>,
    bell: Arc<Bell>,
}

/// A mailbox whose wake-ups come as events of `waker`.
pub(crate) fn mailbox(waker: Waker) -> (Post, Mailbox) {
    let (sender, receiver) = crossbeam_channel::bounded(LETTERS_MAX);
    let bell = Arc::new(Bell { waker, rung: AtomicBool::new(false) });
    (Post { letters: sender, bell: Arc::clone(&bell) }, Mailbox { letters: receiver, bell })
}

impl Post {
    /// Leaves a letter and wakes the worker if nobody has.
    ///
    /// # Errors
    ///
    /// The letter itself, when the box is full or the worker has ended.
    pub(crate) fn try_send(&self, mail: Mail) -> Result<(), Mail> {
        self.letters.try_send(mail).map_err(|error| match error {
            TrySendError::Full(mail) | TrySendError::Disconnected(mail) => mail,
        })?;
        if !self.bell.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the worker's event loop is gone, and then nobody waits for the letter.
            let _ = self.bell.waker.wake();
        }
        Ok(())
    }
}

impl Mailbox {
    /// Lets the next letter ring again. To be called before the letters are read, or one that comes in between would
    /// wait for the one after it.
    pub(crate) fn hush(&self) {
        self.bell.rung.store(false, Ordering::Release);
    }

    pub(crate) fn try_next(&self) -> Option<Mail> {
        self.letters.try_recv().ok()
    }
}
