//! A session's hash: what its fields are called and hold.
//!
//! | Field | Holds |
//! |---|---|
//! | `s` | digest of the secret: who reads the store cannot resume what is in it |
//! | `o`, `n`, `f` | owner: mark of its process, node, fence |
//! | `a` | 1 attached, 0 detached |
//! | `u` | user |
//! | `m` | when it was made: Unix ms |
//! | `x` | when its entry in the user's index is due again: Unix ms |
//! | `p`, `i1`, `i2` … | pieces of the identity, and how many |
//! | `=CHANNEL` | a subscription: epoch and offset, 8 bytes each, or nothing without history |
//!
//! The identity comes in pieces because Redis packs a hash tightly as long as no value is longer than 64 bytes, which
//! makes a record about a third as large.

use std::str;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use fred::types::Value;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::position::{Epoch, Position};
use tidegate_protocol::time::Millis;

use crate::fence::Fence;
use crate::redis::script::{Args, Fields};
use crate::sessions::{Attachment, Identity, Resumption, SessionView, Subscription};

/// What a hash says.
#[derive(Debug)]
pub(super) struct Record {
    user: Arc<str>,
    node: NodeName,
    fence: Fence,
    state: Attachment,
    created_at: Millis,
    details: Details,
    /// By channel.
    subscriptions: Vec<Subscription>,
}

/// What of an identity lies in pieces.
#[derive(Debug)]
struct Details {
    claims: Arc<[u8]>,
    token_id: Option<Arc<str>>,
    token_expires_at: Option<Millis>,
}

impl Record {
    /// From the names and values of a hash; `None` if they make no record.
    pub(super) fn decode(mut fields: Fields) -> Option<Self> {
        let (mut user, mut node, mut fence, mut state, mut created_at) = (None, None, None, None, None);
        let (mut pieces, mut subscriptions) = (Vec::new(), Vec::new());
        while fields.len() > 0 {
            let name = fields.bytes()?;
            match &*name {
                b"u" => user = Some(Arc::from(&*fields.text()?)),
                b"n" => node = Some(NodeName::parse(&fields.text()?).ok()?),
                b"f" => fence = Some(Fence::new(fields.number()?)),
                b"a" => {
                    state = Some(if fields.flag()? { Attachment::Attached } else { Attachment::Detached })
                }
                b"m" => created_at = Some(Millis::new(fields.number()?)),
                [b'i', number @ ..] => {
                    let number: usize = str::from_utf8(number).ok()?.parse().ok()?;
                    pieces.push((number, fields.bytes()?));
                }
                [b'=', channel @ ..] => {
                    subscriptions.push(subscription(channel, &fields.bytes()?)?);
                }
                // For the scripts only, or of a later version.
                _ => drop(fields.value()?),
            }
        }
        pieces.sort_by_key(|(number, _)| *number);
        subscriptions.sort_by(|a: &Subscription, b| a.channel.cmp(&b.channel));
        Some(Self {
            user: user?,
            node: node?,
            fence: fence?,
            state: state?,
            created_at: created_at?,
            details: Details::decode(
                &pieces.into_iter().map(|(_, piece)| piece).collect::<Vec<_>>().concat(),
            )?,
            subscriptions,
        })
    }

