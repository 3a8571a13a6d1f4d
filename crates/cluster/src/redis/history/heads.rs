//! The heads of many channels in few steps.

use std::sync::Arc;

use fred::util::redis_keyslot;
use futures_util::future::try_join_all;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::position::Position;
use tidegate_protocol::time::whole_ms;

use crate::answer::Answer;
use crate::redis::script::{Args, Script};
use crate::redis::stats::Operation;

use super::{Inner, answers, epoch_digits, seen};

impl Inner {
    /// In as few steps as the slots allow, all under way together.
    pub(super) fn heads(self: &Arc<Self>, channels: &[ChannelName]) -> Answer<Vec<Option<Position>>> {
        let count = channels.len();
        let steps: Vec<_> = self.batches(channels).into_iter().map(|batch| self.heads_of(batch)).collect();
        self.client.enter(async move {
            let mut heads = vec![None; count];
            for (at, head) in try_join_all(steps).await?.into_iter().flatten() {
                heads[at] = head;
            }
            Ok(heads)
        })
    }

    /// Channels with their places in the list, those together that one step may touch.
    fn batches(&self, channels: &[ChannelName]) -> Vec<Vec<(usize, ChannelName)>> {
        let mut placed: Vec<_> = channels.iter().cloned().enumerate().collect();
        if !self.client.is_cluster() {
            return placed.chunks(HEADS_PER_STEP).map(<[_]>::to_vec).collect();
        }
        let slot = |(_, channel): &(usize, ChannelName)| {
            let [key, _] = self.keys(channel);
            redis_keyslot(key.as_bytes())
        };
        placed.sort_by_cached_key(slot);
        let same_slot = placed.chunk_by(|one, other| slot(one) == slot(other));
        same_slot.flat_map(|same| same.chunks(HEADS_PER_STEP)).map(<[_]>::to_vec).collect()
    }

    fn heads_of(
        self: &Arc<Self>,
        batch: Vec<(usize, ChannelName)>,
    ) -> Answer<Vec<(usize, Option<Position>)>> {
        let keys = batch.iter().flat_map(|(_, channel)| self.keys(channel)).collect();
        let opening = Args::new().text(epoch_digits()).number(whole_ms(self.config.idle_max));
        let known: Vec<_> = batch.iter().map(|(_, channel)| self.known.measure(channel)).collect();
        let args = known.iter().fold(opening, |args, known| {
            let args = seen(args, known.map(|known| known.seen));
            seen(args, known.and_then(|known| known.sent))
        });
        let inner = Arc::clone(self);
        self.client.call(&HEADS, keys, args, move |answer| {
            let heads = answers::heads(answer).filter(|heads| heads.len() == batch.len())?;
            let noted = batch.into_iter().zip(heads).zip(known).map(|(((at, channel), seen), known)| {
                if let Some(seen) = seen {
                    inner.note(&channel, seen, known.map(|known| known.seen));
                }
                (at, seen.map(|seen| seen.position))
            });
            Some(noted.collect())
        })
    }
}

static HEADS: Script =
    Script::lua(Operation::HistoryHeads, concat!(include_str!("stream.lua"), include_str!("heads.lua")));

/// A step stops the server for as long as it takes: about a millisecond for so many.
const HEADS_PER_STEP: usize = 64;
