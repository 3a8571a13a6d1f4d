//! One gateway: what its worker and its broker do around the real sessions and feeds, without sockets and threads.
//!
//! What it wants done outside is listed as [`Act`]s; answers come back by the number of the question. A node that is
//! started again is a new one of these.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::command::{self, ParseLimits, StartFrom};
use tidegate_protocol::event::Objects;
use tidegate_protocol::id::{ResumeSecret, SessionId};
use tidegate_protocol::position::{Link, Position};
use tidegate_protocol::time::Millis;
use tidegate_session::{Ask, Cx, Effect, Feed, Policy, ReplyTo, Session};

use crate::Mutation;
use crate::known::{Known, Measure, Seen};
use crate::store::sessions::{Hold, Resumption, Write, Written};
use crate::store::{Appended, Page};

mod answers;
mod effects;
mod ingest;
mod sessions;

/// How long after it was noticed a gap is read, in milliseconds.
const TICK_MS: u64 = 60;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) index: usize,
    mutation: Mutation,
    policy: Policy,
    now: u64,
    pub(crate) known: Known,
    pub(crate) hub: BTreeMap<usize, Hub>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    /// Which connection has which session.
    roster: BTreeMap<SessionId, u64>,
    /// Channels that the bus was asked for.
    listens: BTreeSet<usize>,
    gaps: BTreeSet<usize>,
    repair_at: Option<u64>,
    looked_at: usize,
    seconds: u64,
    questions: BTreeMap<u64, Purpose>,
    /// What each question was asked with: the store compared it with what it has.
    compared: BTreeMap<u64, Vec<(usize, Option<Seen>)>>,
    last_question: u64,
    acts: Vec<Act>,
    /// What it has seen is still to be compared with a store that may be another one.
    pub(crate) is_sweeping: bool,
}

/// A channel with subscribers here.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    pub(crate) feed: Option<Feed<Publication>>,
    members: BTreeSet<u64>,
    gated: Vec<u64>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) client: usize,
    pub(crate) hold: Hold,
    secret: Option<ResumeSecret>,
    held: BTreeMap<usize, Place>,
    out: Objects,
}

/// Where a subscription stands in the hub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Asked,
    Gated,
    Live,
}

/// A publication on its way to subscribers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication {
    pub(crate) channel: usize,
    pub(crate) position: Position,
    pub(crate) link: Option<Link>,
    pub(crate) number: u64,
    /// What it is known by in the end; that of its link, which replayed ones lack.
    pub(crate) tag: u64,
}

/// Something to be done outside.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Ask { question: u64, call: Call },
    Listen { question: u64, channel: usize },
    Unlisten { channel: usize },
    Publish(Publication),
    TellTakenOver { node: usize, session: SessionId, fence: u64 },
    Write { connection: u64, objects: String },
    HangUp { connection: u64 },
}

/// A question to the store.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Append { channel: usize, number: u64, known: Measure },
    Read { channel: usize, from: StartFrom, known: Measure },
    Heads(Vec<(usize, Measure)>),
    Create { session: SessionId, secret: ResumeSecret, by: Hold },
    Resume { session: SessionId, secret: ResumeSecret, owner: u64 },
    Write { session: SessionId, by: Hold, write: Write },
    Hold(SessionId),
}

/// Its answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Appended(Appended),
    Page(Page),
    Heads(Vec<(usize, Option<Seen>)>),
    Created,
    Resumed(Option<Resumption>),
    Written(Written),
    Hold(Option<Hold>),
    /// The bus has what was asked of it.
    Listening,
}

/// What an answer is for.
#[derive(Clone, Debug)]
enum Purpose {
    Publish { connection: u64, to: ReplyTo, channel: usize, number: u64 },
    Listen { connection: u64, channel: usize, from: StartFrom, ask: Ask },
    Subscribe { connection: u64, channel: usize, ask: Ask },
    Repair { channel: usize },
    Heads,
    Sweep,
    Open { connection: u64, session: SessionId, secret: ResumeSecret, owner: u64 },
    Resume { connection: u64, session: SessionId, secret: ResumeSecret, owner: u64 },
    Write { session: SessionId, by: Hold, then_detach: bool },
    Renew { session: SessionId, by: Hold },
    Look { session: SessionId, by: Hold },
    Nothing,
}

