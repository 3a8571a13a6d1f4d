//! What comes in from other nodes, this one's own publications among it.
//!
//! Place in the data path: between the bus and the workers' mailboxes. The bus fills a bounded inbox from its own threads;
//! one task empties it. What did not fit, or was lost on the way, is found again by looking where histories end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cluster::Fence;
use tidegate_cluster::bus::inbox::{InboxConfig, Losses};
use tidegate_cluster::bus::{Inbox, Mail as Incoming};
use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::Target;
use tidegate_protocol::node::{self, Access, Disconnect, DisconnectTarget, NodeMessage};
use tokio::sync::Notify;

use super::Broker;
use super::modes::Mode;
use crate::hub::conflate_key;
use crate::hub::directory::{ChannelEntry, Realm};
use crate::worker::mail::{Close, Mail, Order, Publication};

/// Bounds of what waits to be handed to the workers.
const INBOX: InboxConfig = InboxConfig { messages_max: 65_536, bytes_max: 64 << 20, channels_max: 10_000 };
/// Messages taken out in one go.
const BATCH: usize = 512;
/// Channels whose ends are asked for with one call.
const HEADS_A_CALL: usize = 500;
/// How often some channels' ends are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A round over all channels takes at least this long, and longer where there are very many of them.
const LOOKS_A_ROUND: usize = 10;
/// Channels looked at in one go.
const CHANNELS_A_LOOK: usize = 2_000;

/// The node's inbox and what says that something is in it.
#[derive(Clone, Debug)]
pub(crate) struct Ingress {
    pub(crate) inbox: Arc<Inbox>,
    bell: Arc<Notify>,
}

impl Ingress {
    pub(crate) fn new() -> Self {
        let bell: Arc<Notify> = Arc::default();
        let rung = Arc::clone(&bell);
        Self { inbox: Arc::new(Inbox::new(INBOX, move || rung.notify_one())), bell }
    }
}

