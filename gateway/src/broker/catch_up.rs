//! Reading what a subscription begins with: the head of its channel, and what it missed. And what a client asks to read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_cluster::answer::Reason;
use tidegate_cluster::history::{Coverage, Entry, Order, Page, Read};
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::{HistoryOrder, StartFrom};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::position::{Position, Tag};
use tidegate_session::{Replayed, Subscribed};

use super::publish::message_object;
use super::{Broker, refusal};
use crate::config::namespaces::Recover;

/// How often a reading is tried again that came to nothing soon, after which pause each time. A connection that ended
/// under it is back by then.
const READS_AGAIN_MAX: usize = 3;
const READ_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// What took longer has waited for a server that does not answer.
const READ_AGAIN_WITHIN: Duration = Duration::from_millis(500);

/// What a subscription to a channel with history begins with.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    pub(crate) head: Position,
    /// Whether what was asked for is complete; `None`: nothing was asked for.
    pub(crate) recovered: Option<bool>,
    pub(crate) replay: Vec<Replayed>,
    /// What workers have to know of the entries of `replay` besides, one each.
    pub(crate) kept: Vec<Kept>,
    /// The tag of the publication at `head`, where the store may be set back.
    pub(crate) head_tag: Option<Tag>,
}

/// What is known of a replayed publication beyond what its session sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) conflate: u64,
    pub(crate) tag: Option<Tag>,
}

impl Broker {
    /// Listens to a channel from now on, and reads what a subscription from `from` begins with.
    ///
    /// # Errors
    ///
    /// As [`Broker::catch_up`].
    pub(crate) async fn begin(
        self: Arc<Self>,
        channel: ChannelName,
        from: StartFrom,
    ) -> Result<Subscribed, ErrorBody> {
        self.listen(&channel).await;
        if self.namespaces.of(channel.as_str())?.history_size == 0 {
            return Ok(Subscribed::default());
        }
        let past = self.catch_up(channel, from).await?;
        Ok(Subscribed { head: Some(past.head), recovered: past.recovered, replay: past.replay })
    }

    /// Reads what a subscription from `from` begins with.
    ///
    /// # Errors
    ///
    /// `unknown_channel`, or `unavailable` when history did not answer.
    pub(crate) async fn catch_up(
        self: Arc<Self>,
        channel: ChannelName,
        from: StartFrom,
    ) -> Result<CaughtUp, ErrorBody> {
        let namespace = self.namespaces.of(channel.as_str())?;
        let (most, bytes) = (namespace.history_size as usize, self.terms.replay_bytes_max);
        let read = match from {
            StartFrom::Live => Read::head(),
            StartFrom::Position(_) if namespace.recover == Recover::Latest => Read::newest(1, bytes),
            StartFrom::Position(position) => Read::after(position, most, bytes),
            StartFrom::Newest(count) => Read::newest((count as usize).min(most), bytes),
        };
        let after = match from {
            StartFrom::Live => None,
            StartFrom::Position(position) => Some(position),
            StartFrom::Newest(_) => return self.read_alone(&channel, from, read).await,
        };
        if read.order == Order::NewestFirst && after.is_some() || !self.outside.is_store_shared() {
            return self.read_alone(&channel, from, read).await;
        }
        let read = |after: Option<Position>| {
            let read = after.map_or(Read::head(), |after| Read::after(after, most, bytes));
            self.read_page(&channel, read)
        };
        self.tails.read(&channel, after, read).await
    }

    /// Reads, and once more where the connection ended under the question: reading changes nothing.
    async fn read_page(&self, channel: &ChannelName, read: Read) -> Result<Page, ErrorBody> {
        let asked_at = Instant::now();
        for _ in 0..READS_AGAIN_MAX {
            match self.outside.history.read(&channel.borrowed(), read).await {
                Ok(page) => return Ok(page),
                Err(unavailable)
                    if unavailable.reason == Reason::Full || asked_at.elapsed() > READ_AGAIN_WITHIN =>
                {
                    return Err(refusal(unavailable));
                }
                Err(_) => tokio::time::sleep(READ_AGAIN_AFTER).await,
            }
        }
        self.outside.history.read(&channel.borrowed(), read).await.map_err(refusal)
    }

    async fn read_alone(
        &self,
        channel: &ChannelName,
        from: StartFrom,
        read: Read,
    ) -> Result<CaughtUp, ErrorBody> {
        let page = self.read_page(channel, read).await?;
        Ok(caught_up(channel.as_str(), from, read.order, page))
    }

    /// Reads a part of a channel's history for whoever asks.
    ///
    /// # Errors
    ///
    /// `unknown_channel`; `bad_request` where the channel keeps no history; `unavailable`.
    pub(crate) async fn history(
        self: Arc<Self>,
        channel: ChannelName,
        after: Option<Position>,
        limit: u32,
        order: HistoryOrder,
    ) -> Result<(Position, Vec<Entry>), ErrorBody> {
        let kept = self.history_of(&channel)?;
        let read = Read {
            after,
            order: match order {
                HistoryOrder::OldestFirst => Order::OldestFirst,
                HistoryOrder::NewestFirst => Order::NewestFirst,
            },
            entries_max: limit.min(kept) as usize,
            bytes_max: self.terms.replay_bytes_max,
        };
        let answer = self.outside.history.read(&channel.borrowed(), read);
        let page = answer.await.map_err(refusal)?;
        Ok((page.head, page.entries))
    }

    /// How many publications a channel keeps.
    ///
    /// # Errors
    ///
    /// `unknown_channel`; `bad_request` where it keeps none.
    pub(super) fn history_of(&self, channel: &ChannelName) -> Result<u32, ErrorBody> {
        match self.namespaces.of(channel.as_str())?.history_size {
            0 => {
                let message =
                    format!("channel {channel} keeps no history: its namespace has no history_size");
                Err(ErrorBody::new(ErrorCode::BadRequest, message))
            }
            kept => Ok(kept),
        }
    }
}

fn caught_up(channel: &str, from: StartFrom, order: Order, page: Page) -> CaughtUp {
    let recovered = match from {
        StartFrom::Live | StartFrom::Newest(_) => None,
        // The newest one stands for all before it.
        StartFrom::Position(_) if order == Order::NewestFirst => Some(true),
        StartFrom::Position(_) => Some(page.coverage == Coverage::Complete),
    };
    let mut entries = page.entries;
    match from {
        // Never a part of what was missed.
        StartFrom::Position(_) if recovered == Some(false) => entries.clear(),
        StartFrom::Position(position) if position.epoch == page.head.epoch => {
            entries.retain(|entry| entry.offset > position.offset);
        }
        StartFrom::Live | StartFrom::Position(_) | StartFrom::Newest(_) => {}
    }
    if order == Order::NewestFirst {
        entries.reverse();
    }
    let (replay, kept) = replay_of(channel, &entries);
    CaughtUp { head: page.head, recovered, replay, kept, head_tag: page.head_tag }
}

/// Entries of a history as they are replayed, and what is known of them besides.
pub(super) fn replay_of(channel: &str, entries: &[Entry]) -> (Vec<Replayed>, Vec<Kept>) {
    let replayed = |entry: &Entry| Replayed { offset: entry.offset, object: message_object(channel, entry) };
    let kept = |entry: &Entry| Kept {
        conflate: entry.conflate.as_deref().map_or(0, crate::hub::conflate_key),
        tag: entry.tag,
    };
    entries.iter().map(|entry| (replayed(entry), kept(entry))).unzip()
}
