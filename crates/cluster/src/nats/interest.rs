//! Which channels this node listens to: what is asked for, what the server knows of, and what is about to be left.
//!
//! A table behind a lock, without waiting: the end of the bus changes it when asked, and the link's task brings the server
//! to what it says. A channel that nobody wants stays for a linger, so that one that comes and goes costs the server
//! nothing; when room is needed, those go first.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_protocol::channel::{Channel, ChannelName};
use tokio::sync::oneshot;

use super::outbox::Outcome;
use crate::answer::{Part, Unavailable};

#[cfg(test)]
mod tests;

/// The table, over what stands for a subscribed subject: a `Tap`, but in tests.
#[derive(Debug)]
pub(super) struct Interest<T> {
    channels_max: usize,
    linger: Duration,
    table: Mutex<Table<T>>,
}

/// What a subject can do for the table.
pub(super) trait Subject {
    /// Whether its messages are handed on.
    fn set_wanted(&self, wanted: bool);
}

/// What there is to say to someone who subscribes.
#[derive(Debug)]
pub(super) enum Subscribed {
    /// The server knows already.
    Already,
    /// It has to be told, which is the link's work.
    Soon(oneshot::Receiver<Outcome>),
}

/// A channel that someone waits for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) channel: ChannelName,
    /// Whether it is subscribed, and only a mark is missing.
    pub(super) has_subject: bool,
}

#[derive(Debug)]
struct Table<T> {
    entries: HashMap<ChannelName, Entry<T>>,
    /// Channels that someone waits for. Some are here twice, some have been left since.
    asked: VecDeque<ChannelName>,
    /// Channels that were left, the one to go first in front: each at most once, with the time to look at it again.
    leaving: VecDeque<(Instant, ChannelName)>,
}

#[derive(Debug)]
struct Entry<T> {
    subject: Option<Arc<T>>,
    /// Whether a mark has come back that was sent after it.
    confirmed: bool,
    /// Since when nobody wants it.
    unwanted_since: Option<Instant>,
    is_leaving: bool,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

impl<T: Subject> Interest<T> {
    pub(super) fn new(channels_max: usize, linger: Duration) -> Self {
        let table = Table { entries: HashMap::new(), asked: VecDeque::new(), leaving: VecDeque::new() };
        Self { channels_max, linger, table: Mutex::new(table) }
    }

    /// Wants a channel.
    pub(super) fn subscribe(&self, channel: &Channel<'_>) -> Result<Subscribed, Unavailable> {
        let mut table = self.lock();
        let table = &mut *table;
        if !table.entries.contains_key(channel.as_str()) {
            if table.entries.len() >= self.channels_max && !table.leave_one() {
                return Err(Part::Bus.full());
            }
            table.entries.insert(channel.into(), Entry::new());
        }
        let entry = table.entries.get_mut(channel.as_str()).expect("it is there by now");
        entry.unwanted_since = None;
        if let Some(subject) = &entry.subject {
            subject.set_wanted(true);
            if entry.confirmed {
                return Ok(Subscribed::Already);
            }
        }
        if table.asked.len() >= self.channels_max {
            return Err(Part::Bus.full());
        }
        let (answer, outcome) = oneshot::channel();
        entry.waiting.push(answer);
        table.asked.push_back(channel.into());
        Ok(Subscribed::Soon(outcome))
    }

    /// Wants a channel no more.
    pub(super) fn unsubscribe(&self, channel: &str, now: Instant) {
        self.lock().unwant(channel, now, self.linger);
    }

    /// Takes what someone waits for, at most `max`, each channel once.
    pub(super) fn take_asked(&self, max: usize) -> Vec<Asked> {
        let mut table = self.lock();
        let count = max.min(table.asked.len());
        let mut asked: Vec<_> = table.asked.drain(..count).collect();
        asked.sort_unstable();
        asked.dedup();
        let mut taken = Vec::with_capacity(asked.len());
        for channel in asked {
            if let Some(entry) = table.entries.get(&channel) {
                taken.push(Asked { has_subject: entry.subject.is_some(), channel });
            }
        }
        taken
    }

