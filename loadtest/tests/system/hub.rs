//! A server of the native dialect, with sessions, history and one flaw of choice: what a verification has to find.
//!
//! Blocking sockets, a thread for each connection, and everything under one lock, so that nothing happens but by the flaw.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tidegate_protocol::command::{self, Command, Connect, ParseLimits, Publish, objects};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{
    self, ChannelState, ClientLimits, Connected, Member, Message, Objects, Published, Reconnect, Reply,
};
use tidegate_protocol::id::{ResumeSecret, SessionId};
use tidegate_protocol::json::{OwnedJson, RawJson};
use tidegate_protocol::position::{Epoch, Position};
use tidegate_wire::frame::{self, OpCode};

use crate::scripted::{accept_each, next_frame, upgrade};

/// What the hub does wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Flaw {
    #[default]
    None,
    /// One publication does not reach one subscriber.
    DropsOne,
    /// One publication reaches one subscriber twice.
    Duplicates,
    /// One publication reaches one subscriber after the next.
    Reorders,
    /// One publication reaches one subscriber with another content.
    Damages,
    /// Replays leave out their first publication.
    ReplaysInPart,
    /// `recovered: true`, and no replay.
    ClaimsRecovered,
    /// `recovered: false`, and no replay.
    LosesHistory,
    /// `recovered: false`, and the replay all the same.
    ReplaysAllTheSame,
    /// Everybody gets a new session.
    ForgetsSessions,
    /// The same key is published again.
    ForgetsKeys,
    /// One publish is refused.
    Refuses,
    /// One publish is refused, and would be taken a little later.
    RefusesForNow,
    /// At one publication, the connection of one subscriber ends without a word.
    HangsUp,
    /// And with a close frame that has this code.
    Closes(u16),
    /// And after it was asked to leave.
    AsksToLeave,
    /// Somebody is present who is not there.
    HasGhosts,
    /// Somebody is there who is not present.
    Overlooks,
    /// `connect` is refused.
    KnowsNobody,
}

/// Does the hub keep publications?
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Keeps {
    #[default]
    All,
    Nothing,
}

/// Starts one.
pub(crate) fn serve_hub(keeps: Keeps, flaw: Flaw) -> SocketAddr {
    let hub = Arc::new(Mutex::new(Hub { keeps, flaw, ..Hub::default() }));
    accept_each(move |socket| {
        let hub = Arc::clone(&hub);
        thread::spawn(move || serve(&hub, socket));
    })
}

#[derive(Default)]
struct Hub {
    keeps: Keeps,
    flaw: Flaw,
    connections: u64,
    sessions: HashMap<SessionId, Session>,
    channels: HashMap<String, Vec<OwnedJson>>,
    /// Offsets by key.
    keys: HashMap<String, u64>,
    published: u64,
    /// What [`Flaw::Reorders`] keeps back, and from whom, until the channel's next publication.
    held: Option<(SessionId, String, Vec<u8>)>,
}

struct Session {
    subscriptions: Vec<String>,
    connection: Option<(u64, TcpStream)>,
}

/// The publication that the flaw is about, counted over all channels.
const FLAWED: u64 = 20;
const EPOCH: Epoch = Epoch::new(36);
const SECRET: ResumeSecret = ResumeSecret::from_bytes([7; 16]);

fn serve(hub: &Mutex<Hub>, mut socket: TcpStream) {
    let mut bytes = Vec::new();
    let Some(()) = upgrade(&mut socket, &mut bytes, Some("tidegate.v1.json")) else { return };
    let mut session = None;
    while let Some((opcode, payload)) = next_frame(&mut socket, &mut bytes) {
        if opcode == OpCode::Close as u8 {
            let mut out = Vec::new();
            frame::append(&mut out, OpCode::Close, &payload);
            let _ = socket.write_all(&out);
            break;
        }
        let text = String::from_utf8(payload).unwrap();
        // A test that fails elsewhere is no reason to fail here too.
        let mut hub = hub.lock().unwrap_or_else(PoisonError::into_inner);
        for object in objects(&text) {
            let request = command::parse(object, &ParseLimits::default()).unwrap();
            hub.handle(request.id, request.command, &socket, &mut session);
        }
    }
    let mut hub = hub.lock().unwrap_or_else(PoisonError::into_inner);
    let left = session.and_then(|(id, connection)| Some((hub.sessions.get_mut(&id)?, connection)));
    if let Some((session, connection)) = left
        && session.connection.as_ref().is_some_and(|(current, _)| *current == connection)
    {
        session.connection = None;
    }
    let _ = socket.shutdown(Shutdown::Both);
}

