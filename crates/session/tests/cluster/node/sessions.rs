//! Sessions opened, taken over, renewed, let go: after `broker/sessions.rs`, `broker/upkeep.rs` and `worker/native.rs`.

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::position::Position;
use tidegate_session::{Delivery, Fate, Feed, Identity, Opened};

use super::answers::unavailable;
use super::{Act, Call, Node, Place, Purpose};
use crate::store::sessions::{Hold, LIFE_MS, Resumption, Write, Written};
use crate::{Mutation, channel_of, name_of};

/// Seconds in which every session's positions are saved once.
const PARTS: u64 = 5;
/// Sessions are renewed so many times in their life.
const RENEWALS_A_LIFE: u64 = 3;

impl Node {
    /// Once a second: what has to be said again so that it stays true.
    pub(crate) fn upkeep(&mut self) {
        self.seconds += 1;
        let held: Vec<_> = self
            .roster
            .iter()
            .filter_map(|(session, connection)| {
                Some((*session, *connection, self.connections.get(connection)?.hold))
            })
            .collect();
        for (session, connection, by) in held {
            if self.seconds.is_multiple_of(LIFE_MS / 1000 / RENEWALS_A_LIFE) {
                self.ask(Purpose::Renew { session, by }, Call::Write { session, by, write: Write::Touch });
            }
            let subscribed = self.live_positions(connection);
            if connection % PARTS == self.seconds % PARTS && !subscribed.is_empty() {
                self.write(session, by, Write::Save { subscribed, unsubscribed: Vec::new() }, false);
            }
        }
        self.leave_departed();
    }

    /// The process stood still for longer than its lease: its sessions may be others' by now.
    pub(crate) fn give_up_sessions(&mut self) {
        let connections: Vec<_> = self.holds().map(|(_, connection, _)| connection).collect();
        for connection in connections {
            self.with_session(connection, |session, cx| session.close(CloseCause::Rebalance, cx));
            self.carry_out(connection);
        }
    }

    /// The node that took a session over says so.
    pub(crate) fn close_below(&mut self, session: SessionId, fence: u64) {
        let Some(&connection) = self.roster.get(&session) else { return };
        if self.connections.get(&connection).is_some_and(|open| open.hold.fence < fence) {
            self.close_taken_over(connection);
        }
    }

    fn close_taken_over(&mut self, connection: u64) {
        if self.mutation != Mutation::TakeoversIgnored {
            self.with_session(connection, |session, cx| session.close(CloseCause::TakenOver, cx));
            self.carry_out(connection);
        }
    }

    pub(super) fn handle_created(
        &mut self,
        connection: u64,
        (session, secret): (SessionId, ResumeSecret),
        owner: u64,
        is_created: bool,
    ) {
        let by = Hold { fence: 1, owner };
        let opened = match is_created {
            true => {
                self.take_seat(connection, (session, secret), by);
                Ok(Opened::New { session, resume: secret, node: self.name() })
            }
            false => Err(unavailable()),
        };
        if is_created && !self.connections.contains_key(&connection) {
            return self.write(session, by, Write::End, false);
        }
        self.with_session(connection, |session, cx| session.handle_opened(opened, cx));
        self.carry_out(connection);
    }

    pub(super) fn handle_resumed(
        &mut self,
        connection: u64,
        (session, secret): (SessionId, ResumeSecret),
        owner: u64,
        resumed: Option<Option<Resumption>>,
    ) {
        let opened = match resumed {
            None => Err(unavailable()),
            Some(None) => Ok(Opened::NotResumable),
            Some(Some(Resumption { fence, taken_from, held })) => {
                let by = Hold { fence, owner };
                if let Some(node) = taken_from.filter(|node| *node != self.index) {
                    self.acts.push(Act::TellTakenOver { node, session, fence });
                }
                self.take_seat(connection, (session, secret), by);
                let Some(open) = self.connections.get(&connection) else {
                    return self.detach_with(session, by, Vec::new());
                };
                let identity = Identity {
                    user: format!("user-{}", open.client).into(),
                    expires_at: None,
                    channels: Vec::new(),
                };
                let subscriptions =
                    held.into_iter().map(|(channel, position)| (name_of(channel), position)).collect();
                Ok(Opened::Resumed { session, resume: secret, node: self.name(), identity, subscriptions })
            }
        };
        self.with_session(connection, |session, cx| session.handle_opened(opened, cx));
        self.carry_out(connection);
    }

