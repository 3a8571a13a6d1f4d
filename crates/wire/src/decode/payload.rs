//! Payload as it arrives: unmasked, put together, inflated, and checked as early as it can be.
//!
//! Place in the data path: behind `header`. What lies whole in the input stays there; the rest goes to the decoder's buffer.

use super::{DecodeError, Decoder, Found, Frame, MessageKind, Phase, Place, Shared};
use crate::close::CloseCode;
use crate::decode::CloseReason;
use crate::deflate::InflateError;
use crate::frame::OpCode;
use crate::mask;
use crate::pool::{BufferPool, PoolBuffer};
use crate::utf8::{self, Validator};

/// A data message that has begun and not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partial {
    kind: MessageKind,
    pub(super) compressed: bool,
    /// Of a text message: how far it is UTF-8.
    text: Validator,
}

impl Decoder {
    /// Takes what is there of `frame`'s payload from `input[*at..]`.
    pub(super) fn read_payload(
        &mut self,
        shared: &mut Shared,
        mut frame: Frame,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Found>, DecodeError> {
        let start = *at;
        let arrived = usize::try_from(frame.left).unwrap_or(usize::MAX).min(input.len() - start);
        let end = start + arrived;
        *at = end;
        frame.left -= arrived as u64;
        self.phase = Phase::Payload(frame);
        if arrived == 0 && frame.left > 0 {
            // Nothing is begun yet: the next read may bring all of it, and then nothing needs to be copied.
            return Ok(None);
        }

        let part = &mut input[start..end];
        mask::apply(frame.key, 0, part);
        frame.key = mask::rotated(frame.key, arrived);
        self.phase = Phase::Payload(frame);
        let part = Part { bytes: part, place: Place::Input { start, end } };
        if frame.opcode.is_control() {
            self.take_control(shared, frame, &part)
        } else {
            self.take_data(shared, frame, &part)
        }
    }

    fn take_control(
        &mut self,
        shared: &Shared,
        frame: Frame,
        part: &Part<'_>,
    ) -> Result<Option<Found>, DecodeError> {
        let start = frame.held_before;
        let (payload, place) = if frame.left == 0 && self.held_bytes() == start {
            self.phase = Phase::Boundary;
            (part.bytes, part.place)
        } else {
            let buffer = held(&mut self.buffer, &shared.pool, part.bytes.len())?;
            buffer.try_extend(part.bytes)?;
            if frame.left > 0 {
                return Ok(None);
            }
            self.phase = Phase::Lent { keep: start };
            (&buffer[start..], Place::Buffer { start })
        };
        if frame.opcode == OpCode::Close {
            close_reason(payload)?;
        }
        Ok(Some(Found { opcode: frame.opcode, place }))
    }

    fn take_data(
        &mut self,
        shared: &mut Shared,
        frame: Frame,
        part: &Part<'_>,
    ) -> Result<Option<Found>, DecodeError> {
        let ends_message = frame.left == 0 && frame.fin;
        let mut message = match self.message {
            Some(message) => message,
            None => {
                let kind = if frame.opcode == OpCode::Text { MessageKind::Text } else { MessageKind::Binary };
                if ends_message && !frame.rsv1 {
                    if kind == MessageKind::Text {
                        utf8::check(part.bytes)?;
                    }
                    self.phase = Phase::Boundary;
                    return Ok(Some(Found { opcode: frame.opcode, place: part.place }));
                }
                Partial { kind, compressed: frame.rsv1, text: Validator::new() }
            }
        };

        self.append(shared, &mut message, part.bytes)?;
        self.message = Some(message);
        if !ends_message {
            if frame.left == 0 {
                self.phase = Phase::Boundary;
            }
            return Ok(None);
        }

        if let (true, Some(inflate), Some(buffer)) = (message.compressed, &mut self.inflate, &self.buffer) {
            inflate.finish(buffer).map_err(|error| inflate_error(error, shared))?;
        }
        message.text.finish()?;
        self.message = None;
        self.phase = Phase::Lent { keep: 0 };
        Ok(Some(Found { opcode: message.kind.opcode(), place: Place::Buffer { start: 0 } }))
    }

    /// Adds a piece to the message in the buffer.
    fn append(
        &mut self,
        shared: &mut Shared,
        message: &mut Partial,
        piece: &[u8],
    ) -> Result<(), DecodeError> {
        if piece.is_empty() {
            return Ok(());
        }
        let buffer = held(&mut self.buffer, &shared.pool, piece.len())?;
        let before = buffer.len();
        let inflated = match &mut self.inflate {
            Some(inflate) if message.compressed => {
                inflate.push(&mut shared.inflater, piece, buffer, shared.limits.message_bytes_max)
            }
            _ => {
                buffer.try_extend(piece)?;
                Ok(())
            }
        };
        // Before the verdict on the rest: what came out ahead of an error is judged alike however reads cut the stream.
        if message.kind == MessageKind::Text {
            message.text.push(&buffer[before..])?;
        }
        inflated.map_err(|error| inflate_error(error, shared))
    }
}

/// A part of a payload, unmasked, and where in the input it lies.
struct Part<'p> {
    bytes: &'p [u8],
    place: Place,
}

/// The decoder's buffer, taken from the pool at first need with room for what has `arrived`: it grows with the rest.
fn held<'b>(
    buffer: &'b mut Option<PoolBuffer>,
    pool: &BufferPool,
    arrived: usize,
) -> Result<&'b mut PoolBuffer, DecodeError> {
    match buffer {
        Some(buffer) => Ok(buffer),
        none => Ok(none.insert(pool.try_take(arrived).ok_or(DecodeError::PoolExhausted)?)),
    }
}

fn inflate_error(error: InflateError, shared: &Shared) -> DecodeError {
    match error {
        InflateError::Corrupt => DecodeError::CompressedCorrupt,
        InflateError::Truncated => DecodeError::CompressedTruncated,
        InflateError::TooBig => DecodeError::MessageTooBig { bytes_max: shared.limits.message_bytes_max },
        InflateError::PoolExhausted => DecodeError::PoolExhausted,
    }
}

/// Checks the payload of a close frame (section 5.5.1): nothing, or a code and a reason.
pub(super) fn close_reason(payload: &[u8]) -> Result<Option<CloseReason<'_>>, DecodeError> {
    match *payload {
        [] => Ok(None),
        [_] => Err(DecodeError::CloseCodeCut),
        [high, low, ref reason @ ..] => {
            let code = CloseCode::new(u16::from_be_bytes([high, low]));
            if !code.may_be_received() {
                return Err(DecodeError::CloseCodeNotAllowed(code.value()));
            }
            let reason = str::from_utf8(reason).map_err(|_| DecodeError::CloseReasonNotUtf8)?;
            Ok(Some(CloseReason { code, reason }))
        }
    }
}