impl Hub {
    fn handle(
        &mut self,
        id: Option<u32>,
        command: Command<'_>,
        socket: &TcpStream,
        session: &mut Option<(SessionId, u64)>,
    ) {
        match command {
            Command::Connect(_) if self.flaw == Flaw::KnowsNobody => {
                let error = ErrorBody {
                    code: ErrorCode::Unauthorized,
                    message: Cow::Borrowed("who are you?"),
                    retry_after_ms: None,
                };
                send(socket, |out| event::append_error(out, id, &error));
            }
            Command::Connect(connect) => *session = Some(self.connect(id.unwrap(), &connect, socket)),
            Command::Publish(publish) => self.publish(id, &publish, socket),
            Command::Presence { channel } => self.tell_presence(id.unwrap(), channel.as_str(), socket),
            Command::Pong => {}
            other => panic!("the hub does not know {other:?}"),
        }
    }

    /// The reply and all replays go out in one message, behind a question for a sign of life.
    fn connect(&mut self, id: u32, connect: &Connect<'_>, socket: &TcpStream) -> (SessionId, u64) {
        self.connections += 1;
        let known = connect.resume.filter(|resume| {
            self.flaw != Flaw::ForgetsSessions
                && resume.secret == SECRET
                && self.sessions.contains_key(&resume.session)
        });
        let session = known.map_or_else(
            || SessionId::from_bytes(u128::from(self.connections).to_be_bytes()),
            |resume| resume.session,
        );
        let subscriptions: Vec<String> =
            connect.subscribe.iter().map(|channel| channel.as_str().to_owned()).collect();
        let mut states = Vec::new();
        let mut replay = Objects::new();
        for name in &subscriptions {
            let after = connect.positions.iter().find(|(channel, _)| channel.as_str() == name);
            let after = after.map(|(_, position)| position.offset);
            states.push((Cow::Borrowed(name.as_str()), self.catch_up(name, after, &mut replay)));
        }
        let mut out = Objects::new();
        out.push(event::append_ping);
        let connected = Connected {
            session,
            resume: SECRET,
            resumed: known.is_some(),
            user: Cow::Borrowed("user"),
            node: Cow::Borrowed("hub"),
            ping_ms: 30_000,
            session_ttl_ms: 120_000,
            token_expires_in_ms: None,
            channels: states,
            limits: ClientLimits {
                message_bytes: 65_535,
                subscriptions: 100,
                messages_per_second: None,
                bytes_per_second: None,
            },
        };
        out.push(|bytes| event::append_reply(bytes, id, &Reply::Connect(Box::new(connected))));
        if !replay.is_empty() {
            out.push_encoded(replay.as_bytes());
        }
        write(socket, out.as_bytes());
        let connection = Some((self.connections, socket.try_clone().unwrap()));
        self.sessions.insert(session, Session { subscriptions, connection });
        (session, self.connections)
    }

    /// Where a subscription stands; what it missed goes to `replay`.
    fn catch_up(&mut self, channel: &str, after: Option<u64>, replay: &mut Objects) -> ChannelState {
        let log = self.channels.entry(channel.to_owned()).or_default();
        if self.keeps == Keeps::Nothing {
            return ChannelState::default();
        }
        let head = log.len() as u64;
        let skipped = match (self.flaw, after) {
            (Flaw::ClaimsRecovered | Flaw::LosesHistory, _) | (_, None) => head,
            (Flaw::ReplaysInPart, Some(after)) => after + 1,
            (_, Some(after)) => after,
        };
        for (at, data) in log.iter().enumerate().skip(usize::try_from(skipped).unwrap()) {
            let offset = Some(at as u64 + 1);
            replay.push(|out| event::append_message(out, &message(channel, data.borrowed(), offset)));
        }
        let is_lost = matches!(self.flaw, Flaw::LosesHistory | Flaw::ReplaysAllTheSame)
            && after.is_some_and(|after| after < head);
        // Where the messages that follow begin.
        let offset = if is_lost { head } else { after.unwrap_or(head) };
        ChannelState { position: Some(Position { epoch: EPOCH, offset }), recovered: after.map(|_| !is_lost) }
    }

    fn publish(&mut self, id: Option<u32>, publish: &Publish<'_>, socket: &TcpStream) {
        if matches!(self.flaw, Flaw::Refuses | Flaw::RefusesForNow) && self.published == FLAWED {
            let is_for_now = self.flaw == Flaw::RefusesForNow;
            self.flaw = Flaw::None;
            let error = ErrorBody {
                code: if is_for_now { ErrorCode::Unavailable } else { ErrorCode::Forbidden },
                message: Cow::Borrowed("not you"),
                retry_after_ms: is_for_now.then_some(10),
            };
            return send(socket, |out| event::append_error(out, id, &error));
        }
        let known = publish.key.as_deref().and_then(|key| self.keys.get(key)).copied();
        let known = known.filter(|_| self.flaw != Flaw::ForgetsKeys);
        let offset = known.unwrap_or_else(|| self.append(publish));
        if let Some(id) = id {
            let position = (self.keeps == Keeps::All).then_some(Position { epoch: EPOCH, offset });
            let published = Published { position, duplicate: known.is_some() };
            send(socket, |out| event::append_reply(out, id, &Reply::Publish(published)));
        }
    }

