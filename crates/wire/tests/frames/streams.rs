//! Generated streams: what a sender may say, in frames of any size, whole or with a byte gone wrong.

use proptest::collection::vec;
use proptest::prelude::*;

use tidegate_wire::decode::Role;
use tidegate_wire::deflate::SharedDeflater;

use crate::peer::{CLOSE, COMPRESSED, LAST, MORE, PING, PONG, Seen, masked, unmasked};

/// Messages and control frames, and how the messages are cut into frames.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) seen: Seen,
    /// Lengths of all fragments but the last; a control frame ignores them.
    fragments: Vec<usize>,
    /// Sent between the fragments.
    pings: Vec<u8>,
    compressed: bool,
}

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    vec(part(), 0..8).prop_map(|parts| Sent { parts })
}

fn part() -> impl Strategy<Value = Part> {
    let control = || vec(any::<u8>(), 0..=125);
    let code = prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..=4999_u16];
    let seen = prop_oneof![
        6 => "\\PC{0,80}".prop_map(Seen::Text),
        1 => "[a-z]{100,400}".prop_map(Seen::Text),
        6 => vec(any::<u8>(), 0..300).prop_map(Seen::Binary),
        1 => (any::<u8>(), 60_000..70_000_usize).prop_map(|(byte, len)| Seen::Binary(vec![byte; len])),
        2 => control().prop_map(Seen::Ping),
        2 => control().prop_map(Seen::Pong),
        1 => proptest::option::of((code, "[a-zäß]{0,40}")).prop_map(Seen::Close),
    ];
    (seen, vec(0..200_usize, 0..4), vec(any::<u8>(), 0..3), any::<bool>())
        .prop_map(|(seen, fragments, pings, compressed)| Part { seen, fragments, pings, compressed })
}

impl Sent {
    /// The bytes that `sender` puts on the wire.
    pub(crate) fn encode(&self, sender: Role) -> Vec<u8> {
        let frame = match sender {
            Role::Client => masked,
            Role::Server => unmasked,
        };
        let mut out = Vec::new();
        let mut deflater = SharedDeflater::new(1);
        for part in &self.parts {
            let mut message = |opcode: u8, payload| {
                if part.compressed {
                    let deflated = deflater.compress(payload, 15);
                    part.encode_message(&mut out, opcode | COMPRESSED, deflated, frame);
                } else {
                    part.encode_message(&mut out, opcode, payload, frame);
                }
            };
            match &part.seen {
                Seen::Text(text) => message(1, text.as_bytes()),
                Seen::Binary(bytes) => message(2, bytes),
                Seen::Ping(payload) => out.extend(frame(PING, payload)),
                Seen::Pong(payload) => out.extend(frame(PONG, payload)),
                Seen::Close(None) => out.extend(frame(CLOSE, b"")),
                Seen::Close(Some((code, reason))) => {
                    out.extend(frame(CLOSE, &[&code.to_be_bytes()[..], reason.as_bytes()].concat()));
                }
            }
        }
        out
    }

    /// The same, said without permessage-deflate.
    pub(crate) fn without_compression(mut self) -> Self {
        for part in &mut self.parts {
            part.compressed = false;
        }
        self
    }

    /// What a receiver must make of it: everything up to the first close.
    pub(crate) fn expected(&self) -> Vec<Seen> {
        let mut expected = Vec::new();
        for part in &self.parts {
            if let Seen::Text(_) | Seen::Binary(_) = part.seen {
                expected.extend(part.pings_between().map(|byte| Seen::Ping(vec![byte])));
            }
            expected.push(part.seen.clone());
            if let Seen::Close(_) = part.seen {
                break;
            }
        }
        expected
    }
}

impl Part {
    /// Cuts a payload into frames, the first of which begins with the byte `first` less FIN.
    fn encode_message(
        &self,
        out: &mut Vec<u8>,
        mut first: u8,
        payload: &[u8],
        frame: fn(u8, &[u8]) -> Vec<u8>,
    ) {
        let mut rest = payload;
        let mut pings = self.pings_between();
        for &len in &self.fragments {
            let (fragment, behind) = rest.split_at(len.min(rest.len()));
            out.extend(frame(first, fragment));
            if let Some(ping) = pings.next() {
                out.extend(frame(PING, &[ping]));
            }
            (first, rest) = (MORE, behind);
        }
        out.extend(frame(first | LAST, rest));
    }

    fn pings_between(&self) -> impl Iterator<Item = u8> {
        self.pings.iter().copied().take(self.fragments.len())
    }
}

/// A change to one byte of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    at: prop::sample::Index,
    xor: u8,
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    (any::<prop::sample::Index>(), 1..=u8::MAX).prop_map(|(at, xor)| Mutation { at, xor })
}

impl Mutation {
    pub(crate) fn apply(&self, stream: &mut [u8]) {
        if !stream.is_empty() {
            stream[self.at.index(stream.len())] ^= self.xor;
        }
    }
}
