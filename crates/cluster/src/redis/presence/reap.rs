//! Members whose node is gone, and the index that finds them.

use std::time::Duration;

use fred::types::Value;
use futures_util::future::join_all;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::NodeName;
use tidegate_protocol::time::Millis;

use crate::answer::Unavailable;
use crate::presence::{Ghost, Member};
use crate::redis::leases::Tenure;
use crate::redis::script::{Args, Fields, Script, number};
use crate::redis::stats::Operation;

use super::{Shared, faulty, seat};

impl Shared {
    /// Members are taken out by the script that hands them out: each comes to one caller only.
    pub(super) async fn reap(&self, limit: usize) -> Result<Vec<Ghost>, Unavailable> {
        let mut ghosts = Vec::new();
        let result = self.collect(limit, &mut ghosts).await;
        self.reaped.add(ghosts.len() as u64);
        // Who was taken out has to be handed out, whatever became of the others.
        if ghosts.is_empty() { result.map(|()| ghosts) } else { Ok(ghosts) }
    }

    /// Goes through what tenures that have ended left, until there are enough ghosts or nothing is left.
    async fn collect(&self, limit: usize, ghosts: &mut Vec<Ghost>) -> Result<(), Unavailable> {
        for tenure in self.leases.ended(TENURES_AT_ONCE).await? {
            for _ in 0..STEPS_MAX {
                let room = limit - ghosts.len();
                if room == 0 {
                    return Ok(());
                }
                let channels = self.channels_of(tenure, room.min(CHANNELS_AT_ONCE)).await?;
                if channels.is_empty() {
                    self.leases.forget(tenure).await?;
                    break;
                }
                self.reap_channels(tenure, &channels, room / channels.len(), ghosts).await?;
            }
        }
        Ok(())
    }

    /// At most `share` ghosts from each channel.
    async fn reap_channels(
        &self,
        tenure: Tenure,
        channels: &[ChannelName],
        share: usize,
        ghosts: &mut Vec<Ghost>,
    ) -> Result<(), Unavailable> {
        let reaped = join_all(channels.iter().map(|channel| self.reap_one(channel, tenure, share))).await;
        let (mut emptied, mut result) = (Vec::new(), Ok(()));
        for (channel, reaped) in channels.iter().zip(reaped) {
            match reaped {
                Ok((rest, members)) => {
                    let ghost = |member| Ghost { channel: channel.clone(), member };
                    ghosts.extend(members.into_iter().map(ghost));
                    emptied.extend((rest == 0).then(|| channel.clone()));
                }
                Err(unavailable) => result = Err(unavailable),
            }
        }
        self.take_out(tenure, Millis::MAX, &emptied).await.and(result)
    }

    /// Notes that a tenure has seats in a channel, before anybody may have to look for them.
    pub(super) async fn index(
        &self,
        tenure: Tenure,
        channel: &ChannelName,
        now: Millis,
    ) -> Result<(), Unavailable> {
        let args = Args::new().number(now.count()).text(channel.as_str());
        self.client.call(&ZADD, vec![self.tenure_key(tenure)], args, |value| done(&value)).await
    }