    fn append(&mut self, publish: &Publish<'_>) -> u64 {
        let channel = publish.channel.as_str();
        let log = self.channels.entry(channel.to_owned()).or_default();
        log.push(publish.data.into_owned());
        let offset = log.len() as u64;
        if let Some(key) = &publish.key {
            self.keys.insert(key.clone().into_owned(), offset);
        }
        self.published += 1;
        let numbered = (self.keeps == Keeps::All).then_some(offset);
        let mut object = Vec::new();
        event::append_message(&mut object, &message(channel, publish.data, numbered));
        self.deliver(channel, &object);
        offset
    }

    fn tell_presence(&self, id: u32, channel: &str, socket: &TcpStream) {
        let is_there = |session: &Session| {
            session.connection.is_some() && session.subscriptions.iter().any(|own| own == channel)
        };
        let there = self.sessions.iter().filter(|(_, session)| is_there(session)).map(|(id, _)| *id);
        let ghost = (self.flaw == Flaw::HasGhosts).then(|| SessionId::from_bytes([255; 16]));
        let overlooked = usize::from(self.flaw == Flaw::Overlooks);
        let member = |session| Member { user: Cow::Borrowed(""), session, info: None, since_ms: 0 };
        let members = there.skip(overlooked).chain(ghost).map(member).collect();
        send(socket, |out| event::append_reply(out, id, &Reply::Presence { members }));
    }

    /// To all subscribers; the flaw hits the first of them, in the order of their ids.
    fn deliver(&mut self, channel: &str, object: &[u8]) {
        let mut present: Vec<(SessionId, &TcpStream)> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.subscriptions.iter().any(|own| own == channel))
            .filter_map(|(id, session)| Some((*id, &session.connection.as_ref()?.1)))
            .collect();
        present.sort_by_key(|(id, _)| *id);
        let is_flawed = self.published == FLAWED;
        for (at, (id, socket)) in present.into_iter().enumerate() {
            match self.flaw {
                Flaw::DropsOne if is_flawed && at == 0 => continue,
                Flaw::Duplicates if is_flawed && at == 0 => write(socket, object),
                Flaw::Damages if is_flawed && at == 0 => {
                    let text = str::from_utf8(object).unwrap();
                    write(socket, text.replace("QRST", "QRsT").as_bytes());
                    continue;
                }
                Flaw::Reorders if is_flawed && at == 0 => {
                    self.held = Some((id, channel.to_owned(), object.to_vec()));
                    continue;
                }
                _ => {}
            }
            if is_flawed && at == 0 {
                part(self.flaw, socket);
            }
            write(socket, object);
            if let Some((.., held)) = self.held.take_if(|(whom, on, _)| *whom == id && on == channel) {
                write(socket, &held);
            }
        }
    }
}

/// Ends a connection, or asks for it, before the publication of the moment.
fn part(flaw: Flaw, mut socket: &TcpStream) {
    match flaw {
        Flaw::HangsUp => {
            let _ = socket.shutdown(Shutdown::Both);
        }
        Flaw::Closes(code) => {
            let mut out = Vec::new();
            frame::append(&mut out, OpCode::Close, &code.to_be_bytes());
            let _ = socket.write_all(&out);
            let _ = socket.shutdown(Shutdown::Write);
        }
        Flaw::AsksToLeave => {
            let reconnect = Reconnect { after_ms: 20, within_ms: 5_000, reason: Cow::Borrowed("drain") };
            send(socket, |out| event::append_reconnect(out, &reconnect));
        }
        _ => {}
    }
}

fn message<'m>(channel: &'m str, data: RawJson<'m>, offset: Option<u64>) -> Message<'m> {
    Message { channel: Cow::Borrowed(channel), data, offset, from: None, trace: None }
}

fn send(socket: &TcpStream, append: impl FnOnce(&mut Vec<u8>)) {
    let mut object = Vec::new();
    append(&mut object);
    write(socket, &object);
}

/// Whoever has gone will be found gone by the thread that reads.
fn write(mut socket: &TcpStream, text: &[u8]) {
    let mut out = Vec::new();
    frame::append(&mut out, OpCode::Text, text);
    let _ = socket.write_all(&out);
}