impl Broker {
    /// Hands on what comes in, for as long as the node runs.
    pub(crate) async fn run_ingress(self: Arc<Self>, ingress: Ingress) {
        self.directory.keep_departed();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            ingress.bell.notified().await;
            loop {
                let losses = ingress.inbox.take(BATCH, &mut batch);
                let is_last = batch.len() < BATCH;
                for mail in batch.drain(..) {
                    self.receive(mail).await;
                }
                if !losses.is_empty() {
                    self.repair(losses).await;
                }
                if is_last {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// Looks where histories end, some channels at a time, for as long as the node runs: a lost last message shows in
    /// nothing else.
    pub(crate) async fn run_looks(self: Arc<Self>) {
        let mut after: Option<Arc<str>> = None;
        loop {
            // Nodes that started together must not ask together.
            let jitter = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
            tokio::time::sleep(LOOK_EVERY.mul_f64(0.5 + jitter)).await;
            // Without a bus this is how publications of other nodes are found.
            let is_deaf = self.outside.modes().contains(&Mode::BusDown);
            let looks = if is_deaf { 1 } else { LOOKS_A_ROUND };
            let share = self.directory.len().div_ceil(looks).clamp(1, CHANNELS_A_LOOK);
            let entries = self.directory.list(Realm::Native, "", after.as_deref(), share);
            after = entries.last().filter(|_| entries.len() == share).map(|last| Arc::clone(&last.name));
            self.compare_heads(&entries).await;
        }
    }

    async fn receive(self: &Arc<Self>, mail: Incoming) {
        let payload = match &mail {
            Incoming::Publication { message, .. } | Incoming::Direct { message } => message,
        };
        for message in node::messages(payload) {
            match message {
                Ok(NodeMessage::Publication(publication)) => self.receive_publication(&publication).await,
                Ok(NodeMessage::Direct(direct)) => {
                    let object: Arc<[u8]> = direct.object.into();
                    self.order_here(&direct.target, || Order::Deliver(Arc::clone(&object))).await;
                }
                Ok(NodeMessage::Subscribe { target, channel }) => {
                    let channel = ChannelName::from(&channel);
                    self.order_here(&target, || Order::Subscribe(channel.clone())).await;
                }
                Ok(NodeMessage::Unsubscribe { target, channel }) => {
                    let channel = ChannelName::from(&channel);
                    self.order_here(&target, || Order::Unsubscribe(channel.clone())).await;
                }
                Ok(NodeMessage::TakenOver { session, fence }) => {
                    tracing::debug!(%session, newer = fence, "another node has taken a session over");
                    self.order(session, Order::Close(Close::taken_over(Fence::new(fence)))).await;
                }
                Ok(NodeMessage::Disconnect(disconnect)) => self.receive_disconnect(&disconnect).await,
                Err(error) => {
                    self.stats.undecodable.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "a message of another node cannot be read");
                }
            }
        }
    }

    async fn receive_publication(&self, publication: &node::Publication<'_>) {
        let channel = ChannelName::from(&publication.channel);
        if let Some((position, link)) = publication.position.zip(publication.link) {
            self.outside.history.witness(&channel, position, link);
        }
        let received = self.spans.bus_receive(channel.as_str(), publication.trace);
        let publication = Publication {
            position: publication.position,
            link: publication.link,
            conflate: publication.conflate.map_or(0, conflate_key),
            object: publication.object.into(),
            fan_out: self.spans.fan_out(channel.as_str(), received.trace.as_deref()),
        };
        self.distribute(channel.as_str(), publication).await;
    }

    async fn receive_disconnect(self: &Arc<Self>, disconnect: &Disconnect<'_>) {
        let cause = match disconnect.access {
            Access::Kept => CloseCause::Disconnected,
            Access::Revoked => CloseCause::Revoked,
        };
        let reason = disconnect.reason.map(Into::into);
        let close = Close { cause, below: None, code: disconnect.code, reason };
        match &disconnect.target {
            DisconnectTarget::Sessions(target) => {
                self.order_here(target, || Order::Close(close.clone())).await
            }
            DisconnectTarget::Token(token) => {
                self.close_token(&Arc::from(*token), &close).await;
            }
        }
    }

    /// Nodes name sessions: which of them a user has is for the sender to find out.
    async fn order_here(&self, target: &Target<'_>, order: impl Fn() -> Order) {
        if let Target::Session(session) = target {
            self.order(*session, order()).await;
        }
    }

    /// Something was lost on its way here.
    async fn repair(&self, losses: Losses) {
        if losses.unknown || losses.direct > 0 {
            // An order to let go of a session may be among it.
            self.renew_sessions().await;
        }
        if losses.unknown {
            let mut after: Option<Arc<str>> = None;
            loop {
                let entries = self.directory.list(Realm::Native, "", after.as_deref(), HEADS_A_CALL);
                self.compare_heads(&entries).await;
                let Some(last) = entries.last().filter(|_| entries.len() == HEADS_A_CALL) else { return };
                after = Some(Arc::clone(&last.name));
            }
        }
        let lost: Vec<_> = losses
            .channels
            .iter()
            .filter_map(|channel| self.directory.find(Realm::Native, channel.as_str()))
            .collect();
        self.compare_heads(&lost).await;
    }

    /// Tells the workers where the histories of channels end.
    async fn compare_heads(&self, entries: &[Arc<ChannelEntry>]) {
        let keeps_history = |name: &ChannelName| {
            self.namespaces.of(name.as_str()).is_ok_and(|namespace| namespace.history_size > 0)
        };
        for entries in entries.chunks(HEADS_A_CALL) {
            let (names, entries): (Vec<_>, Vec<_>) = entries
                .iter()
                .filter_map(|entry| Some((ChannelName::parse(&entry.name).ok()?, entry)))
                .filter(|(name, _)| keeps_history(name))
                .unzip();
            if names.is_empty() {
                continue;
            }
            // A store that does not answer is asked again in the next round.
            let Ok(heads) = self.outside.history.heads(&names).await else { return };
            for (entry, head) in entries.into_iter().zip(heads) {
                let Some(head) = head else { continue };
                for worker in entry.workers() {
                    self.post(worker, Mail::Head(Arc::clone(entry), head)).await;
                }
            }
        }
    }
}