    /// Looks at what a node's index has had longest, and takes out channels where nobody of the node is any more.
    pub(super) async fn tidy_index(&self, node: &NodeName) -> Result<(), Unavailable> {
        let Some(tenure) = self.leases.of(node).await? else { return Ok(()) };
        // A join writes index and seat at once, in no order: entries just written are left alone.
        let now = self.clock.now();
        let until = now - GRACE;
        for _ in 0..STEPS_MAX {
            let args = Args::new().text("-inf").number(until.count()).text("LIMIT").number(0);
            let args = args.number(CHANNELS_AT_ONCE as u64);
            let channels =
                self.client.call(&ZRANGEBYSCORE, vec![self.tenure_key(tenure)], args, names).await?;
            if channels.is_empty() {
                return Ok(());
            }
            let looked_at = join_all(channels.iter().map(|channel| self.reap_one(channel, tenure, 0))).await;
            let (mut empty, mut kept) = (Vec::new(), Args::new());
            for (channel, rest) in channels.into_iter().zip(looked_at) {
                match rest?.0 {
                    0 => empty.push(channel),
                    _ => kept = kept.number(now.count()).text(channel.as_str()),
                }
            }
            let is_mostly_kept = empty.len() < CHANNELS_AT_ONCE / 2;
            self.take_out(tenure, until, &empty).await?;
            if kept.size_bytes() > 0 {
                self.client.call(&ZADD, vec![self.tenure_key(tenure)], kept, |value| done(&value)).await?;
            }
            if is_mostly_kept {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ghosts that were seen: they are reaped sooner or later, whatever became of the index.
    pub(super) async fn report_strays(&self, channel: &ChannelName, tenures: &[Tenure]) {
        for tenure in tenures {
            let args = Args::new().text("NX").number(0).bytes(tenure.as_bytes());
            let ended = self.client.call(&ZADD, vec![self.leases.ended_key()], args, |value| added(&value));
            let args = Args::new().text("NX").number(0).text(channel.as_str());
            let indexed =
                self.client.call(&ZADD, vec![self.tenure_key(*tenure)], args, |value| added(&value));
            if let Ok(added) = indexed.await
                && ended.await.is_ok()
            {
                self.strays.add(added);
            }
        }
    }

    /// Removes at most `limit` members of a tenure from a channel; how many are left.
    async fn reap_one(
        &self,
        channel: &ChannelName,
        tenure: Tenure,
        limit: usize,
    ) -> Result<(u64, Vec<Member>), Unavailable> {
        let args = Args::new().bytes(tenure.as_bytes()).number(limit as u64);
        let decode = |value| {
            let mut fields = Fields::of(value)?;
            Some((fields.number()?, seat::decode_all(fields.list()?)?))
        };
        self.client.call(&REAP, self.channel_keys(channel.as_str()), args, decode).await
    }

    async fn channels_of(&self, tenure: Tenure, limit: usize) -> Result<Vec<ChannelName>, Unavailable> {
        let last = i64::try_from(limit).map_err(|_| faulty())? - 1;
        let args = Args::new().number(0).text(last.to_string());
        self.client.call(&ZRANGE, vec![self.tenure_key(tenure)], args, names).await
    }

    async fn take_out(
        &self,
        tenure: Tenure,
        until: Millis,
        channels: &[ChannelName],
    ) -> Result<(), Unavailable> {
        if channels.is_empty() {
            return Ok(());
        }
        let args = Args::new().number(until.count());
        let args = channels.iter().fold(args, |args, channel| args.text(channel.as_str()));
        self.client.call(&REST, vec![self.tenure_key(tenure)], args, |value| done(&value)).await
    }
}

fn names(value: Value) -> Option<Vec<ChannelName>> {
    let mut fields = Fields::of(value)?;
    (0..fields.len()).map(|_| ChannelName::parse(&fields.text()?).ok()).collect()
}

fn added(value: &Value) -> Option<u64> {
    number(value)
}

fn done(value: &Value) -> Option<()> {
    number(value).map(drop)
}

/// Longer than any call is under way.
const GRACE: Duration = Duration::from_secs(60);
/// Dead nodes looked at in one call.
const TENURES_AT_ONCE: usize = 16;
/// Channels looked at in one round trip.
const CHANNELS_AT_ONCE: usize = 128;
/// Round trips for one tenure in one call.
const STEPS_MAX: usize = 32;

static REAP: Script = Script::lua(Operation::PresenceReap, include_str!("reap.lua"));
static REST: Script = Script::lua(Operation::PresenceReap, include_str!("rest.lua"));
static ZADD: Script = Script::command(Operation::PresenceJoin, "ZADD");
static ZRANGE: Script = Script::command(Operation::PresenceReap, "ZRANGE");
static ZRANGEBYSCORE: Script = Script::command(Operation::PresenceTouch, "ZRANGEBYSCORE");
