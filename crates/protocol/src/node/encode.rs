//! Node messages into bytes.

use super::{Access, Direct, Disconnect, DisconnectTarget, NodeMessage, Publication};
use crate::channel::Channel;
use crate::command::Target;

/// Appends one message. Text fields of 64 KiB and more, which no limit lets through, are cut.
pub fn append(out: &mut Vec<u8>, message: &NodeMessage<'_>) {
    out.push(super::VERSION);
    out.push(kind_of(message));
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    match message {
        NodeMessage::Publication(publication) => append_publication(out, publication),
        NodeMessage::Direct(direct) => append_direct(out, direct),
        NodeMessage::Disconnect(disconnect) => append_disconnect(out, disconnect),
        NodeMessage::Subscribe { target, channel } | NodeMessage::Unsubscribe { target, channel } => {
            append_target(out, target);
            append_channel(out, channel);
        }
        NodeMessage::TakenOver { session, fence } => {
            out.extend_from_slice(session.as_bytes());
            out.extend_from_slice(&fence.to_be_bytes());
        }
    }
    let length = u32::try_from(out.len() - length_at - 4).expect("a message's limit is far below 4 GiB");
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
}

fn kind_of(message: &NodeMessage<'_>) -> u8 {
    match message {
        NodeMessage::Publication(_) => super::KIND_PUBLICATION,
        NodeMessage::Direct(_) => super::KIND_DIRECT,
        NodeMessage::Disconnect(_) => super::KIND_DISCONNECT,
        NodeMessage::Subscribe { .. } => super::KIND_SUBSCRIBE,
        NodeMessage::Unsubscribe { .. } => super::KIND_UNSUBSCRIBE,
        NodeMessage::TakenOver { .. } => super::KIND_TAKEN_OVER,
    }
}

fn append_publication(out: &mut Vec<u8>, publication: &Publication<'_>) {
    append_channel(out, &publication.channel);
    out.push(publication.kind as u8);
    append_bytes(out, publication.object);

    let mut flags = Flags::begin(out);
    if let Some(position) = flags.next(publication.position) {
        flags.out.extend_from_slice(&position.epoch.number().to_be_bytes());
        flags.out.extend_from_slice(&position.offset.to_be_bytes());
    }
    if let Some(from) = flags.next(publication.from) {
        append_text(flags.out, from);
    }
    if let Some(origin) = flags.next(publication.origin) {
        flags.out.extend_from_slice(origin.as_bytes());
    }
    if let Some(conflate) = flags.next(publication.conflate) {
        append_text(flags.out, conflate);
    }
    if let Some(trace) = flags.next(publication.trace) {
        append_text(flags.out, trace);
    }
    if let Some(link) = flags.next(publication.link) {
        flags.out.extend_from_slice(&link.tag.number().to_be_bytes());
        flags.out.extend_from_slice(&link.previous.number().to_be_bytes());
    }
    flags.end();
}

fn append_direct(out: &mut Vec<u8>, direct: &Direct<'_>) {
    append_target(out, &direct.target);
    append_bytes(out, direct.object);
}

fn append_disconnect(out: &mut Vec<u8>, disconnect: &Disconnect<'_>) {
    match &disconnect.target {
        DisconnectTarget::Sessions(target) => append_target(out, target),
        DisconnectTarget::Token(id) => {
            out.push(super::TARGET_TOKEN);
            append_text(out, id);
        }
    }
    out.push(match disconnect.access {
        Access::Kept => 0,
        Access::Revoked => 1,
    });

    let mut flags = Flags::begin(out);
    if let Some(code) = flags.next(disconnect.code) {
        flags.out.extend_from_slice(&code.to_be_bytes());
    }
    if let Some(reason) = flags.next(disconnect.reason) {
        append_text(flags.out, reason);
    }
    flags.end();
}

fn append_target(out: &mut Vec<u8>, target: &Target<'_>) {
    match target {
        Target::User(user) => {
            out.push(super::TARGET_USER);
            append_text(out, user);
        }
        Target::Session(session) => {
            out.push(super::TARGET_SESSION);
            out.extend_from_slice(session.as_bytes());
        }
    }
}

fn append_channel(out: &mut Vec<u8>, channel: &Channel<'_>) {
    append_text(out, channel.as_str());
}

fn append_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(u16::MAX.into())];
    let length = u16::try_from(text.len()).expect("it was cut to fit");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn append_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a message's limit is far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Says before the optional fields which of them there are.
struct Flags<'o> {
    out: &'o mut Vec<u8>,
    at: usize,
    bit: u16,
    flags: u16,
}

impl<'o> Flags<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        let at = out.len();
        out.extend_from_slice(&[0; 2]);
        Self { out, at, bit: 1, flags: 0 }
    }

    /// Passes the next field on, and notes whether it is there.
    fn next<T>(&mut self, field: Option<T>) -> Option<T> {
        if field.is_some() {
            self.flags |= self.bit;
        }
        self.bit <<= 1;
        field
    }

    fn end(self) {
        self.out[self.at..self.at + 2].copy_from_slice(&self.flags.to_be_bytes());
    }
}
