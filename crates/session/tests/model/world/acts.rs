//! What the client, the publishers, the operator and the network do, of their own accord.

use std::time::Duration;

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::{Channel as Name, ChannelName};
use tidegate_protocol::command::{Command, Connect, Publish, StartFrom, Subscribe};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::json::RawJson;
use tidegate_session::{Fate, Policy};

use super::World;
use crate::client::{Asked, Checked};
use crate::node::{Connection, Item};

impl World {
    pub(super) fn step(&mut self) -> Checked {
        if self.random.percent(50) {
            let channel = self.random.below(self.channels.len() as u64) as usize;
            for _ in 0..=self.random.below(4) {
                self.publish(channel);
            }
        }
        if self.random.percent(self.faults.history) {
            let channel = self.random.below(self.channels.len() as u64) as usize;
            match self.random.percent(30) {
                true => self.channels[channel].lose(),
                false => {
                    let kept = self.random.below(6);
                    self.channels[channel].forget_all_but(kept);
                }
            }
        }
        if self.connection.is_none() {
            return if self.random.percent(40) { self.connect() } else { Ok(()) };
        }
        if self.random.percent(self.faults.cuts) {
            return self.cut();
        }
        match self.random.below(20) {
            0 => self.operate(),
            1..=9 => self.act(),
            _ => Ok(()),
        }
    }

    /// The client does something.
    fn act(&mut self) -> Checked {
        let channel = self.random.pick(&["a", "b", "c:d", "plain"]).to_owned();
        let other = |name| Asked::Other { name };
        match self.random.below(9) {
            0..=2 => {
                let from = self.start(channel);
                let told = match from {
                    StartFrom::Position(position) => Some(position),
                    StartFrom::Live | StartFrom::Newest(_) => None,
                };
                let body = Subscribe { channel: name(channel), from };
                let asked = Asked::Subscribe { channel: channel.into(), told };
                self.send(Some(asked), Command::Subscribe(body))
            }
            3 => {
                let asked = Asked::Unsubscribe { channel: channel.into() };
                self.send(Some(asked), Command::Unsubscribe { channel: name(channel) })
            }
            4 | 5 => {
                let asked = self.random.percent(50).then(|| other("publish"));
                let publish = Publish {
                    channel: name(channel),
                    data: RawJson::NULL,
                    key: None,
                    conflate: None,
                    trace: None,
                };
                self.send(asked, Command::Publish(publish))
            }
            6 => self.send(Some(other("presence")), Command::Presence { channel: name(channel) }),
            7 => self.send(Some(other("refresh")), Command::Refresh { token: "new".into() }),
            _ => {
                if let Some(connection) = &mut self.connection {
                    connection.command(self.now, "nonsense");
                }
                Ok(())
            }
        }
    }

    /// Where a subscription begins: with what is new, with the newest few, or where the client left it.
    fn start(&mut self, channel: &str) -> StartFrom {
        let known = self.client.left.get(channel).copied();
        match (self.random.below(4), known) {
            (0, _) => StartFrom::Newest(self.random.below(5) as u32),
            (1, Some(position)) => StartFrom::Position(position),
            _ => StartFrom::Live,
        }
    }

    /// The operator or the app does something.
    fn operate(&mut self) -> Checked {
        let channel = self.random.pick(&["a", "b", "c:d", "plain"]).to_owned();
        let act = self.random.below(6);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        match act {
            0 | 1 => {
                let forced = ChannelName::parse(channel).expect("a good name");
                let was_told = connection.session.is_ready();
                let forced =
                    connection.call(self.now, |session, cx| session.handle_forced_subscribe(forced, cx));
                if forced.is_ok() && was_told {
                    connection.wire.push_back(Item::Unannounced(channel.into()));
                }
            }
            2 | 3 => {
                let error = ErrorBody::new(ErrorCode::Forbidden, "no longer");
                connection
                    .call(self.now, |session, cx| session.handle_forced_unsubscribe(channel, &error, cx));
            }
            4 => connection
                .call(self.now, |session, cx| session.handle_drain(100, 1000, CloseCause::Drain, cx)),
            _ => connection.call(self.now, |session, cx| session.close(CloseCause::Disconnected, cx)),
        }
        self.settle()
    }

    pub(super) fn connect(&mut self) -> Checked {
        self.connections += 1;
        let policy = Policy {
            messages: None,
            bytes: None,
            bad_messages_max: 3,
            strikes_window: Duration::from_secs(2),
            ping_interval: Duration::from_secs(3),
            expiring_notice: Duration::from_secs(1),
            gate_messages_max: self.faults.gate_messages_max,
            ..Policy::default()
        };
        self.connection = Some(Connection::new(self.connections, self.now, policy));
        let mut connect = Connect { token: Some("token".into()), ..Connect::default() };
        connect.resume = self.client.credentials;
        let positions = self.client.positions();
        connect.positions = positions.iter().map(|(channel, position)| (name(channel), *position)).collect();
        let wanted: Vec<_> = self.client.subscriptions.keys().cloned().collect();
        if self.random.percent(60) {
            connect.subscribe = wanted.iter().map(|channel| name(channel)).collect();
        }
        let asked = Asked::Connect { told: positions.clone() };
        self.send(Some(asked), Command::Connect(Box::new(connect)))?;
        while self.connection.is_some() && !self.is_ending && self.random.percent(40) {
            self.act()?;
        }
        Ok(())
    }

    /// The network between the client and the node is gone, with what was on it.
    pub(super) fn cut(&mut self) -> Checked {
        let is_polite = self.random.percent(15);
        if self.random.percent(50) {
            self.read_wire(true)?;
        }
        if self.connection.is_some() {
            self.trace(|| format!("cut, politely: {is_polite}"));
            self.hang_up(is_polite.then_some(1000));
            if is_polite {
                self.client.credentials = None;
            }
        }
        Ok(())
    }

    pub(super) fn hang_up(&mut self, client_close: Option<u16>) {
        let Some(connection) = self.connection.take() else { return };
        match connection.session.fate(client_close) {
            Fate::Nothing => {}
            Fate::End => self.saved = None,
            Fate::Detach => {
                if let Some(saved) = &mut self.saved {
                    saved.subscriptions = connection.subscriptions();
                }
            }
        }
        self.client.disconnected();
    }
}

fn name(channel: &str) -> Name<'_> {
    Name::parse(channel).expect("a good name")
}
