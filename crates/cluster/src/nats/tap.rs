//! Takes in what comes for one subject, in place: on the task that reads the connection, with no queue in between.
//!
//! async-nats gives each subscription a queue of its own. Tasks that emptied them would lose the order between subjects,
//! which a [`Bus`](crate::Bus) promises, and could be late enough for a queue to run over. So a subscription is not
//! awaited: its waker empties the queue when it is called, which is while the connection's task puts the message in. The
//! next message is read from the connection when the receiver has this one.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker, ready};

use async_nats::client::SubscribeError;
use async_nats::{Client, Message, Subject, Subscriber};
use futures_util::Stream;
use tidegate_protocol::channel::ChannelName;
use tokio::sync::watch;
use tokio::task::unconstrained;

use crate::bus::{Loss, Mail, Receiver};

use super::stats::Counts;
use super::{envelope, interest};

/// A subscribed subject. Dropped, it is left.
pub(super) struct Tap {
    sink: Arc<Sink>,
    destination: Destination,
    wanted: AtomicBool,
    waker: Waker,
    subscriber: Mutex<Subscriber>,
}

/// Where all taps of an end lead.
pub(super) struct Sink {
    receiver: Arc<dyn Receiver>,
    counts: Arc<Counts>,
    /// The newest mark that came back.
    mark: watch::Sender<u64>,
    /// Held while messages are handed on. A subscription that is being made holds it too, from before the server can know
    /// of it until its waker is in place: a message for it that comes that early must not be passed by a later one.
    order: Mutex<()>,
    /// Whether the end was dropped.
    is_closed: AtomicBool,
}

/// What a subject's messages are.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// Publications of a channel.
    Channel(ChannelName),
    /// For this node, or for all.
    Node,
    /// This end's marks.
    Marks,
}

/// Weak: the subscription that keeps the waker is part of the tap.
struct OnMessage(Weak<Tap>);

impl Sink {
    pub(super) fn new(receiver: Arc<dyn Receiver>, counts: Arc<Counts>) -> Self {
        Self {
            receiver,
            counts,
            mark: watch::Sender::new(0),
            order: Mutex::new(()),
            is_closed: AtomicBool::new(false),
        }
    }

    pub(super) fn marks(&self) -> watch::Receiver<u64> {
        self.mark.subscribe()
    }

    /// Hands on nothing from now on. Waits for what is being handed on.
    pub(super) fn close(&self) {
        let _order = self.order();
        self.is_closed.store(true, Ordering::Release);
    }

    pub(super) fn lose(&self, loss: Loss) {
        let _order = self.order();
        if !self.is_closed.load(Ordering::Acquire) {
            self.receiver.lose(loss);
        }
    }

    fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_on(&self, destination: &Destination, message: Message) {
        if self.is_closed.load(Ordering::Acquire) {
            return;
        }
        let Some(parts) = envelope::open(message.headers.as_ref(), message.payload) else {
            self.counts.malformed.add(1);
            return;
        };
        for message in parts {
            match destination {
                Destination::Marks => self.note_mark(&message),
                Destination::Node => self.receive(Mail::Direct { message }),
                Destination::Channel(channel) => {
                    self.receive(Mail::Publication { channel: channel.clone(), message });
                }
            }
        }
    }

    fn receive(&self, mail: Mail) {
        self.counts.received.add(1);
        self.counts.received_bytes.add(mail.bytes() as u64);
        self.receiver.receive(mail);
    }

    fn note_mark(&self, message: &[u8]) {
        match message.try_into() {
            Ok(number) => {
                self.mark.send_replace(u64::from_be_bytes(number));
            }
            Err(_) => self.counts.malformed.add(1),
        }
    }
}

impl Tap {
    /// Subscribes. The server knows when a mark that was sent afterwards has come back.
    pub(super) async fn open(
        client: &Client,
        subject: Subject,
        destination: Destination,
        sink: &Arc<Sink>,
    ) -> Result<Arc<Self>, SubscribeError> {
        let mut subscribing = pin!(client.subscribe(subject));
        let mut destination = Some(destination);
        poll_fn(|cx| {
            let _order = sink.order();
            let subscriber = ready!(subscribing.as_mut().poll(cx))?;
            let destination = destination.take().expect("it is polled to its end once");
            let tap = Arc::new_cyclic(|tap| Self {
                sink: Arc::clone(sink),
                destination,
                wanted: AtomicBool::new(true),
                waker: Waker::from(Arc::new(OnMessage(Weak::clone(tap)))),
                subscriber: Mutex::new(subscriber),
            });
            tap.empty();
            Poll::Ready(Ok(tap))
        })
        .await
    }

    /// Hands on what is there, and has the waker called for what is not. The caller holds the sink's `order`.
    fn empty(&self) {
        let mut subscriber = self.subscriber.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cx = Context::from_waker(&self.waker);
        loop {
            // Unconstrained: the runtime would have a task that does much come back later, and this task is not ours.
            let next = unconstrained(poll_fn(|cx| Pin::new(&mut *subscriber).poll_next(cx)));
            match pin!(next).poll(&mut cx) {
                Poll::Ready(Some(message)) if self.wanted.load(Ordering::Acquire) => {
                    self.sink.hand_on(&self.destination, message);
                }
                Poll::Ready(Some(_)) => self.sink.counts.unwanted.add(1),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }
}

impl interest::Subject for Tap {
    fn set_wanted(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Release);
    }
}

impl Wake for OnMessage {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(tap) = self.0.upgrade() {
            let _order = tap.sink.order();
            tap.empty();
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("is_closed", &self.is_closed).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tap").field(&self.destination).finish()
    }
}