    /// The answer of `HGETALL`: nothing in it where there is no such key.
    pub(super) fn decode_all(value: Value) -> Option<Option<Self>> {
        let fields = Fields::of(value)?;
        if fields.len() == 0 { Some(None) } else { Self::decode(fields).map(Some) }
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn node(&self) -> &NodeName {
        &self.node
    }

    pub(super) fn token_id(&self) -> Option<&str> {
        self.details.token_id.as_deref()
    }

    pub(super) fn into_resumption(self, taken_from: Option<NodeName>) -> Resumption {
        let Details { claims, token_id, token_expires_at } = self.details;
        Resumption {
            fence: self.fence,
            identity: Identity { user: self.user, claims, token_id, token_expires_at },
            subscriptions: self.subscriptions,
            created_at: self.created_at,
            taken_from,
        }
    }

    pub(super) fn into_view(self, session: SessionId) -> SessionView {
        SessionView {
            session,
            user: self.user,
            node: self.node,
            fence: self.fence,
            state: self.state,
            created_at: self.created_at,
            token_expires_at: self.details.token_expires_at,
            subscriptions: self.subscriptions,
        }
    }
}

impl Details {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (flags, mut rest) = bytes.split_first()?;
        let (mut token_id, mut token_expires_at) = (None, None);
        if flags & HAS_END != 0 {
            let (end, after) = rest.split_first_chunk()?;
            (token_expires_at, rest) = (Some(Millis::new(u64::from_be_bytes(*end))), after);
        }
        if flags & HAS_TOKEN_ID != 0 {
            let (length, after) = rest.split_first_chunk()?;
            let (id, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            (token_id, rest) = (Some(Arc::from(str::from_utf8(id).ok()?)), after);
        }
        Some(Self { claims: rest.into(), token_id, token_expires_at })
    }
}

/// The identity but for the user, in pieces.
pub(super) fn pieces(identity: &Identity) -> Vec<Bytes> {
    let mut bytes = vec![0];
    if let Some(end) = identity.token_expires_at {
        bytes[0] |= HAS_END;
        bytes.extend(end.count().to_be_bytes());
    }
    if let Some(id) = &identity.token_id {
        bytes[0] |= HAS_TOKEN_ID;
        bytes.extend(u32::try_from(id.len()).expect("a token is shorter than 4 GB").to_be_bytes());
        bytes.extend(id.as_bytes());
    }
    bytes.extend(&*identity.claims);

    let bytes = Bytes::from(bytes);
    // So large a record is not packed tightly in any case.
    let piece_bytes = if bytes.len() > PIECE_BYTES * PIECES_MAX { bytes.len() } else { PIECE_BYTES };
    let piece = |at: usize| bytes.slice(at..bytes.len().min(at + piece_bytes));
    (0..bytes.len()).step_by(piece_bytes).map(piece).collect()
}

/// Name and value of a subscription's field.
pub(super) fn with_subscription(args: Args, subscription: &Subscription) -> Args {
    let args = args.text(field_of(&subscription.channel));
    match subscription.position {
        Some(Position { epoch, offset }) => {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&epoch.number().to_be_bytes());
            bytes[8..].copy_from_slice(&offset.to_be_bytes());
            args.bytes(&bytes)
        }
        None => args.text(""),
    }
}

pub(super) fn field_of(channel: &ChannelName) -> String {
    format!("={channel}")
}

/// What is kept of a secret, and compared with.
pub(super) fn digest_of(secret: &ResumeSecret) -> [u8; 16] {
    let digest = digest(&SHA256, secret.as_bytes());
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

fn subscription(channel: &[u8], value: &[u8]) -> Option<Subscription> {
    let channel = ChannelName::parse(str::from_utf8(channel).ok()?).ok()?;
    let position = match value {
        [] => None,
        bytes => {
            let (epoch, offset) = bytes.split_first_chunk()?;
            let offset = u64::from_be_bytes(offset.try_into().ok()?);
            Some(Position { epoch: Epoch::new(u64::from_be_bytes(*epoch)), offset })
        }
    };
    Some(Subscription { channel, position })
}

const HAS_END: u8 = 1;
const HAS_TOKEN_ID: u8 = 2;
/// The server's `hash-max-listpack-value` is 64 unless somebody changed it.
const PIECE_BYTES: usize = 64;
/// Subscriptions need room as well: a hash of more than 128 fields is not packed tightly.
const PIECES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_from_its_pieces() {
        for claims_bytes in [0, 1, 63, 64, 65, 1_000, 2_000, 9_000] {
            for (token_id, token_expires_at) in [
                (None, None),
                (Some("jti"), Some(Millis::new(7))),
                (Some(""), None),
                (None, Some(Millis::MAX)),
            ] {
                let identity = Identity {
                    user: "ann".into(),
                    claims: vec![b'c'; claims_bytes].into(),
                    token_id: token_id.map(Arc::from),
                    token_expires_at,
                };
                let pieces = pieces(&identity);
                let are_short = pieces.iter().all(|piece| (1..=PIECE_BYTES).contains(&piece.len()));
                assert!(are_short || claims_bytes > 2_000 && pieces.len() == 1, "{claims_bytes}");
                let details = Details::decode(&pieces.concat()).unwrap();
                assert_eq!((details.claims, details.token_id), (identity.claims, identity.token_id));
                assert_eq!(details.token_expires_at, token_expires_at);
            }
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        for cut in
            [&[][..], &[HAS_END], &[HAS_END, 1, 2], &[HAS_TOKEN_ID, 0, 0, 0, 2, b'a'], &[HAS_TOKEN_ID, 0]]
        {
            assert!(Details::decode(cut).is_none(), "{cut:?}");
        }
        assert_eq!(subscription(b"chat:a", b"1234567"), None);
        assert_eq!(subscription(b"no channel", b""), None);
        let fields = Fields::of(Value::Array(vec![Value::String("u".into())])).unwrap();
        assert!(Record::decode(fields).is_none());
    }

    #[test]
    fn a_digest_does_not_show_the_secret() {
        let secret = ResumeSecret::from_bytes([7; 16]);
        assert_ne!(digest_of(&secret), [7; 16]);
        assert_eq!(digest_of(&secret), digest_of(&ResumeSecret::from_bytes([7; 16])));
        assert_ne!(digest_of(&secret), digest_of(&ResumeSecret::from_bytes([8; 16])));
    }
}
