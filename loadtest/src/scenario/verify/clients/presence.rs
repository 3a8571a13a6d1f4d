//! Who is present at the end: each channel is asked for by one of its subscribers, and compared with who is really there.

use std::collections::BTreeSet;

use tidegate_protocol::command::{self, Command, Request};
use tidegate_protocol::event::Member;
use tidegate_protocol::id::SessionId;
use tidegate_wire::frame::OpCode;

use super::Clients;
use crate::engine::{Commands, Lane};
use crate::native::FIRST_ID;
use crate::scenario::verify::session::Link;
use crate::scenario::verify::tally::Wrong;

/// What the newest answer said of a channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Attendance {
    #[default]
    Unknown,
    Known {
        /// Present, and not there.
        ghosts: u64,
        /// There, and not present.
        absent: u64,
    },
}

impl Clients {
    /// Asks for the presence of each channel that has a connected subscriber.
    pub(in crate::scenario::verify) fn call_roll(&mut self, out: &mut Commands) {
        self.roll = vec![Attendance::Unknown; self.press.channels.len()];
        for channel in 0..self.press.channels.len() {
            let Some(lane) = self.subscribers_of(channel).map(|(lane, _)| lane).next() else {
                // Nobody is there who could be absent, or could ask.
                self.roll[channel] = Attendance::Known { ghosts: 0, absent: 0 };
                continue;
            };
            let id = FIRST_ID + u32::try_from(channel).expect("channels are bounded below that");
            let command = Command::Presence { channel: self.press.channels[channel].clone() };
            let mut object = Vec::new();
            command::append(&mut object, &Request { id: Some(id), command });
            out.send_frame(lane, OpCode::Text, &object);
        }
    }

    /// The answer for one channel.
    pub(super) fn handle_presence(&mut self, id: u32, members: &[Member<'_>]) {
        let channel = id.checked_sub(FIRST_ID).and_then(|channel| usize::try_from(channel).ok());
        let Some(channel) = channel.filter(|channel| *channel < self.roll.len()) else { return };
        let present: BTreeSet<SessionId> = members.iter().map(|member| member.session).collect();
        let there: BTreeSet<SessionId> =
            self.subscribers_of(channel).filter_map(|(_, session)| session).collect();
        self.roll[channel] = Attendance::Known {
            ghosts: present.difference(&there).count() as u64,
            absent: there.difference(&present).count() as u64,
        };
    }

    /// Does everybody who is present exist, and is everybody who exists present?
    pub(in crate::scenario::verify) fn is_roll_right(&self) -> bool {
        self.roll.iter().all(|attendance| *attendance == Attendance::Known { ghosts: 0, absent: 0 })
    }

    /// The last roll call is the verdict.
    pub(super) fn settle_roll(&mut self) {
        for (channel, attendance) in std::mem::take(&mut self.roll).into_iter().enumerate() {
            let name = &self.press.channels[channel];
            match attendance {
                Attendance::Unknown => self
                    .tally
                    .found(Wrong::Refused, 1, || format!("{}: nobody said who is present", name.as_str())),
                Attendance::Known { ghosts, absent } => {
                    let name = name.as_str();
                    self.tally.found(Wrong::Ghost, ghosts, || {
                        format!("{name}: {ghosts} are present and not there")
                    });
                    self.tally.found(Wrong::Absent, absent, || {
                        format!("{name}: {absent} are there and not present")
                    });
                }
            }
        }
    }

    /// Connected ones.
    fn subscribers_of(&self, channel: usize) -> impl Iterator<Item = (Lane, Option<SessionId>)> {
        let first = self.publishers.len();
        self.subscribers.iter().enumerate().filter_map(move |(index, subscriber)| {
            let session = &self.sessions[first + index];
            let is_on = subscriber.feeds.iter().any(|feed| feed.channel == channel);
            (is_on && session.link == Link::Up).then(|| (first + index, session.id()))
        })
    }
}
