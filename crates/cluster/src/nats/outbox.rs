//! Messages that wait to be sent: bounded, in the order they came in, handed out in batches.
//!
//! Messages that stand next to each other and go to the same subject make one batch. What stands between them keeps its
//! place: all messages of a node arrive in the order it sent them, whatever their subjects.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::Subject;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::answer::Unavailable;

#[cfg(test)]
mod tests;

/// The queue between those who publish and the task that sends.
#[derive(Debug)]
pub(super) struct Outbox {
    bounds: Bounds,
    queue: Mutex<Queue>,
    filled: Notify,
}

/// How much it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most messages.
    pub(super) messages_max: usize,
    /// Most bytes. A message that comes to an empty queue is taken whatever its size.
    pub(super) bytes_max: usize,
}

/// Messages for one subject.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) subject: Subject,
    /// At least one.
    pub(super) messages: Vec<Bytes>,
    answers: Vec<Sender>,
}

/// What became of a message.
pub(super) type Outcome = Result<(), Unavailable>;

type Sender = oneshot::Sender<Outcome>;

#[derive(Debug, Default)]
struct Queue {
    letters: VecDeque<Letter>,
    bytes: usize,
    /// Whether a batch was handed out of which nothing has been heard.
    is_sending: bool,
}

#[derive(Debug)]
struct Letter {
    subject: Subject,
    message: Bytes,
    answer: Sender,
}

/// Most messages of a batch: their lengths are written into a header.
const BATCH_MESSAGES_MAX: usize = 256;

impl Outbox {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, queue: Mutex::default(), filled: Notify::new() }
    }

    /// Takes a message, and says where its outcome will be told. `None`: there is no room.
    pub(super) fn push(&self, subject: Subject, message: Bytes) -> Option<oneshot::Receiver<Outcome>> {
        let mut queue = self.lock();
        let bytes = queue.bytes + message.len();
        let fits = queue.letters.len() < self.bounds.messages_max && bytes <= self.bounds.bytes_max;
        if !fits && !queue.letters.is_empty() {
            return None;
        }
        let (answer, outcome) = oneshot::channel();
        queue.bytes = bytes;
        queue.letters.push_back(Letter { subject, message, answer });
        let was_empty = queue.letters.len() == 1;
        drop(queue);
        if was_empty {
            self.filled.notify_one();
        }
        Some(outcome)
    }

    /// Waits for messages. Several of them are at most `bytes_max`. For one task only.
    pub(super) async fn next(&self, bytes_max: usize) -> Batch {
        loop {
            if let Some(batch) = self.lock().batch(bytes_max) {
                return batch;
            }
            self.filled.notified().await;
        }
    }

    /// What became of the batch that was handed out last.
    pub(super) fn finish(&self, batch: Batch, outcome: Outcome) {
        self.lock().is_sending = false;
        for answer in batch.answers {
            // Whoever asked may have gone.
            let _ = answer.send(outcome);
        }
    }

    /// Whether a message that is sent past it overtakes none.
    pub(super) fn is_idle(&self) -> bool {
        let queue = self.lock();
        queue.letters.is_empty() && !queue.is_sending
    }

    /// Answers all that wait.
    pub(super) fn refuse(&self, why: Unavailable) -> usize {
        let letters = {
            let mut queue = self.lock();
            queue.bytes = 0;
            std::mem::take(&mut queue.letters)
        };
        let count = letters.len();
        for letter in letters {
            // Whoever asked may have gone.
            let _ = letter.answer.send(Err(why));
        }
        count
    }

    /// Messages that wait, and their bytes.
    pub(super) fn level(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.letters.len(), queue.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn batch(&mut self, bytes_max: usize) -> Option<Batch> {
        let first = self.letters.pop_front()?;
        let mut bytes = first.message.len();
        let mut batch =
            Batch { subject: first.subject, messages: vec![first.message], answers: vec![first.answer] };
        while let Some(next) = self.letters.front() {
            let joins = next.subject == batch.subject
                && bytes + next.message.len() <= bytes_max
                && batch.messages.len() < BATCH_MESSAGES_MAX;
            if !joins {
                break;
            }
            let next = self.letters.pop_front().expect("it was seen under the same lock");
            bytes += next.message.len();
            batch.messages.push(next.message);
            batch.answers.push(next.answer);
        }
        self.bytes -= bytes;
        self.is_sending = true;
        Some(batch)
    }
}
