//! What bytes from the server mean: the rest of an answer to the handshake, frames, or whatever a raw connection gets.

use tidegate_wire::client::ResponseError;
use tidegate_wire::decode::{Event, Shared};
use tidegate_wire::frame::OpCode;

use super::connection::{Connection, Ending, Stage};
use super::{Commands, Lane, Load, native};
use crate::clock::Nanos;
use crate::native::SUBPROTOCOL;

/// Takes up all of `input`. `Err`: the connection has to end, with this.
pub(super) fn receive(
    connection: &mut Connection,
    lane: Lane,
    shared: &mut Shared,
    input: &mut [u8],
    now: Nanos,
    load: &mut impl Load,
    out: &mut Commands,
) -> Result<(), Ending> {
    let frames = match &mut connection.stage {
        // Bytes before TCP is known to be connected: the event that says so is handled first, so there are none.
        Stage::Connecting { .. } => return Ok(()),
        Stage::Raw => {
            load.handle_bytes(lane, input);
            return Ok(());
        }
        Stage::Open | Stage::Entering | Stage::Entered => input,
        Stage::Upgrading { .. } => match upgrade(connection, input)? {
            None => return Ok(()),
            Some(frames) => {
                match connection.greeting.take() {
                    Some(greeting) => {
                        connection.stage = Stage::Entering;
                        out.send_frame(lane, OpCode::Text, &greeting);
                    }
                    None => {
                        connection.stage = Stage::Open;
                        load.handle_open(lane, now, out);
                    }
                }
                frames
            }
        },
    };
    decode(connection, lane, shared, frames, now, load, out)
}

/// Feeds the answer's parser. Gives what of `input` comes after the head, once it is complete.
fn upgrade<'i>(connection: &mut Connection, input: &'i mut [u8]) -> Result<Option<&'i mut [u8]>, Ending> {
    let Stage::Upgrading { parser, head } = &mut connection.stage else { return Ok(None) };
    let kept = head.len();
    let parsed = if kept == 0 {
        parser.parse(input)
    } else {
        head.extend_from_slice(input);
        parser.parse(head)
    };
    match parsed.map(|response| response.map(|response| (response.consumed, response.subprotocol))) {
        Ok(Some((_, chosen))) if !connection.subprotocols.is_empty() && chosen != Some(SUBPROTOCOL) => {
            Err(Ending::NotWebSocket(format!("the server does not speak {SUBPROTOCOL} on this path")))
        }
        // What was kept was no complete head, so the head ends within `input`.
        Ok(Some((consumed, _))) => Ok(Some(&mut input[consumed - kept..])),
        Ok(None) => {
            if kept == 0 {
                head.extend_from_slice(input);
            }
            Ok(None)
        }
        Err(ResponseError::Refused { status, .. }) => Err(Ending::Refused { status }),
        Err(error) => Err(Ending::NotWebSocket(error.to_string())),
    }
}

fn decode(
    connection: &mut Connection,
    lane: Lane,
    shared: &mut Shared,
    frames: &mut [u8],
    now: Nanos,
    load: &mut impl Load,
    out: &mut Commands,
) -> Result<(), Ending> {
    let mut at = 0;
    while at < frames.len() {
        let decoded = connection
            .decoder
            .decode(shared, &mut frames[at..])
            .map_err(|error| Ending::Violation(error.to_string()))?;
        at += decoded.consumed;
        match decoded.event {
            None => break,
            Some(Event::Message(message)) => match connection.stage {
                Stage::Entering | Stage::Entered => {
                    native::receive(&mut connection.stage, lane, message.payload, now, load, out)?;
                }
                Stage::Connecting { .. } | Stage::Upgrading { .. } | Stage::Open | Stage::Raw => {
                    load.handle_message(lane, message.payload, now, out);
                }
            },
            Some(Event::Ping(payload)) => out.send_frame(lane, OpCode::Pong, payload),
            Some(Event::Pong(_)) => {}
            Some(Event::Close(reason)) => {
                let code = reason.map(|reason| reason.code.value());
                if !connection.close_sent {
                    let payload = code.map(u16::to_be_bytes);
                    out.send_frame(
                        lane,
                        OpCode::Close,
                        payload.as_ref().map_or(&[], |bytes| bytes.as_slice()),
                    );
                    connection.close_sent = true;
                }
                connection.closed_with = Some(code);
            }
        }
    }
    Ok(())
}
