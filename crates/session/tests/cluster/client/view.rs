//! What a client knows of one channel, and what that obliges everyone else to.

use std::collections::BTreeMap;

use tidegate_protocol::event::{ChannelState, Message};
use tidegate_protocol::position::{Position, Tag};

use crate::Checked;
use crate::truth::{Fact, Truth};

#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) is_subscribed: bool,
    /// Behind this comes the next message.
    pub(crate) position: Option<Position>,
    /// The publication there, where it is known.
    tag: Option<u64>,
    /// Numbers received, with how often something had been told lost by then.
    received: BTreeMap<u64, u32>,
    told: u32,
    /// How often it was told of a loss only after what does not follow on what it had.
    pub(crate) told_late: u64,
    /// What was appended after this time has to come.
    since: u64,
    /// What has to be told still: a store that was set back may be noticed a little later.
    debt: Option<String>,
}

impl View {
    /// What a reply says of the subscription.
    pub(crate) fn begin(&mut self, state: &ChannelState, now: u64) -> Checked {
        self.is_subscribed = true;
        match (state.recovered, self.position, state.position) {
            (_, _, None) => return Err("a subscription without a position".into()),
            (Some(true), Some(own), Some(told)) if own == told => {}
            (Some(true), Some(own), Some(told)) => {
                return Err(format!("recovered from {told:?}, and not from {own:?}"));
            }
            (None, Some(own), Some(_)) => return Err(format!("nothing is said of what came after {own:?}")),
            (Some(true) | None, None, Some(told)) => {
                self.since = now;
                self.go_to(told);
            }
            (Some(false), _, Some(told)) => {
                self.note_loss(now);
                self.go_to(told);
            }
        }
        Ok(())
    }

    pub(crate) fn handle_gap(&mut self, first: Option<Position>, now: u64) -> Checked {
        if !self.is_subscribed {
            return Ok(());
        }
        let first = first.ok_or("a gap without a position")?;
        let last_lost = Position { offset: first.offset.saturating_sub(1), ..first };
        let own = self.position.filter(|own| own.epoch == last_lost.epoch && own.offset >= last_lost.offset);
        if let Some(own) = own {
            return Err(format!("a gap up to {last_lost:?} is told at {own:?}"));
        }
        self.note_loss(now);
        self.go_to(last_lost);
        Ok(())
    }

    pub(crate) fn receive(&mut self, channel: usize, message: &Message<'_>, truth: &Truth) -> Checked {
        let own = self.position.ok_or("a message without a subscription")?;
        let offset = message.offset.ok_or("a message without an offset")?;
        let at = Position { offset, ..own };
        if offset != own.offset + 1 {
            return Err(format!("{message:?} after {own:?}"));
        }
        let (number, tag) = parse(message.data.as_str()).ok_or("not what was published")?;
        let Fact { previous, .. } = truth
            .fact(tag)
            .filter(|fact| fact.channel == channel && fact.number == number && fact.position == at)
            .ok_or_else(|| format!("{message:?} was not published at {at:?}"))?;
        if let Some(before) = self.tag.filter(|before| before != previous) {
            self.owe(truth, format!("{at:?} follows on {previous:x}, and comes after {before:x}"))?;
        }
        if self.received.insert(number, self.told) == Some(self.told) {
            self.owe(truth, format!("number {number} came twice"))?;
        }
        (self.position, self.tag) = (Some(at), Some(tag));
        Ok(())
    }

    /// Nobody who could tell is left: what follows a publication that all have forgotten looks like any other.
    pub(crate) fn waive(&mut self) {
        (self.tag, self.since) = (None, u64::MAX);
        self.received.clear();
    }

    /// Whether everything that was promised has come, or was told lost.
    pub(crate) fn settle(&self, channel: usize, truth: &Truth) -> Checked {
        if let Some(debt) = &self.debt {
            return Err(format!("never told: {debt}"));
        }
        let missing = truth
            .acknowledged(channel)
            .find(|fact| fact.at > self.since && !self.received.contains_key(&fact.number));
        missing.map_or(Ok(()), |fact| {
            Err(format!("{fact:?} was acknowledged, and neither came nor was told lost since {}", self.since))
        })
    }

    fn note_loss(&mut self, now: u64) {
        self.told += 1;
        self.since = now;
        self.told_late += u64::from(self.debt.take().is_some());
    }

    fn go_to(&mut self, position: Position) {
        self.position = Some(position);
        self.tag = (position.offset == 0).then_some(Tag::ORIGIN.number());
    }

    /// Something does not fit. Where a store was set back that may be, for a while.
    fn owe(&mut self, truth: &Truth, what: String) -> Checked {
        if truth.was_set_back() {
            self.debt.get_or_insert(what);
            return Ok(());
        }
        Err(what)
    }
}

fn parse(data: &str) -> Option<(u64, u64)> {
    let (number, tag) = data.strip_prefix('[')?.strip_suffix(']')?.split_once(',')?;
    Some((number.parse().ok()?, tag.parse().ok()?))
}
