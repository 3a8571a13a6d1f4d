//! The server API's calls, done by the broker.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_cluster::directory::NodeRecord;
use tidegate_cluster::history::{Coverage, Order as ReadOrder, Read};
use tidegate_cluster::sessions::{Attachment, Filter, SessionView, Subject as Revoked};
use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::{HistoryOrder, Target};
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::id::SessionId;
use tidegate_protocol::json::RawJson;
use tokio::sync::oneshot;

use super::publish::data_of;
use super::{Broker, info_of, refusal};
use crate::http::api::{
    Answer, ChannelInfo, ChannelsQuery, Disconnect, History, HistoryMessage, HistoryQuery, Member, NodeInfo,
    Page, Presence, PresenceQuery, Publish, Published, Reached, Send, Services, SessionInfo, SessionsQuery,
    Subject, Subscription, SubscriptionChange,
};
use crate::hub::directory::{ChannelEntry, Realm};
use crate::worker::mail::{Close, Mail, Order};

/// What tells publications of servers from those of users by their idempotency keys.
const PUBLISHER: &str = "api:";
/// Sessions of one user that are looked at with one call of the store.
const SESSIONS_A_CALL: usize = 500;

/// The node's broker, as the server API sees it.
pub(crate) struct BrokerServices(pub(crate) Arc<Broker>);

impl Services for BrokerServices {
    fn publish(&self, publish: Publish) -> Answer<Published> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move {
            let published = Arc::clone(&broker)
                .publish(super::Publish {
                    channel: publish.channel,
                    data: publish.data,
                    publisher: PUBLISHER.into(),
                    from: None,
                    key: publish.key,
                    conflate: publish.conflate,
                    trace: publish.trace,
                    upgrade: None,
                    turn: None,
                })
                .await?;
            broker.stats.server_publications.fetch_add(u64::from(!published.duplicate), Ordering::Relaxed);
            Ok(Published::new(published.position, published.duplicate))
        })
    }

    fn send(&self, send: Send) -> Answer<Reached> {
        let broker = Arc::clone(&self.0);
        let key = send.key.map(|key| (PUBLISHER.into(), key));
        Box::pin(
            async move { Ok(Reached { sessions: broker.send(send.target, send.data, None, key).await? }) },
        )
    }

    fn subscribe(&self, change: SubscriptionChange) -> Answer<Reached> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move {
            broker.namespaces.of(change.channel.as_str())?;
            let order = || Order::Subscribe(change.channel.clone());
            Ok(Reached { sessions: broker.order_all(&change.target, order).await? })
        })
    }

    fn unsubscribe(&self, change: SubscriptionChange) -> Answer<Reached> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move {
            let order = || Order::Unsubscribe(change.channel.clone());
            Ok(Reached { sessions: broker.order_all(&change.target, order).await? })
        })
    }

    fn disconnect(&self, disconnect: Disconnect) -> Answer<Reached> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move { Ok(Reached { sessions: broker.disconnect(disconnect).await? }) })
    }

    fn channels(&self, query: ChannelsQuery) -> Answer<Page<ChannelInfo, ChannelName>> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move {
            let limit = query.limit as usize;
            let after = query.after.as_ref().map(ChannelName::as_str);
            let mut entries = broker.directory.list(Realm::Native, &query.prefix, after, limit + 1);
            let has_more = entries.len() > limit;
            entries.truncate(limit);
            let items = broker.describe(&entries).await?;
            let next = items.last().filter(|_| has_more).map(|last| last.channel.clone());
            Ok(Page { items, next })
        })
    }

    fn channel(&self, channel: ChannelName) -> Answer<Option<ChannelInfo>> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move {
            broker.namespaces.of(channel.as_str())?;
            let entry = broker.directory.find(Realm::Native, channel.as_str());
            let heads =
                broker.outside.history.heads(std::slice::from_ref(&channel)).await.map_err(refusal)?;
            let head = heads.first().copied().flatten();
            if entry.is_none() && head.is_none() {
                return Ok(None);
            }
            let subscribers = entry.map_or(0, |entry| entry.subscribers());
            Ok(Some(ChannelInfo::new(channel, subscribers, head)))
        })
    }

    fn presence(&self, query: PresenceQuery) -> Answer<Presence> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move {
            broker.presence_of(&query.channel)?;
            let limit = query.limit as usize;
            let list = broker
                .outside
                .presence
                .list(&query.channel.borrowed(), query.after, limit)
                .await
                .map_err(refusal)?;
            let items: Vec<_> = list
                .members
                .iter()
                .map(|member| Member {
                    user: member.user.to_string(),
                    session: member.session,
                    info: info_of(member).map(RawJson::into_owned),
                    since_ms: member.since.count(),
                })
                .collect();
            let next = items.last().filter(|_| items.len() == limit).map(|last| last.session);
            Ok(Presence { page: Page { items, next }, total: list.total as u64 })
        })
    }

    fn history(&self, query: HistoryQuery) -> Answer<History> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move {
            broker.history_of(&query.channel)?;
            let read = Read {
                after: query.after,
                order: match query.order {
                    HistoryOrder::OldestFirst => ReadOrder::OldestFirst,
                    HistoryOrder::NewestFirst => ReadOrder::NewestFirst,
                },
                entries_max: query.limit as usize,
                bytes_max: query.bytes_max,
            };
            let page = broker.outside.history.read(&query.channel.borrowed(), read).await.map_err(refusal)?;
            let items: Vec<_> = page
                .entries
                .iter()
                .map(|entry| HistoryMessage {
                    offset: entry.offset,
                    data: data_of(entry).into_owned(),
                    from: entry.from.as_deref().map(str::to_owned),
                    at_ms: entry.at.count(),
                })
                .collect();
            let next = items.last().filter(|_| page.coverage == Coverage::More).map(|last| last.offset);
            Ok(History { head: page.head, page: Page { items, next } })
        })
    }

    fn sessions(&self, query: SessionsQuery) -> Answer<Page<SessionInfo, SessionId>> {
        let broker = Arc::clone(&self.0);
        Box::pin(async move {
            let filter = match (&query.user, &query.node) {
                (Some(user), _) => Filter::User(user),
                (None, Some(node)) => Filter::Node(node),
                (None, None) => Filter::All,
            };
            let answer = broker.outside.sessions.list(filter, query.after, query.limit as usize);
            let page = answer.await.map_err(refusal)?;
            let of_node = |view: &SessionView| query.node.as_ref().is_none_or(|node| view.node == *node);
            let items = page.sessions.into_iter().filter(of_node).map(session_info).collect();
            Ok(Page { items, next: page.next })
        })
    }

    fn session(&self, session: SessionId) -> Answer<Option<SessionInfo>> {
        let answer = self.0.outside.sessions.get(session);
        Box::pin(async move { Ok(answer.await.map_err(refusal)?.map(session_info)) })
    }

    fn nodes(&self) -> Answer<Vec<NodeInfo>> {
        let answer = self.0.outside.places.nodes();
        Box::pin(async move { Ok(answer.await.map_err(refusal)?.into_iter().map(node_info).collect()) })
    }
}

