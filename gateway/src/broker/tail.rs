//! One reading of a channel's tail for everyone who waits for one.
//!
//! Place in the data path: between catching up and a history on a server. When many clients come back at once, each wants
//! what its channels had meanwhile. One read of a channel is under way; the next serves all who came in the meantime, from
//! the earliest position that one of them has. Whoever is not served by that, since it is too much or lost, is by one from
//! a later position: each halves who is left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_cluster::history::{Coverage, Page};
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::position::Position;
use tidegate_session::Replayed;
use tokio::sync::oneshot;

use super::catch_up::{CaughtUp, Kept, replay_of};

#[cfg(test)]
mod tests;

/// Channels whose tail is being read, and who waits for the next reading. Bounded by the subscriptions of this node.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    under_way: Mutex<HashMap<ChannelName, Vec<Waiter>>>,
    reads: AtomicU64,
    served: AtomicU64,
}

/// Someone who wants what came after a position; `None`: only where the head is.
#[derive(Debug)]
struct Waiter {
    after: Option<Position>,
    turn: oneshot::Sender<Turn>,
}

/// What a waiter hears.
#[derive(Debug)]
enum Turn {
    Served(Result<CaughtUp, ErrorBody>),
    /// It is to read, for these too.
    Lead(Vec<Waiter>),
}

/// A reading that is under way. Dropped, even unfinished, it hands over to whoever came meanwhile.
struct Lead<'a> {
    tails: &'a Tails,
    channel: &'a ChannelName,
}

impl Tails {
    /// Reads what came after a position, or shares what another reads. `read` reads the history after a position, or only
    /// its head.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub(super) async fn read<R, F>(
        &self,
        channel: &ChannelName,
        after: Option<Position>,
        read: R,
    ) -> Result<CaughtUp, ErrorBody>
    where
        R: Fn(Option<Position>) -> F,
        F: Future<Output = Result<Page, ErrorBody>>,
    {
        let (turn, mut own) = oneshot::channel();
        let mut waiting = match self.join(channel, after) {
            None => Vec::new(),
            Some(turn) => match turn.await {
                Ok(Turn::Served(result)) => return result,
                Ok(Turn::Lead(waiting)) => waiting,
                Err(_) => return Err(given_up()),
            },
        };
        let lead = Lead { tails: self, channel };
        waiting.push(Waiter { after, turn });
        self.serve(channel, waiting, read).await;
        drop(lead);
        match own.try_recv() {
            Ok(Turn::Served(result)) => result,
            Ok(Turn::Lead(_)) | Err(_) => Err(given_up()),
        }
    }

    /// Readings of the history, and requests that were served by them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.served.load(Ordering::Relaxed))
    }

    /// `None`: nobody reads this channel, so the caller has to.
    fn join(&self, channel: &ChannelName, after: Option<Position>) -> Option<oneshot::Receiver<Turn>> {
        let mut under_way = self.lock();
        if let Some(waiting) = under_way.get_mut(channel) {
            let (turn, told) = oneshot::channel();
            waiting.push(Waiter { after, turn });
            return Some(told);
        }
        under_way.insert(channel.clone(), Vec::new());
        None
    }

    /// Reads until everyone is served.
    async fn serve<R, F>(&self, channel: &ChannelName, mut waiting: Vec<Waiter>, read: R)
    where
        R: Fn(Option<Position>) -> F,
        F: Future<Output = Result<Page, ErrorBody>>,
    {
        // From the earliest position first: mostly everything since then can be had.
        let mut share = 0;
        while !waiting.is_empty() {
            let from = pick(&waiting, share);
            share = 2;
            self.reads.fetch_add(1, Ordering::Relaxed);
            let tail = match read(from).await {
                Ok(page) => Tail::new(channel, from, page),
                Err(error) => {
                    for waiter in waiting {
                        // Whoever asked may have gone, here and below.
                        let _ = waiter.turn.send(Turn::Served(Err(error.clone())));
                    }
                    return;
                }
            };
            let mut left = Vec::new();
            for waiter in waiting {
                match tail.since(waiter.after) {
                    Some(past) => {
                        self.served.fetch_add(1, Ordering::Relaxed);
                        let _ = waiter.turn.send(Turn::Served(Ok(past)));
                    }
                    None => left.push(waiter),
                }
            }
            waiting = left;
        }
    }

    /// Each operation leaves the map consistent, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelName, Vec<Waiter>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut under_way = self.tails.lock();
        let Some(waiting) = under_way.get_mut(self.channel) else { return };
        let mut waiting = std::mem::take(waiting);
        // It is a waiter itself when its turn comes.
        while let Some(next) = waiting.pop() {
            let Err(Turn::Lead(back)) = next.turn.send(Turn::Lead(waiting)) else { return };
            waiting = back;
        }
        under_way.remove(self.channel);
    }
}

/// The position from which to read next: the earliest, or where `share` is 2, the one in the middle.
fn pick(waiting: &[Waiter], share: usize) -> Option<Position> {
    let mut positions: Vec<_> = waiting.iter().filter_map(|waiter| waiter.after).collect();
    positions.sort_unstable_by_key(|position| position.offset);
    let at = positions.len().checked_div(share).unwrap_or(0);
    positions.get(at).copied()
}

/// A part of a channel's history, up to its head.
struct Tail {
    /// What it was read after; `None`: only the head was asked for.
    from: Option<Position>,
    page: Page,
    replay: Vec<Replayed>,
    kept: Vec<Kept>,
}

impl Tail {
    fn new(channel: &ChannelName, from: Option<Position>, page: Page) -> Self {
        let (replay, kept) = replay_of(channel.as_str(), &page.entries);
        Self { from, page, replay, kept }
    }

    /// What came after a position; `None`: this does not tell.
    fn since(&self, after: Option<Position>) -> Option<CaughtUp> {
        let head = self.page.head;
        let Some(after) = after else { return Some(self.caught_up(None, self.replay.len())) };
        let nothing = self.replay.len();
        if after.epoch != head.epoch || after.offset > head.offset {
            return Some(self.caught_up(Some(false), nothing));
        }
        if after.offset == head.offset {
            return Some(self.caught_up(Some(true), nothing));
        }
        let from = self.from.filter(|from| from.epoch == head.epoch)?;
        match self.page.coverage {
            Coverage::Complete if after.offset >= from.offset => {
                let first = self.replay.partition_point(|replayed| replayed.offset <= after.offset);
                Some(self.caught_up(Some(true), first))
            }
            // Nor can what is before be had.
            Coverage::More | Coverage::Lost if after.offset <= from.offset => {
                Some(self.caught_up(Some(false), nothing))
            }
            Coverage::Complete | Coverage::More | Coverage::Lost => None,
        }
    }

    fn caught_up(&self, recovered: Option<bool>, first: usize) -> CaughtUp {
        CaughtUp {
            head: self.page.head,
            recovered,
            replay: self.replay[first..].to_vec(),
            kept: self.kept[first..].to_vec(),
            head_tag: self.page.head_tag,
        }
    }
}

/// The one who read is gone, which happens when the node ends.
fn given_up() -> ErrorBody {
    ErrorBody::new(ErrorCode::Unavailable, "the history was not read to its end: try again")
}
