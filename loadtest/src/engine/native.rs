//! Messages of the native dialect: the reply to `connect` opens a connection, publications are its messages.
//!
//! Place in the data path: `receive.rs` gives each text message; its objects go to the scenario one by one.

use tidegate_protocol::command::objects;
use tidegate_protocol::event::{Event, Reply, parse};
use tidegate_wire::frame::OpCode;

use super::connection::{Ending, Stage};
use super::{Commands, Lane, Load};
use crate::clock::Nanos;
use crate::native::{PONG, payload_of};

/// Takes up one message. `Err`: the connection has to end, with this.
pub(super) fn receive(
    stage: &mut Stage,
    lane: Lane,
    message: &[u8],
    now: Nanos,
    load: &mut impl Load,
    out: &mut Commands,
) -> Result<(), Ending> {
    let violation = |rule: String| Ending::Violation(rule);
    let text = str::from_utf8(message).map_err(|_| violation("a message that is no UTF-8".to_owned()))?;
    for object in objects(text) {
        match parse(object).map_err(|error| violation(error.to_string()))? {
            Event::Message(_) if matches!(stage, Stage::Entering) => {
                return Err(violation("a publication before the reply to connect".to_owned()));
            }
            Event::Message(publication) => {
                load.handle_message(lane, payload_of(&publication.data), now, out);
            }
            Event::Reply { reply: Reply::Connect(_), .. } if matches!(stage, Stage::Entering) => {
                *stage = Stage::Entered;
                load.handle_open(lane, now, out);
            }
            Event::Ping => out.send_frame(lane, OpCode::Text, PONG),
            Event::Error { error, .. } => {
                return Err(Ending::Rejected(format!("{}: {}", error.code, error.message)));
            }
            Event::Unsubscribed(told) => {
                return Err(Ending::Rejected(format!("unsubscribed, {}: {}", told.code, told.message)));
            }
            // A gap shows in the messages that are missing, and the close frame says what `closing` says.
            Event::Direct(_)
            | Event::Join(_)
            | Event::Leave(_)
            | Event::Gap(_)
            | Event::Expiring { .. }
            | Event::Reconnect(_)
            | Event::Closing(_)
            | Event::Reply { .. }
            | Event::Unknown { .. } => {}
        }
    }
    Ok(())
}
