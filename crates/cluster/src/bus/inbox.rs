//! A bounded queue between the bus and the thread that works on what comes in.
//!
//! What does not fit is dropped, and the taker is told which channels to compare with their history. One wake-up covers
//! everything that came since the last take.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_protocol::channel::ChannelName;

use super::{Loss, Mail, Receiver};

#[cfg(test)]
mod tests;

/// Mail for one node, until its thread takes it.
pub struct Inbox {
    config: InboxConfig,
    queue: Mutex<Queue>,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// The bounds of an [`Inbox`].
#[derive(Clone, Copy, Debug)]
pub struct InboxConfig {
    /// Most messages.
    pub messages_max: usize,
    /// Most bytes of messages. One that comes to an empty inbox is taken whatever its size.
    pub bytes_max: usize,
    /// Most channels named in [`Losses`]; beyond, all of them count as incomplete.
    pub channels_max: usize,
}

/// What an [`Inbox`] holds now and has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InboxStats {
    /// Messages that wait.
    pub messages: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// Messages that came in and fitted.
    pub received_total: u64,
    /// Messages dropped for lack of room.
    pub overflowed_total: u64,
    /// Times the bus said that it lost something on the way here.
    pub lost_total: u64,
}

/// What the taker has missed since the last take.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Losses {
    /// Channels with publications missing.
    pub channels: BTreeSet<ChannelName>,
    /// Which channels it were is not known: all of them may have some missing, and so may the direct messages.
    pub unknown: bool,
    /// Direct messages dropped here.
    pub direct: u64,
}

#[derive(Debug, Default)]
struct Queue {
    mail: VecDeque<Mail>,
    losses: Losses,
    stats: InboxStats,
}

impl Inbox {
    /// An empty inbox. `wake` is called when there is something after there was nothing, by the thread that brought it:
    /// it only wakes the taker.
    pub fn new(config: InboxConfig, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { config, queue: Mutex::default(), wake: Box::new(wake) }
    }

    /// Moves the oldest messages, at most `messages_max`, to the end of `mail`. Says what is missing from the stream since
    /// the last take. Whoever leaves some behind comes back for them without being woken.
    pub fn take(&self, messages_max: usize, mail: &mut Vec<Mail>) -> Losses {
        let mut queue = self.lock();
        let count = messages_max.min(queue.mail.len());
        let start = mail.len();
        mail.extend(queue.mail.drain(..count));
        queue.stats.bytes -= mail[start..].iter().map(Mail::bytes).sum::<usize>();
        mem::take(&mut queue.losses)
    }

    /// What it holds and has done.
    pub fn stats(&self) -> InboxStats {
        let queue = self.lock();
        InboxStats { messages: queue.mail.len(), ..queue.stats }
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        let was_empty = queue.is_empty();
        change(&mut queue);
        let is_news = was_empty && !queue.is_empty();
        drop(queue);
        if is_news {
            (self.wake)();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver for Inbox {
    fn receive(&self, mail: Mail) {
        self.change(|queue| queue.push(mail, &self.config));
    }

    fn lose(&self, loss: Loss) {
        self.change(|queue| {
            queue.stats.lost_total += 1;
            queue.losses.add(loss, self.config.channels_max);
        });
    }
}

impl Losses {
    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && !self.unknown && self.direct == 0
    }

    fn add(&mut self, loss: Loss, channels_max: usize) {
        match loss {
            Loss::Unknown => self.unknown = true,
            Loss::Channel(channel) => {
                self.channels.insert(channel);
                if self.channels.len() > channels_max {
                    self.channels.clear();
                    self.unknown = true;
                }
            }
        }
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.mail.is_empty() && self.losses.is_empty()
    }

    fn push(&mut self, mail: Mail, config: &InboxConfig) {
        let bytes = self.stats.bytes + mail.bytes();
        let fits = self.mail.len() < config.messages_max && bytes <= config.bytes_max;
        if fits || self.mail.is_empty() {
            self.stats.bytes = bytes;
            self.stats.received_total += 1;
            self.mail.push_back(mail);
            return;
        }
        self.stats.overflowed_total += 1;
        match mail {
            Mail::Publication { channel, .. } => self.losses.add(Loss::Channel(channel), config.channels_max),
            Mail::Direct { .. } => self.losses.direct += 1,
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("config", &self.config).field("stats", &self.stats()).finish()
    }
}
