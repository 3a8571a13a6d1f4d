//! Keeps calls for one entity in the order in which they were begun, also where the server sends some of them back.
//!
//! Calls of one entity share a connection, so they reach the server in order. One that is sent back (its script is not
//! known there, its slot has gone to another server) has to be sent again, and others are on their way by then. It waits for
//! the outcome of all of those, later ones wait behind it, and then they go in their order. One that was overtaken all the
//! same, since a later one was carried out, is not sent again: its caller is told that nothing was done.
//!
//! Place in the data path: [`Shared::send`](super::Shared) enters each script's call in the line of its entity.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use fred::error::{Error, ErrorKind};
use tokio::sync::oneshot;

use crate::memory::shards::Shards;

#[cfg(test)]
mod tests;

/// The lines of all entities that have calls under way: as many as there are calls, at most.
#[derive(Debug)]
pub(super) struct Lines(Shards<HashMap<u64, Line>>);

/// The calls for one entity that have no outcome yet.
#[derive(Debug, Default)]
struct Line {
    /// The number of the next call.
    next: u64,
    /// The next one after the last that may have been carried out.
    done: u64,
    /// Sent, without an outcome.
    sent: usize,
    /// Those that may not be sent yet.
    waiting: BTreeMap<u64, oneshot::Sender<Role>>,
    /// The one that may be sent now, while others wait.
    turn: Option<u64>,
    /// Some of those that wait were sent before: none goes while others are on their way.
    sent_back: bool,
}

/// A call's place in its line, which it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    lines: &'a Lines,
    entity: u64,
    number: u64,
    stands: Stands,
}

#[derive(Debug)]
enum Stands {
    Waiting(oneshot::Receiver<Role>),
    /// Those behind it wait until it passes the turn on.
    Turn,
    Sent,
    Out,
}

/// What a call whose turn has come owes to those behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// It is the first after some were sent back: it makes sure that they can be carried out.
    Leads,
    Follows,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Done,
    /// It may have been carried out.
    Unknown,
    /// Nothing was done.
    Nothing,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self(Shards::new())
    }

    /// Takes the last place of an entity's line.
    pub(super) fn enter(&self, entity: u64) -> Place<'_> {
        let mut lines = self.0.lock_nth(entity as usize);
        let line = lines.entry(entity).or_default();
        let number = line.next;
        line.next += 1;
        let stands = if line.turn.is_none() && line.waiting.is_empty() {
            line.sent += 1;
            Stands::Sent
        } else {
            Stands::Waiting(line.wait(number))
        };
        Place { lines: self, entity, number, stands }
    }
}

impl Line {
    fn wait(&mut self, number: u64) -> oneshot::Receiver<Role> {
        let (turn, told) = oneshot::channel();
        self.waiting.insert(number, turn);
        told
    }

    /// Gives the turn to the first that waits, if it may be sent.
    fn go_on(&mut self) {
        if self.turn.is_some() || self.sent_back && self.sent > 0 {
            return;
        }
        let role = if self.sent_back { Role::Leads } else { Role::Follows };
        while let Some((number, turn)) = self.waiting.pop_first() {
            // One that is about to leave is not there to be told.
            if turn.send(role).is_ok() {
                self.turn = Some(number);
                break;
            }
        }
        self.sent_back = false;
    }

    fn note(&mut self, number: u64, fate: Fate) {
        if fate != Fate::Nothing {
            self.done = self.done.max(number + 1);
        }
    }

    /// Takes the turn from a call that has it.
    fn end_turn(&mut self, number: u64) -> bool {
        let had = self.turn == Some(number);
        if had {
            self.turn = None;
        }
        had
    }
}

impl Place<'_> {
    /// Waits until it may be sent, which is at once unless an earlier call was sent back.
    ///
    /// # Errors
    ///
    /// Its turn did not come before the deadline.
    pub(super) async fn turn(&mut self, deadline: Instant) -> Result<Role, Error> {
        let Stands::Waiting(told) = &mut self.stands else { return Ok(Role::Follows) };
        let Ok(Ok(role)) = tokio::time::timeout_at(deadline.into(), told).await else {
            return Err(nothing_done("Earlier calls could not be sent again in time."));
        };
        self.change(|line, _| line.sent += 1);
        self.stands = Stands::Turn;
        Ok(role)
    }

    /// It is on its way: the next one may be sent behind it.
    pub(super) fn pass(&mut self) {
        if matches!(self.stands, Stands::Turn) {
            self.stands = Stands::Sent;
            self.change(|line, number| {
                line.end_turn(number);
                line.go_on();
            });
        }
    }

    /// It was sent back. Waits until it may be sent again: no other is on its way then.
    ///
    /// # Errors
    ///
    /// A later call was carried out before it, or its turn did not come before the deadline.
    pub(super) async fn turn_again(&mut self, deadline: Instant) -> Result<Role, Error> {
        let told = self.change(|line, number| {
            let told = line.wait(number);
            line.sent_back = true;
            line.sent -= 1;
            line.end_turn(number);
            line.go_on();
            told
        });
        self.stands = Stands::Waiting(told);
        let role = self.turn(deadline).await?;
        let overtaken = self.change(|line, number| line.done > number);
        if overtaken { Err(nothing_done("A later call was carried out before this one.")) } else { Ok(role) }
    }

    /// Leaves the line.
    pub(super) fn leave(mut self, fate: Fate) {
        self.end(fate);
    }

    fn end(&mut self, fate: Fate) {
        let stands = std::mem::replace(&mut self.stands, Stands::Out);
        let mut lines = self.lines.0.lock_nth(self.entity as usize);
        let Some(line) = lines.get_mut(&self.entity) else { return };
        match stands {
            Stands::Out => return,
            Stands::Turn | Stands::Sent => {
                line.sent -= 1;
                line.note(self.number, fate);
            }
            Stands::Waiting(_) => drop(line.waiting.remove(&self.number)),
        }
        // One that led and got nowhere leaves that to the next.
        line.sent_back |= line.end_turn(self.number) && fate != Fate::Done;
        line.go_on();
        if line.turn.is_none() && line.waiting.is_empty() && line.sent == 0 {
            lines.remove(&self.entity);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Line, u64) -> T) -> T {
        let mut lines = self.lines.0.lock_nth(self.entity as usize);
        change(lines.entry(self.entity).or_default(), self.number)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Given up while it was under way, if it has not left.
        self.end(Fate::Unknown);
    }
}

fn nothing_done(why: &'static str) -> Error {
    Error::new(ErrorKind::Routing, why)
}
