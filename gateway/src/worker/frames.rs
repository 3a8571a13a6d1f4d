//! Frames of an open connection: decode, answer, publish.

use std::ops::Range;

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::quota::Verdict;
use tidegate_wire::close::{self, CloseCode};
use tidegate_wire::decode::{DecodeError, Decoded, Event};
use tidegate_wire::frame::{self, HEADER_BYTES_MAX, Header, OpCode};

use super::{More, PUBLISHED_BYTES_MAX, SCRATCH_KEPT_BYTES, Worker};
use crate::connection::{Connection, Endpoint, Io, Phase, Reading, SendError};

/// Replies to one read that are held back for one write; more go out in the middle of it.
const REPLIES_BYTES_MAX: usize = 256 << 10;

/// Why decoding stopped.
enum Stop {
    /// The input is used up.
    Drained,
    /// Enough was decoded for now.
    Full,
    /// The client sent its close frame; ours is among the replies.
    Closed,
    Broken(DecodeError),
    /// The client sends more than its address may, and cannot be told to wait.
    OverQuota,
}

impl Worker {
    /// Decodes what lies in this part of the input buffer and sends the answers with one write.
    pub(super) fn handle_frames(&mut self, slot: usize, mut input: Range<usize>) {
        if matches!(self.connections[slot].phase, Phase::Open(Endpoint::Native(_))) {
            return self.handle_native_frames(slot, input);
        }
        loop {
            self.replies.clear();
            let (stop, framed) = self.decode(slot, &mut input);
            self.count_parser_state(slot);
            let is_open = match framed {
                Some(framed) => self.send_input(slot, framed),
                None => self.replies.is_empty() || self.send_replies(slot),
            };
            if !is_open {
                return;
            }
            match stop {
                Stop::Drained => return self.pause_if_backlogged(slot),
                Stop::Full => {
                    self.deliver_published();
                    if self
                        .connections
                        .get(slot)
                        .is_none_or(|connection| !matches!(connection.phase, Phase::Open(_)))
                    {
                        return;
                    }
                    self.pause_if_backlogged(slot);
                    let must_wait = self.must_wait(slot);
                    if must_wait || self.connections[slot].reading == Reading::Paused {
                        return self.stash(slot, input, must_wait);
                    }
                }
                Stop::Closed => return self.end_by_client(slot),
                Stop::OverQuota => return self.end(slot, CloseCause::RateLimited),
                Stop::Broken(error) => return self.end_by_error(slot, &error),
            }
        }
    }

    /// Decodes and answers. The answers are among the replies, or else the only one is a frame in the input buffer: an
    /// echo needs no copy, since our header is shorter than the client's.
    fn decode(&mut self, slot: usize, input: &mut Range<usize>) -> (Stop, Option<Range<usize>>) {
        let now = self.now_unix;
        let connection = &mut self.connections[slot];
        let endpoint = match &connection.phase {
            Phase::Open(Endpoint::Echo) => None,
            Phase::Open(Endpoint::Channel(membership)) => Some(membership.channel),
            Phase::Open(Endpoint::Native(_)) | Phase::Handshaking(_) | Phase::Closing(_) => {
                return (Stop::Drained, None);
            }
        };
        let Some(shared) = &mut self.decode else { return (Stop::Drained, None) };
        let buffer = self.input.as_ptr_range();
        let mut framed: Option<Range<usize>> = None;
        let (mut messages, mut bytes) = (0, 0);
        let stop = loop {
            if self.replies.len() >= REPLIES_BYTES_MAX || self.published.len() >= PUBLISHED_BYTES_MAX {
                break Stop::Full;
            }
            if framed.is_some() && input.start == input.end {
                break Stop::Drained;
            }
            if let Some(framed) = framed.take() {
                self.replies.extend_from_slice(&self.input[framed]);
            }
            let Decoded { consumed, event } =
                match connection.decoder.decode(shared, &mut self.input[input.clone()]) {
                    Ok(decoded) => decoded,
                    Err(error) => break Stop::Broken(error),
                };
            input.start += consumed;
            match event {
                None => break Stop::Drained,
                Some(Event::Message(message))
                    if connection.share.try_send(message.payload.len(), now) != Verdict::Admit =>
                {
                    break Stop::OverQuota;
                }
                Some(Event::Message(message)) => {
                    messages += 1;
                    bytes += message.payload.len() as u64;
                    let opcode = message.kind.opcode();
                    match endpoint {
                        Some(channel) => self.published.push(channel, opcode, message.payload),
                        None => match &mut connection.deflate {
                            Some(deflate) => match deflate.compress(&mut self.deflater, message.payload) {
                                Some(deflated) => {
                                    frame::append_compressed(&mut self.replies, opcode, deflated);
                                }
                                None => frame::append(&mut self.replies, opcode, message.payload),
                            },
                            None if self.replies.is_empty()
                                && buffer.contains(&message.payload.as_ptr())
                                && input.start
                                    >= message.payload.len()
                                        + header(opcode, message.payload.len()).encoded_len() =>
                            {
                                let len = message.payload.len();
                                framed = Some(frame_in_place(&mut self.input[..input.start], opcode, len));
                            }
                            None => frame::append(&mut self.replies, opcode, message.payload),
                        },
                    }
                }
                Some(Event::Ping(payload)) => frame::append(&mut self.replies, OpCode::Pong, payload),
                Some(Event::Pong(_)) => {}
                Some(Event::Close(reason)) => {
                    let code = reason.map(|reason| reason.code);
                    close::append(&mut self.replies, code, "");
                    break Stop::Closed;
                }
            }
        };
        if messages > 0 {
            self.stats.messages_in.add(messages);
            self.stats.message_bytes_in.add(bytes);
            if endpoint.is_none() {
                self.stats.messages_out.add(messages);
                self.stats.message_bytes_out.add(bytes);
            }
        }
        (stop, framed)
    }

