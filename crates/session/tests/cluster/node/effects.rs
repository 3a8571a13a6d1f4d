//! What a session wants done: after `worker/perform.rs` and `worker/subscribe.rs`.

use tidegate_protocol::command::StartFrom;
use tidegate_protocol::id::{ResumeSecret, SessionId};
use tidegate_protocol::position::Position;
use tidegate_session::{Ask, Delivery, Effect, Identity};

use super::{Act, Call, Node, Place, Purpose};
use crate::known::Measure;
use crate::store::sessions::{Hold, Write};
use crate::{CHANNELS, channel_of, name_of};

impl Node {
    pub(super) fn perform(&mut self, connection: u64, effect: Effect<'_>) {
        match effect {
            Effect::Authenticate { .. } => {
                let Some(open) = self.connections.get(&connection) else { return };
                let user = format!("user-{}", open.client).into();
                let identity = Identity { user, expires_at: None, channels: Vec::new() };
                self.with_session(connection, |session, cx| session.handle_authenticated(Ok(identity), cx));
            }
            Effect::Open { .. } => {
                let unique = self.last_question + 1;
                let (session, secret, owner) = (SessionId::from_bytes(bytes(unique)), secret(unique), unique);
                let purpose = Purpose::Open { connection, session, secret, owner };
                self.ask(purpose, Call::Create { session, secret, by: Hold { fence: 1, owner } });
            }
            Effect::Resume { resume } => {
                let owner = self.last_question + 1;
                let (session, secret) = (resume.session, resume.secret);
                let purpose = Purpose::Resume { connection, session, secret, owner };
                self.ask(purpose, Call::Resume { session, secret, owner });
            }
            Effect::Subscribe { channel, from, ask } => {
                self.subscribe(connection, channel_of(channel.as_str()), from, ask);
            }
            Effect::Unsubscribe { channel } => self.unsubscribe(connection, channel_of(channel.as_str())),
            Effect::Publish { to, publish } => {
                let channel = channel_of(publish.channel.as_str());
                let number = publish.data.as_str().parse().expect("clients publish numbers");
                let known = Measure { sent: None, ..self.known.measure(channel) };
                let purpose = Purpose::Publish { connection, to, channel, number };
                self.ask(purpose, Call::Append { channel, number, known });
            }
            Effect::Close { cause } => self.let_go(connection, cause),
            Effect::Send { .. }
            | Effect::Presence { .. }
            | Effect::History { .. }
            | Effect::Refresh { .. } => {
                unreachable!("no client here asks for it")
            }
        }
    }

    /// A subscription listens before its past is read.
    fn subscribe(&mut self, connection: u64, channel: usize, from: StartFrom, ask: Ask) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        let place = open.held.entry(channel).or_insert(Place::Asked);
        if *place == Place::Asked {
            *place = Place::Gated;
            self.hub.entry(channel).or_default().gated.push(connection);
        }
        let question = self.question(Purpose::Listen { connection, channel, from, ask });
        self.listens.insert(channel);
        self.acts.push(Act::Listen { question, channel });
    }

    pub(super) fn read_past(&mut self, connection: u64, channel: usize, from: StartFrom, ask: Ask) {
        let known = self.known.measure(channel);
        self.ask(Purpose::Subscribe { connection, channel, ask }, Call::Read { channel, from, known });
    }

    pub(super) fn unsubscribe(&mut self, connection: u64, channel: usize) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        if open.held.remove(&channel).is_none() {
            return;
        }
        let (session, by) = (open.session.id(), open.hold);
        self.leave(connection, channel);
        if let Some(session) = session {
            let write = Write::Save { subscribed: Vec::new(), unsubscribed: vec![channel] };
            self.write(session, by, write, false);
        }
    }

    /// Takes a connection out of a channel of the hub, which forgets a channel that nobody is left on.
    pub(super) fn leave(&mut self, connection: u64, channel: usize) {
        let Some(hub) = self.hub.get_mut(&channel) else { return };
        hub.members.remove(&connection);
        hub.gated.retain(|gated| *gated != connection);
        if hub.members.is_empty() && hub.gated.is_empty() {
            self.hub.remove(&channel);
        }
    }

    /// A subscription whose session says that it has caught up becomes a member.
    pub(super) fn release_if_live(&mut self, connection: u64, channel: usize) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        if open.held.get(&channel) != Some(&Place::Gated)
            || open.session.subscription(CHANNELS[channel]) != Some(Delivery::Live)
        {
            return;
        }
        open.held.insert(channel, Place::Live);
        let Some(hub) = self.hub.get_mut(&channel) else { return };
        hub.gated.retain(|gated| *gated != connection);
        hub.members.insert(connection);
    }

    /// Writes down a new subscription.
    pub(super) fn save_subscription(&mut self, connection: u64, channel: usize, position: Option<Position>) {
        let Some(open) = self.connections.get(&connection) else { return };
        let Some(session) = open.session.id() else { return };
        let write = Write::Save { subscribed: vec![(channel, position)], unsubscribed: Vec::new() };
        self.write(session, open.hold, write, false);
    }

    /// Whether everything here is delivered by the hub itself.
    pub(crate) fn is_live(&self, connection: u64, channel: usize) -> bool {
        let open = self.connections.get(&connection);
        open.is_some_and(|open| {
            open.held.get(&channel) == Some(&Place::Live)
                && open.session.subscription(name_of(channel).as_str()) == Some(Delivery::Live)
        })
    }
}

fn secret(unique: u64) -> ResumeSecret {
    ResumeSecret::from_bytes(bytes(unique))
}

fn bytes(unique: u64) -> [u8; 16] {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&unique.to_be_bytes());
    bytes
}