impl Node {
    pub(crate) fn new(index: usize, now: u64, policy: Policy, mutation: Mutation) -> Self {
        Self {
            index,
            mutation,
            policy,
            now,
            known: Known::default(),
            hub: BTreeMap::new(),
            connections: BTreeMap::new(),
            roster: BTreeMap::new(),
            listens: BTreeSet::new(),
            gaps: BTreeSet::new(),
            repair_at: None,
            looked_at: 0,
            seconds: 0,
            questions: BTreeMap::new(),
            compared: BTreeMap::new(),
            // Numbers are also names of sessions and owners: no two nodes have the same ones.
            last_question: (now << 24) | ((index as u64) << 20),
            acts: Vec::new(),
            is_sweeping: false,
        }
    }

    /// Does something at a time, and gives back what it wants done outside.
    pub(crate) fn turn(&mut self, now: u64, input: impl FnOnce(&mut Self)) -> Vec<Act> {
        self.now = now;
        input(self);
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for connection in connections {
            self.flush(connection);
        }
        std::mem::take(&mut self.acts)
    }

    /// When it wants to be woken, at the latest.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let of_sessions = self.connections.values().filter_map(|open| open.session.deadline());
        of_sessions.map(Millis::count).chain(self.repair_at).min()
    }

    /// Time has come for something.
    pub(crate) fn handle_wake(&mut self) {
        if self.repair_at.is_some_and(|at| at <= self.now) {
            self.repair_gaps();
        }
        let due = |(connection, open): (&u64, &Connection)| {
            let deadline = open.session.deadline().map(Millis::count);
            deadline.is_some_and(|at| at <= self.now).then_some(*connection)
        };
        let due: Vec<_> = self.connections.iter().filter_map(due).collect();
        for connection in due {
            self.with_session(connection, |session, cx| session.handle_timeout(cx));
            self.carry_out(connection);
        }
    }

    pub(crate) fn accept(&mut self, connection: u64, client: usize) {
        let session = Session::new(Millis::new(self.now), &self.policy);
        let hold = Hold { fence: 0, owner: 0 };
        let (held, out) = (BTreeMap::new(), Objects::new());
        let open = Connection { session, client, hold, secret: None, held, out };
        self.connections.insert(connection, open);
    }

    /// A message of a client.
    pub(crate) fn handle_text(&mut self, connection: u64, text: &str) {
        let now = Millis::new(self.now);
        self.with_session(connection, |session, _| session.handle_traffic(now));
        for object in command::objects(text) {
            self.handle_object(connection, object);
        }
        self.carry_out(connection);
    }

    /// The client's end of a connection is gone.
    pub(crate) fn handle_gone(&mut self, connection: u64) {
        self.let_go(connection, CloseCause::ClientGone);
    }

    fn handle_object(&mut self, connection: u64, object: &str) {
        let parsed =
            command::parse(object, &ParseLimits::default()).expect("clients here write good commands");
        let effect = self.with_session(connection, |session, cx| session.handle_command(parsed, object, cx));
        if let Some(effect) = effect.flatten() {
            self.perform(connection, effect);
        }
    }

    /// Does what a session wants done, until it wants nothing more.
    fn carry_out(&mut self, connection: u64) {
        loop {
            let effect: Option<Effect<'static>> =
                self.with_session(connection, |session, _| session.poll_effect()).flatten();
            if let Some(effect) = effect {
                self.perform(connection, effect);
                continue;
            }
            let held = self.with_session(connection, |session, _| session.poll_held()).flatten();
            let Some(held) = held else { return };
            self.handle_object(connection, &held);
        }
    }

    fn with_session<R>(
        &mut self,
        connection: u64,
        call: impl FnOnce(&mut Session, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let now = Millis::new(self.now);
        let Connection { session, out, .. } = self.connections.get_mut(&connection)?;
        Some(call(session, &mut Cx { now, policy: &self.policy, out }))
    }

    fn flush(&mut self, connection: u64) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        if !open.out.is_empty() {
            let objects = std::str::from_utf8(open.out.as_bytes()).expect("objects are JSON").to_owned();
            open.out.clear();
            self.acts.push(Act::Write { connection, objects });
        }
    }

    fn ask(&mut self, purpose: Purpose, call: Call) {
        let question = self.question(purpose);
        let compared = match &call {
            Call::Append { channel, known, .. } | Call::Read { channel, known, .. } => {
                vec![(*channel, known.seen)]
            }
            Call::Heads(asked) => asked.iter().map(|(channel, known)| (*channel, known.seen)).collect(),
            Call::Create { .. } | Call::Resume { .. } | Call::Write { .. } | Call::Hold(_) => Vec::new(),
        };
        self.compared.insert(question, compared);
        self.acts.push(Act::Ask { question, call });
    }

    fn question(&mut self, purpose: Purpose) -> u64 {
        self.last_question += 1;
        self.questions.insert(self.last_question, purpose);
        self.last_question
    }
}
