//! The loop that drives a worker: poll, turn, again.
//!
//! It is all that knows of waiting. The measured alternative, the same worker inside a tokio runtime, differs in this file
//! only (docs/decisions/0003).

use std::io;
use std::sync::Arc;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Waker};

use super::mail::{Mailbox, Post, mailbox};
use super::{LISTENER, MAIL, TURN, Worker};
use crate::node::Node;

/// A worker's event loop before its thread runs.
pub(crate) struct Driver {
    poll: Poll,
    mailbox: Mailbox,
    listener: TcpListener,
}

impl Driver {
    /// Makes the event loop and the mailbox through which the worker can be reached.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    pub(crate) fn new(mut listener: TcpListener) -> io::Result<(Self, Post)> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (post, mailbox) = mailbox(Waker::new(poll.registry(), MAIL)?);
        Ok((Self { poll, mailbox, listener }, post))
    }

    /// Runs the worker on this thread until it is drained or stopped.
    ///
    /// # Errors
    ///
    /// When polling fails for another reason than a signal: the worker cannot go on.
    pub(crate) fn run(self, index: usize, node: Arc<Node>) -> io::Result<()> {
        // What a worker begins and cannot finish at once, such as a timer, belongs to the runtime.
        let runtime = node.runtime.clone();
        let _runtime = runtime.enter();
        let (mut poll, mut worker) = self.into_worker(index, node)?;
        let mut events = Events::with_capacity(TURN);
        while !worker.is_finished() {
            match poll.poll(&mut events, Some(worker.patience())) {
                Ok(()) => worker.turn(&events),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The worker and what it waits on. Its buffers stay on the thread that calls this.
    pub(super) fn into_worker(self, index: usize, node: Arc<Node>) -> io::Result<(Poll, Worker)> {
        let registry = self.poll.registry().try_clone()?;
        Ok((self.poll, Worker::new(index, node, registry, self.listener, self.mailbox)))
    }
}
