//! What a driver does for a session: authentication, the store, the history, the hub.

use tidegate_protocol::command::{Resume, StartFrom};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::time::Millis;
use tidegate_session::{AskedBy, Effect, Identity, Opened, Refusal, ReplyTo, Subscribed};

use super::{Happening, Mutation, Saved, World};
use crate::node::Answer;

impl World {
    pub(super) fn perform(&mut self, effect: Effect<'_>) {
        self.trace(|| format!("effect {effect:?}"));
        let refusal = self.refusal();
        let answer = match effect {
            Effect::Authenticate { .. } => Answer::Authenticated(refusal.map_or(Ok(self.identity()), Err)),
            Effect::Open { .. } => Answer::Opened(refusal.map_or_else(|| Ok(self.open()), Err)),
            Effect::Resume { resume } => Answer::Opened(refusal.map_or_else(|| Ok(self.resume(resume)), Err)),
            Effect::Subscribe { channel, from, ask } => {
                if ask.by == AskedBy::Gate {
                    self.summary.rereads += 1;
                    if self.mutation == Mutation::NoSecondReading {
                        return;
                    }
                } else if let Some(connection) = &mut self.connection {
                    connection.join(channel.as_str(), ask);
                }
                let channel = channel.to_string();
                match refusal {
                    None if self.random.percent(50) => Answer::Read { channel, ask, from },
                    None => Answer::Subscribed { ask, answer: Ok(self.read(&channel, from)), channel },
                    Some(refusal) => Answer::Subscribed { channel, ask, answer: Err(refusal) },
                }
            }
            Effect::Unsubscribe { channel } => {
                if let Some(connection) = &mut self.connection {
                    connection.hub.remove(channel.as_str());
                }
                return;
            }
            Effect::Publish { to, publish } => {
                let published = publish.channel.as_str();
                let channel = self.channels.iter().position(|channel| channel.name == published);
                if let (Some(channel), None) = (channel, &refusal) {
                    self.publish(channel);
                }
                self.replied(to, refusal)
            }
            Effect::Send { to, .. } | Effect::Presence { to, .. } | Effect::History { to, .. } => {
                self.replied(to, refusal)
            }
            Effect::Refresh { to, .. } => {
                Answer::Refreshed { to, answer: refusal.map_or(Ok(self.identity()), Err) }
            }
            Effect::Close { .. } => {
                if let Some(connection) = &mut self.connection {
                    connection.closes += 1;
                    self.summary.closes += 1;
                }
                return;
            }
        };
        let Some(connection) = &mut self.connection else { return };
        if self.random.percent(50) {
            connection.ready.push_back(answer);
        } else {
            let number = connection.number;
            let delay = self.random.below(self.faults.delay_ms_max);
            self.later(self.now + delay, Happening::Answer { connection: number, answer });
        }
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        let answer = match answer {
            Answer::Read { channel, ask, from } => {
                Answer::Subscribed { ask, answer: Ok(self.read(&channel, from)), channel }
            }
            read => read,
        };
        if let Some(connection) = &mut self.connection {
            connection.answer(self.now, answer);
        }
    }

    fn read(&self, channel: &str, from: StartFrom) -> Subscribed {
        let channel = self.channels.iter().find(|found| found.name == channel).expect("one of ours");
        let mut subscribed = channel.read(from);
        match (self.mutation, subscribed.replay.first().cloned()) {
            (Mutation::ShortReplay, Some(_)) => {
                subscribed.replay.remove(0);
            }
            (Mutation::RepeatedReplay, Some(first)) => subscribed.replay.insert(0, first),
            _ => {}
        }
        subscribed
    }

    fn replied(&self, to: ReplyTo, refusal: Option<Refusal>) -> Answer {
        let is_twice = self.mutation == Mutation::TwoReplies;
        Answer::Replied { to, answer: refusal.map_or(Ok(()), Err), is_twice }
    }

    fn refusal(&mut self) -> Option<Refusal> {
        let code = *self.random.pick(&[ErrorCode::Unavailable, ErrorCode::Forbidden]);
        self.random
            .percent(self.faults.refusals)
            .then(|| Refusal(ErrorBody::new(code, "refused by the model")))
    }

    fn identity(&self) -> Identity {
        let expires_at = self.faults.token_ms.map(|ms| Millis::new(self.now + ms));
        Identity { user: "ada".into(), expires_at, channels: Vec::new() }
    }

    fn open(&mut self) -> Opened {
        let number = u8::try_from(self.connections % 251).expect("below 251");
        let id = SessionId::from_bytes([number; 16]);
        let expires_at = self.identity().expires_at;
        self.saved = Some(Saved { id, expires_at, subscriptions: Vec::new() });
        Opened::New { session: id, resume: secret(), node: node() }
    }

    fn resume(&self, resume: Resume) -> Opened {
        match &self.saved {
            Some(saved) if saved.id == resume.session => Opened::Resumed {
                session: saved.id,
                resume: secret(),
                node: node(),
                identity: Identity { expires_at: saved.expires_at, ..self.identity() },
                subscriptions: saved.subscriptions.clone(),
            },
            Some(_) | None => Opened::NotResumable,
        }
    }
}

fn secret() -> ResumeSecret {
    ResumeSecret::from_bytes([9; 16])
}

fn node() -> NodeName {
    NodeName::parse("node").expect("a good name")
}