    /// Whether someone waits for what was not taken yet.
    pub(super) fn has_asked(&self) -> bool {
        !self.lock().asked.is_empty()
    }

    /// Keeps the subject of a channel. Nobody may want it any more.
    pub(super) fn keep(&self, channel: &ChannelName, subject: Arc<T>) {
        let mut table = self.lock();
        if let Some(entry) = table.entries.get_mut(channel) {
            subject.set_wanted(entry.unwanted_since.is_none());
            entry.subject = Some(subject);
        }
    }

    /// The server knows of these.
    pub(super) fn confirm(&self, asked: &[Asked]) {
        let mut table = self.lock();
        for Asked { channel, .. } in asked {
            let Some(entry) = table.entries.get_mut(channel) else { continue };
            if entry.subject.is_some() {
                entry.confirmed = true;
                entry.answer(Ok(()));
            }
        }
    }

    /// Nothing comes of these, nor of what was not taken yet. They are left like channels that nobody wants.
    pub(super) fn refuse(&self, asked: &[Asked], why: Unavailable, now: Instant) {
        let mut table = self.lock();
        let untaken = mem::take(&mut table.asked);
        for channel in asked.iter().map(|asked| &asked.channel).chain(&untaken) {
            let Some(entry) = table.entries.get_mut(channel) else { continue };
            if !entry.waiting.is_empty() {
                entry.answer(Err(why));
                table.unwant(channel.as_str(), now, self.linger);
            }
        }
    }

    /// The server does not let this node listen to a channel. Says whether the node did.
    pub(super) fn deny(&self, channel: &ChannelName, why: Unavailable) -> bool {
        let removed = self.lock().entries.remove(channel);
        match removed {
            Some(mut entry) => {
                entry.answer(Err(why));
                true
            }
            None => false,
        }
    }

    /// Leaves what nobody has wanted for the linger.
    pub(super) fn leave_due(&self, now: Instant) {
        let mut table = self.lock();
        // What is left sends its unsubscription when dropped, which needs no lock of ours.
        let mut left = Vec::new();
        while table.leaving.front().is_some_and(|(at, _)| *at <= now) {
            let (_, channel) = table.leaving.pop_front().expect("it was seen under the same lock");
            let Some(entry) = table.entries.get_mut(&channel) else { continue };
            match entry.unwanted_since {
                None => entry.is_leaving = false,
                Some(since) if since + self.linger <= now => left.extend(table.entries.remove(&channel)),
                // It was wanted in between. It may now stand behind some that go later, and wait for them.
                Some(since) => table.leaving.push_back((since + self.linger, channel)),
            }
        }
        drop(table);
        drop(left);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let cleared = {
            let mut table = self.lock();
            table.asked.clear();
            table.leaving.clear();
            mem::take(&mut table.entries)
        };
        drop(cleared);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table<T>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Subject> Table<T> {
    fn unwant(&mut self, channel: &str, now: Instant, linger: Duration) {
        let Some(entry) = self.entries.get_mut(channel) else { return };
        entry.unwanted_since.get_or_insert(now);
        if let Some(subject) = &entry.subject {
            subject.set_wanted(false);
        }
        if !mem::replace(&mut entry.is_leaving, true) {
            let (name, _) = self.entries.get_key_value(channel).expect("it was seen just now");
            self.leaving.push_back((now + linger, name.clone()));
        }
    }

    /// Leaves the channel that has been unwanted for longest. Says whether there was one.
    fn leave_one(&mut self) -> bool {
        while let Some((_, channel)) = self.leaving.pop_front() {
            let Some(entry) = self.entries.get_mut(&channel) else { continue };
            entry.is_leaving = false;
            if entry.unwanted_since.is_some() {
                self.entries.remove(&channel);
                return true;
            }
        }
        false
    }
}

impl<T> Entry<T> {
    fn new() -> Self {
        Self { subject: None, confirmed: false, unwanted_since: None, is_leaving: false, waiting: Vec::new() }
    }

    fn answer(&mut self, outcome: Outcome) {
        for waiting in self.waiting.drain(..) {
            // Whoever asked may have gone.
            let _ = waiting.send(outcome);
        }
    }
}