    /// Sends the replies. False: the connection is gone or going.
    pub(super) fn send_replies(&mut self, slot: usize) -> bool {
        let io = Io { registry: &self.registry, pool: &self.pool, stats: &self.stats, now: self.now };
        let sent = self.connections[slot].send(&io, slot, &self.replies);
        self.replies.clear();
        self.replies.shrink_to(SCRATCH_KEPT_BYTES);
        self.after_send(slot, &sent)
    }

    /// Sends a frame that lies in the input buffer. False: the connection is gone or going.
    fn send_input(&mut self, slot: usize, framed: Range<usize>) -> bool {
        let io = Io { registry: &self.registry, pool: &self.pool, stats: &self.stats, now: self.now };
        let sent = self.connections[slot].send(&io, slot, &self.input[framed]);
        self.after_send(slot, &sent)
    }

    fn after_send(&mut self, slot: usize, sent: &Result<(), SendError>) -> bool {
        match sent {
            Ok(()) => self.check_outbox(slot),
            Err(SendError::Socket) => {
                self.lose(slot, CloseCause::ConnectionLost);
                false
            }
            // Only what its own socket does not take needs a buffer.
            Err(SendError::PoolExhausted) => {
                self.lose(slot, CloseCause::SlowConsumer);
                false
            }
        }
    }

    /// A channel's member whose replies (pongs) pile up is as slow as one whose messages do. An echo is paused instead.
    fn check_outbox(&mut self, slot: usize) -> bool {
        let connection = &self.connections[slot];
        if !connection.has_unsent() {
            return true;
        }
        self.schedule(slot, self.now + self.write_ticks());
        let connection = &self.connections[slot];
        if connection.outbox.len() <= self.outbox_bytes_max() {
            return true;
        }
        match connection.phase {
            Phase::Open(Endpoint::Channel(_) | Endpoint::Native(_)) => {
                self.end(slot, CloseCause::SlowConsumer);
                false
            }
            _ => true,
        }
    }

    /// An echo whose client does not read is no longer read: what it may hold here is one read's answers.
    fn pause_if_backlogged(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        if matches!(connection.phase, Phase::Open(Endpoint::Echo)) && connection.has_unsent() {
            connection.reading = Reading::Paused;
            self.stats.reads_paused.add(1);
        }
    }

    /// Whether a client may not be read now: what it might publish has no room, on another worker or on this one.
    pub(super) fn must_wait(&self, slot: usize) -> bool {
        self.is_congested()
            || self.hub.is_full()
                && matches!(
                    self.connections[slot].phase,
                    Phase::Open(Endpoint::Channel(_) | Endpoint::Native(_))
                )
    }

    /// Keeps input that may not be handled before the client has read its answers, or the other workers their parcels.
    pub(super) fn stash(&mut self, slot: usize, input: Range<usize>, come_back: bool) {
        if input.is_empty() {
            return;
        }
        if come_back {
            self.ready.push(Connection::token(slot, self.connections[slot].generation));
        }
        let stash = self.pool.try_take(input.len()).and_then(|mut stash| {
            stash.try_extend(&self.input[input]).ok()?;
            Some(Box::new(stash))
        });
        match stash {
            Some(stash) => self.connections[slot].stash = Some(stash),
            None => self.end(slot, CloseCause::Overloaded),
        }
    }

    /// Goes on with input that was kept.
    pub(super) fn handle_stash(&mut self, slot: usize) -> More {
        let Some(stash) = self.connections[slot].stash.take() else { return More::No };
        let len = stash.len();
        self.input[..len].copy_from_slice(&stash);
        drop(stash);
        self.handle_frames(slot, 0..len);
        More::Perhaps
    }

    /// While we wait for the client's close frame, whatever else it sends is read and forgotten.
    pub(super) fn handle_closing_bytes(&mut self, slot: usize, mut input: Range<usize>) {
        if !self.awaits_close(slot) {
            return;
        }
        loop {
            let connection: &mut Connection = &mut self.connections[slot];
            let Some(shared) = &mut self.decode else { return };
            match connection.decoder.decode(shared, &mut self.input[input.clone()]) {
                Ok(Decoded { event: Some(Event::Close(_)), .. }) | Err(_) => return self.remove(slot),
                Ok(Decoded { event: None, .. }) => return self.count_parser_state(slot),
                Ok(Decoded { consumed, event: Some(_) }) => input.start += consumed,
            }
        }
    }

    pub(super) fn end_by_error(&mut self, slot: usize, error: &DecodeError) {
        let code: CloseCode = error.close_code();
        self.end_told(slot, CloseCause::of_decode(code.value()), Some(code), &error.to_string());
    }
}

fn header(opcode: OpCode, payload_len: usize) -> Header {
    Header { fin: true, rsv1: false, opcode, mask: None, payload_len: payload_len as u64 }
}

/// Makes a frame of ours of the payload at the end of `input`, over the end of the client's longer header. That header
/// must lie there too: it does not if it came with an earlier read.
fn frame_in_place(input: &mut [u8], opcode: OpCode, payload_len: usize) -> Range<usize> {
    let mut encoded = [0; HEADER_BYTES_MAX];
    let header_len = header(opcode, payload_len).encode(&mut encoded);
    let payload = input.len() - payload_len;
    input[payload - header_len..payload].copy_from_slice(&encoded[..header_len]);
    payload - header_len..input.len()
}