    /// Notes a session's connection, unless a newer one has been noted; the older of two is closed.
    fn take_seat(&mut self, connection: u64, (session, secret): (SessionId, ResumeSecret), by: Hold) {
        if let Some(open) = self.connections.get_mut(&connection) {
            (open.hold, open.secret) = (by, Some(secret));
        }
        match self.roster.get(&session).copied() {
            Some(seated) if seated != connection => {
                let other = self.connections.get(&seated).map_or(0, |open| open.hold.fence);
                if other > by.fence {
                    self.close_taken_over(connection);
                } else {
                    self.roster.insert(session, connection);
                    self.close_taken_over(seated);
                }
            }
            _ => {
                self.roster.insert(session, connection);
            }
        }
    }

    pub(super) fn handle_written(&mut self, session: SessionId, by: Hold, written: Written) {
        match written {
            Written::Saved => {}
            Written::Fenced => self.close_below(session, by.fence + 1),
            Written::Gone => self.make_again(session, by),
        }
    }

    pub(super) fn handle_renewed(&mut self, session: SessionId, by: Hold, written: Written) {
        match written {
            Written::Saved => {}
            Written::Fenced => self.ask(Purpose::Look { session, by }, Call::Hold(session)),
            Written::Gone => self.make_again(session, by),
        }
    }

    /// The store has forgotten a session that has a connection here, and is told again.
    fn make_again(&mut self, session: SessionId, by: Hold) {
        let Some(&connection) = self.roster.get(&session) else { return };
        let secret = self.connections.get(&connection).and_then(|open| open.secret);
        let Some(secret) = secret else { return };
        self.ask(Purpose::Nothing, Call::Create { session, secret, by });
        let write = Write::Save { subscribed: self.positions(connection), unsubscribed: Vec::new() };
        self.write(session, by, write, false);
    }

    /// The connection ends: its subscriptions leave the hub, its session waits for the client to come back, or ends too.
    pub(super) fn let_go(&mut self, connection: u64, cause: CloseCause) {
        self.flush(connection);
        let positions = self.positions(connection);
        let Some(open) = self.connections.remove(&connection) else { return };
        self.acts.push(Act::HangUp { connection });
        for channel in open.held.keys() {
            self.leave(connection, *channel);
        }
        let fate = match cause {
            CloseCause::TakenOver => Fate::Nothing,
            _ => open.session.fate(None),
        };
        let Some(session) = open.session.id() else { return };
        match fate {
            Fate::Nothing => {}
            Fate::End => {
                self.unseat(session, connection);
                self.write(session, open.hold, Write::End, false);
            }
            Fate::Detach => {
                self.unseat(session, connection);
                self.detach_with(session, open.hold, positions);
            }
        }
    }

    fn unseat(&mut self, session: SessionId, connection: u64) {
        if self.roster.get(&session) == Some(&connection) {
            self.roster.remove(&session);
        }
    }

    fn detach_with(&mut self, session: SessionId, by: Hold, subscribed: Vec<(usize, Option<Position>)>) {
        if self.roster.get(&session).is_some_and(|seated| !self.connections.contains_key(seated)) {
            self.roster.remove(&session);
        }
        self.write(session, by, Write::Save { subscribed, unsubscribed: Vec::new() }, true);
    }

    pub(super) fn detach(&mut self, session: SessionId, by: Hold) {
        self.write(session, by, Write::Detach, false);
    }

    pub(super) fn write(&mut self, session: SessionId, by: Hold, write: Write, then_detach: bool) {
        self.ask(Purpose::Write { session, by, then_detach }, Call::Write { session, by, write });
    }

    /// Everything that was granted, with what is known of how far the client got.
    fn positions(&self, connection: u64) -> Vec<(usize, Option<Position>)> {
        let Some(open) = self.connections.get(&connection) else { return Vec::new() };
        let standing = open.session.subscriptions().map(|(name, delivery)| {
            let channel = channel_of(name.as_str());
            let position = match delivery {
                Delivery::Gated { delivered } => delivered,
                Delivery::Live => self.hub.get(&channel).and_then(|hub| hub.feed.as_ref()).map(Feed::head),
            };
            (channel, position)
        });
        standing.collect()
    }

    fn live_positions(&self, connection: u64) -> Vec<(usize, Option<Position>)> {
        let Some(open) = self.connections.get(&connection) else { return Vec::new() };
        let live = open.held.iter().filter(|(_, place)| **place == Place::Live);
        let head = |channel: &usize| self.hub.get(channel)?.feed.as_ref().map(Feed::head);
        live.filter_map(|(channel, _)| Some((*channel, Some(head(channel)?)))).collect()
    }

    fn name(&self) -> NodeName {
        NodeName::parse(&format!("node-{}", self.index)).expect("a good name")
    }

    /// The connections of this node and the fences that they have.
    pub(crate) fn holds(&self) -> impl Iterator<Item = (SessionId, u64, Hold)> {
        self.connections
            .iter()
            .filter_map(|(connection, open)| Some((open.session.id()?, *connection, open.hold)))
    }
}
