//! What a scenario wants done: collected while events are handled, carried out by the engine right after.
//!
//! Place in the data path: scenario → here → socket. Consecutive messages to one connection share one buffer and one system
//! call, so a reply to 16 messages that one read brought is one write.

use std::ops::Range;
use std::sync::Arc;

use tidegate_protocol::channel::Channel;
use tidegate_wire::close::{self, CloseCode};
use tidegate_wire::frame::{self, OpCode};

use super::Lane;
use crate::native;
use crate::random::Random;

/// How to open a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dial {
    /// Which of the engine's targets.
    pub(crate) target: usize,
    pub(crate) opening: Opening,
    pub(crate) socket: SocketSize,
}

/// How much the kernel buffers for a socket.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum SocketSize {
    /// What the system gives: on loopback, megabytes.
    #[default]
    System,
    /// A small window and smaller segments: a client that does not read is felt by the server after a few 100 KiB.
    Small,
}

/// What to do once TCP is connected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Opening {
    /// The WebSocket handshake.
    #[default]
    Upgrade,
    /// Nothing: the scenario sends bytes itself and is given the bytes that come.
    Raw,
}

/// How the scenario ends a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Goodbye {
    /// A close frame with code 1000; the server closes TCP.
    Frame,
    /// The same with code 4000: the client means to come back to its session.
    Return,
    /// TCP is closed without a word.
    Fin,
    /// TCP is reset (`SO_LINGER` 0): leaves no port in TIME_WAIT.
    Reset,
}

/// One thing to do.
#[derive(Debug)]
pub(super) enum Command {
    Dial(Lane, Dial),
    /// Bytes of the buffer, already framed.
    Send(Lane, Range<usize>),
    Close(Lane, Goodbye),
    PauseReading(Lane),
    ResumeReading(Lane),
}

/// The scenario's side of the engine.
#[derive(Debug)]
pub(crate) struct Commands {
    pub(super) bytes: Vec<u8>,
    pub(super) list: Vec<Command>,
    /// By lane: the channel that its messages are published to. `None`: they go out as they are.
    channels: Vec<Option<Arc<str>>>,
    object: Vec<u8>,
    keys: Random,
}

impl Commands {
    pub(crate) fn new(seed: u64, lanes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            list: Vec::new(),
            channels: vec![None; lanes],
            object: Vec::new(),
            keys: Random::new(seed),
        }
    }

    /// What the messages of a lane become from now on.
    pub(super) fn set_channel(&mut self, lane: Lane, channel: Option<Arc<str>>) {
        self.channels[lane] = channel;
    }

    /// Opens a connection in a lane that has none.
    pub(crate) fn dial(&mut self, lane: Lane, dial: Dial) {
        self.list.push(Command::Dial(lane, dial));
    }

    /// Sends one message; in the native dialect it is published, without `id`, to the lane's channel.
    pub(crate) fn send(&mut self, lane: Lane, opcode: OpCode, payload: &[u8]) {
        let Some(channel) = &self.channels[lane] else { return self.send_frame(lane, opcode, payload) };
        let channel = Channel::parse(channel).expect("the command line checks channels");
        let mut object = std::mem::take(&mut self.object);
        object.clear();
        native::append_publish(&mut object, &channel, payload, None);
        self.send_frame(lane, OpCode::Text, &object);
        self.object = object;
    }

    /// Sends one masked frame with this payload as it is.
    pub(crate) fn send_frame(&mut self, lane: Lane, opcode: OpCode, payload: &[u8]) {
        let key = self.next_mask();
        self.append(lane, |bytes| frame::append_masked(bytes, opcode, key, payload));
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, lane: Lane, raw: &[u8]) {
        self.append(lane, |bytes| bytes.extend_from_slice(raw));
    }

    /// Ends a connection; the scenario hears of it by `handle_end`.
    pub(crate) fn close(&mut self, lane: Lane, goodbye: Goodbye) {
        let code = match goodbye {
            Goodbye::Frame => Some(CloseCode::NORMAL),
            Goodbye::Return => Some(CloseCode::new(4000)),
            Goodbye::Fin | Goodbye::Reset => None,
        };
        if code.is_some() {
            let key = self.next_mask();
            self.append(lane, |bytes| close::append_masked(bytes, key, code, ""));
        }
        self.list.push(Command::Close(lane, goodbye));
    }

    /// Nothing is read from this connection any more, until it is resumed or the server ends it.
    pub(crate) fn pause_reading(&mut self, lane: Lane) {
        self.list.push(Command::PauseReading(lane));
    }

    /// Reads what has come meanwhile, and whatever comes.
    pub(crate) fn resume_reading(&mut self, lane: Lane) {
        self.list.push(Command::ResumeReading(lane));
    }

    /// Gives the emptied buffers back, unless new commands have come meanwhile.
    pub(super) fn reuse(&mut self, list: Vec<Command>, bytes: Vec<u8>) {
        if self.list.is_empty() && self.bytes.is_empty() {
            self.list = list;
            self.bytes = bytes;
        }
    }

    /// A key for a handshake.
    pub(super) fn handshake_key(&mut self) -> [u8; 16] {
        let (low, high) = (self.keys.next(), self.keys.next());
        (u128::from(low) << 64 | u128::from(high)).to_le_bytes()
    }

    /// Mask keys must differ, not be secret: no proxy with a cache stands between this client and its server.
    fn next_mask(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.keys.next().to_le_bytes();
        [a, b, c, d]
    }

    fn append(&mut self, lane: Lane, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let end = self.bytes.len();
        match self.list.last_mut() {
            Some(Command::Send(last, range)) if *last == lane => range.end = end,
            _ => self.list.push(Command::Send(lane, start..end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_to_one_connection_become_one_write() {
        let mut out = Commands::new(1, 5);
        out.send(3, OpCode::Binary, b"ab");
        out.send(3, OpCode::Binary, b"cd");
        out.send(4, OpCode::Binary, b"ef");

        let frame_len = 2 + 4 + 2;
        let writes: Vec<_> = out
            .list
            .iter()
            .map(|command| match command {
                Command::Send(lane, range) => (*lane, range.clone()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(writes, [(3, 0..2 * frame_len), (4, 2 * frame_len..3 * frame_len)]);
    }

    #[test]
    fn a_lane_with_a_channel_publishes_to_it() {
        let mut out = Commands::new(1, 5);
        out.set_channel(2, Some("chat:room".into()));
        out.send(2, OpCode::Binary, b"ab");

        let object = br#"{"publish":{"channel":"chat:room","data":"ab"}}"#;
        assert_eq!(out.bytes[..2], [0x81, 0x80 | object.len() as u8]);
        assert_eq!(out.bytes.len(), 2 + 4 + object.len());
    }

    #[test]
    fn a_close_frame_goes_out_before_the_connection_ends() {
        let mut out = Commands::new(1, 5);
        out.close(0, Goodbye::Frame);
        assert!(matches!(out.list[..], [Command::Send(0, _), Command::Close(0, Goodbye::Frame)]));
        assert_eq!(out.bytes[0], 0x88);
    }
}
