//! What reaches a worker from outside its sockets: bounded, with one wake-up for any number of letters.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use mio::net::TcpStream;
use mio::{Token, Waker};
use tidegate_cluster::Fence;
use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::drain::SlowAddress;
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::position::{Link, Position};
use tokio::sync::oneshot;

use super::evict::Eviction;
use super::native::Answer;
use super::snapshot::ConnectionView;
use crate::broker::CaughtUp;
use crate::broker::standing::Wish;
use crate::connection::outbox::shed::Mark;
use crate::hub::directory::ChannelEntry;
use crate::spans::FanOut;

/// Letters that may wait for a worker. A sender that finds the box full keeps its letter and comes back.
const LETTERS_MAX: usize = 1024;

/// One letter.
pub(crate) enum Mail {
    /// A socket that another worker accepted.
    Adopt(TcpStream, SocketAddr),
    /// What another worker's clients published in one turn.
    Parcel(Parcel),
    /// Something published to a channel of the native dialect, from this node or another.
    Publication(Arc<ChannelEntry>, Arc<Publication>),
    /// Where the history of a channel ends: the channel may have missed something.
    Head(Arc<ChannelEntry>, Position),
    /// What a connection's session asked the outside for.
    Answer(Token, Box<Answer>),
    /// Whether the cluster has room for a connection's client of the raw dialect, or when it may have.
    Leave(Token, Result<(), Duration>),
    /// What a channel missed, as history has it.
    Repair(Arc<ChannelEntry>, Box<Result<CaughtUp, ErrorBody>>),
    /// What the outside wants of a connection's session.
    Order(Token, Order),
    /// Close every connection that showed this token, and say how many there were.
    CloseToken { token: Arc<str>, close: Close, reply: oneshot::Sender<u32> },
    /// Tell the broker what the sessions hold.
    Standing(Wish),
    /// Say how late the loop is: the letter is from then.
    Probe(Instant),
    /// Send some clients away.
    Evict(Eviction),
    /// Send nobody away any more.
    Spare,
    /// Take no new clients: the port is closed.
    CloseDoor,
    /// Stop accepting and send every client away.
    Drain,
    /// Drop what is left and end.
    Stop,
    /// Name the addresses that hold handshakes open, most first.
    Handshakes(oneshot::Sender<Vec<SlowAddress>>),
    /// Describe up to `limit` connections.
    Describe { limit: usize, reply: oneshot::Sender<Vec<ConnectionView>> },
}

/// One object for the subscribers of a channel.
#[derive(Debug)]
pub(crate) struct Publication {
    /// Its place in the channel's history, if it has one.
    pub(crate) position: Option<Position>,
    /// Its tie to the one before it, where the store may be set back.
    pub(crate) link: Option<Link>,
    /// What its `conflate` value is known by; 0: it has none.
    pub(crate) conflate: u64,
    pub(crate) object: Arc<[u8]>,
    /// Its delivery on this node, if that is traced.
    pub(crate) fan_out: FanOut,
}

impl Publication {
    /// One that stands in no history.
    pub(crate) fn of(object: Arc<[u8]>) -> Self {
        Self { position: None, link: None, conflate: 0, object, fan_out: FanOut::default() }
    }
}

/// Something that a session is told from outside its connection.
#[derive(Debug)]
pub(crate) enum Order {
    /// An object to pass on to the client.
    Deliver(Arc<[u8]>),
    Subscribe(ChannelName),
    Unsubscribe(ChannelName),
    /// Tell the broker all of it, for a store that lacks something; these channels it was told of, and they were left.
    Restate {
        left: Vec<ChannelName>,
    },
    Close(Close),
}

/// An order to close a connection.
#[derive(Clone, Debug)]
pub(crate) struct Close {
    pub(crate) cause: CloseCause,
    /// Means only a connection that owns its session under a fence below this one.
    pub(crate) below: Option<Fence>,
    /// A close code of the application's own.
    pub(crate) code: Option<u16>,
    /// The reason that goes with it.
    pub(crate) reason: Option<Arc<str>>,
}

impl Close {
    /// The session belongs to another connection, under this fence.
    pub(crate) fn taken_over(fence: Fence) -> Self {
        Self { cause: CloseCause::TakenOver, below: Some(fence), code: None, reason: None }
    }
}

/// The mailboxes of all workers of a node; filled once, before the first of them runs.
pub(crate) type SharedPosts = Arc<OnceLock<Vec<Post>>>;

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
    /// One mark a frame, where frames may be left out for a slow reader; their channel is the sender's.
    pub(crate) marks: Box<[Mark]>,
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