impl Broker {
    /// Closes what a subject has open, ends its sessions, and keeps it out if that is wanted.
    async fn disconnect(self: Arc<Self>, disconnect: Disconnect) -> Result<u32, ErrorBody> {
        let cause = if disconnect.revoke { CloseCause::Revoked } else { CloseCause::Disconnected };
        if disconnect.revoke {
            let subject = match &disconnect.subject {
                Subject::User(user) => Revoked::User(Arc::clone(user)),
                Subject::Session(session) => Revoked::Session(*session),
                Subject::Token(token) => Revoked::Token(Arc::clone(token)),
            };
            let until = self.clock.now() + self.terms.revocation;
            self.outside.sessions.revoke(subject, until).await.map_err(refusal)?;
        }
        let close = Close { cause, below: None, code: disconnect.code, reason: disconnect.reason.clone() };
        match disconnect.subject {
            Subject::Session(session) => self.end_sessions(&[session], &close).await,
            Subject::Token(token) => {
                self.broadcast_token(&token, &close).await?;
                Ok(self.close_token(&token, &close).await)
            }
            Subject::User(user) => {
                let (mut ended, mut after) = (0, None);
                loop {
                    let answer = self.outside.sessions.list(Filter::User(&user), after, SESSIONS_A_CALL);
                    let page = answer.await.map_err(refusal)?;
                    let sessions: Vec<_> = page.sessions.iter().map(|view| view.session).collect();
                    ended += self.end_sessions(&sessions, &close).await?;
                    after = page.next;
                    if after.is_none() {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    /// Ends sessions: those with a connection by closing it, the others where they are kept.
    async fn end_sessions(&self, sessions: &[SessionId], close: &Close) -> Result<u32, ErrorBody> {
        let mut ended = 0;
        for &session in sessions {
            let reached = self.order_all(&Target::Session(session), || Order::Close(close.clone())).await?;
            let existed = reached > 0 || self.outside.sessions.remove(session).await.map_err(refusal)?;
            ended += u32::from(existed);
        }
        Ok(ended)
    }

    /// Closes every connection of this node that showed a token.
    pub(super) async fn close_token(&self, token: &Arc<str>, close: &Close) -> u32 {
        let mut closed = 0;
        for worker in 0..self.posts.get().map_or(0, Vec::len) {
            let (reply, answer) = oneshot::channel();
            let letter = Mail::CloseToken { token: Arc::clone(token), close: close.clone(), reply };
            self.post(worker, letter).await;
            // A worker that has ended has no connections.
            closed += answer.await.unwrap_or(0);
        }
        closed
    }

    async fn describe(&self, entries: &[Arc<ChannelEntry>]) -> Result<Vec<ChannelInfo>, ErrorBody> {
        let names: Vec<_> = entries.iter().filter_map(|entry| ChannelName::parse(&entry.name).ok()).collect();
        let heads = self.outside.history.heads(&names).await.map_err(refusal)?;
        let described = names
            .into_iter()
            .zip(entries)
            .zip(heads)
            .map(|((channel, entry), head)| ChannelInfo::new(channel, entry.subscribers(), head));
        Ok(described.collect())
    }
}

fn session_info(view: SessionView) -> SessionInfo {
    SessionInfo {
        session: view.session,
        user: view.user.to_string(),
        node: view.node,
        connected: view.state == Attachment::Attached,
        since_ms: view.created_at.count(),
        token_expires_ms: view.token_expires_at.map(|at| at.count()),
        subscriptions: view
            .subscriptions
            .into_iter()
            .map(|held| Subscription::new(held.channel, held.position))
            .collect(),
    }
}

fn node_info(record: NodeRecord) -> NodeInfo {
    NodeInfo {
        node: record.name,
        phase: record.phase.to_string(),
        version: record.version.to_string(),
        connections: record.connections.into(),
        capacity: record.capacity.into(),
        load: f64::from(record.load_permille) / 1_000.0,
        since_ms: record.started_at.count(),
    }
}
