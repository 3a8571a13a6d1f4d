//! Nodes and routes as bytes. Numbers are big-endian; text has its length before it, 2 bytes.

use std::str;
use std::sync::Arc;

use fred::types::Value;
use tidegate_protocol::id::{ID_BYTES, NodeName, SessionId};
use tidegate_protocol::time::Millis;

use crate::directory::{NodeRecord, Route};
use crate::fence::Fence;
use crate::redis::leases::Tenure;
use crate::redis::script::Fields;

/// A route: tenure and fence, which the scripts read, then node and user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Held {
    pub(super) tenure: Tenure,
    pub(super) fence: Fence,
    pub(super) node: NodeName,
    pub(super) user: Arc<str>,
}

/// What names a route in an index: no two registrations of a session have the same, but for one that is repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) session: SessionId,
    pub(super) tenure: Tenure,
    pub(super) fence: Fence,
}

impl Held {
    /// Where tenure and fence begin, as Lua counts.
    pub(super) const TENURE_AT: u64 = 1;
    pub(super) const FENCE_AT: u64 = 9;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(18 + self.node.as_str().len() + self.user.len());
        bytes.extend(self.tenure.as_bytes());
        bytes.extend(self.fence.number().to_be_bytes());
        put_text(&mut bytes, self.node.as_str());
        bytes.extend(self.user.as_bytes());
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let tenure = Tenure::decode(bytes.split_off(..8)?)?;
        let fence = Fence::new(take_u64(&mut bytes)?);
        let node = NodeName::parse(take_text(&mut bytes)?).ok()?;
        Some(Self { tenure, fence, node, user: str::from_utf8(bytes).ok()?.into() })
    }

    pub(super) fn into_route(self, session: SessionId) -> Route {
        Route { node: self.node, session, fence: self.fence }
    }
}

impl Entry {
    pub(super) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..16].copy_from_slice(self.session.as_bytes());
        bytes[16..24].copy_from_slice(self.tenure.as_bytes());
        bytes[24..].copy_from_slice(&self.fence.number().to_be_bytes());
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let session: [u8; ID_BYTES] = bytes.split_off(..ID_BYTES)?.try_into().ok()?;
        let tenure = Tenure::decode(bytes.split_off(..8)?)?;
        let fence = Fence::new(take_u64(&mut bytes)?);
        Some(Self { session: SessionId::from_bytes(session), tenure, fence })
    }

    /// Whether it stands for this route.
    pub(super) fn is_of(&self, held: &Held) -> bool {
        self.tenure == held.tenure && self.fence == held.fence
    }
}

/// Entries and when they were made.
pub(super) fn entries(value: Value) -> Option<Vec<(Entry, Millis)>> {
    let mut fields = Fields::of(value)?;
    let mut entries = Vec::with_capacity(fields.len() / 2);
    while fields.len() > 0 {
        entries.push((Entry::decode(&fields.bytes()?)?, Millis::new(fields.number()?)));
    }
    Some(entries)
}

/// What a node says of itself. Fields of later versions come behind these.
pub(super) fn encode(node: &NodeRecord) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in [node.name.as_str(), &node.phase, &node.version] {
        put_text(&mut bytes, text);
    }
    bytes.extend(node.connections.to_be_bytes());
    bytes.extend(node.capacity.to_be_bytes());
    bytes.extend(node.load_permille.to_be_bytes());
    bytes.extend(node.started_at.count().to_be_bytes());
    put_text(&mut bytes, node.admin.as_deref().unwrap_or_default());
    bytes
}

/// The first version's records end before `admin`.
pub(super) fn decode(mut bytes: &[u8]) -> Option<NodeRecord> {
    Some(NodeRecord {
        name: NodeName::parse(take_text(&mut bytes)?).ok()?,
        phase: take_text(&mut bytes)?.into(),
        version: take_text(&mut bytes)?.into(),
        connections: u32::from_be_bytes(take(&mut bytes)?),
        capacity: u32::from_be_bytes(take(&mut bytes)?),
        load_permille: u16::from_be_bytes(take(&mut bytes)?),
        started_at: Millis::new(take_u64(&mut bytes)?),
        admin: match bytes.is_empty() {
            true => None,
            false => Some(take_text(&mut bytes)?).filter(|url| !url.is_empty()).map(Into::into),
        },
    })
}

/// Cut where its length would not fit: none of what is written here is that long.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    bytes.extend(u16::try_from(text.len()).expect("it was cut above").to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = u16::from_be_bytes(take(bytes)?);
    str::from_utf8(bytes.split_off(..usize::from(length))?).ok()
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_be_bytes)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

const ENTRY_BYTES: usize = ID_BYTES + 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_entries_and_nodes_come_back_as_they_were() {
        let tenure = Tenure::decode(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        let node = NodeName::parse("n1").unwrap();
        for user in ["", "ann", "grüße"] {
            let held = Held { tenure, fence: Fence::new(7), node: node.clone(), user: user.into() };
            assert_eq!(Held::decode(&held.encode()), Some(held));
        }
        let entry = Entry { session: SessionId::from_bytes([9; 16]), tenure, fence: Fence::new(1) };
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));

        let record = NodeRecord {
            name: node,
            phase: "serving".into(),
            version: "0.1.0".into(),
            connections: 1,
            capacity: 2,
            load_permille: 3,
            started_at: Millis::new(4),
            admin: Some("http://10.0.0.7:9000".into()),
        };
        let mut bytes = encode(&record);
        let first_version = bytes.len() - 2 - record.admin.as_deref().unwrap_or_default().len();
        for end in (0..bytes.len()).filter(|&end| end != first_version) {
            assert_eq!(decode(&bytes[..end]), None);
        }
        let without = NodeRecord { admin: None, ..record.clone() };
        assert_eq!(decode(&bytes[..first_version]), Some(without.clone()));
        assert_eq!(decode(&encode(&without)), Some(without));
        bytes.extend(b"of a later version");
        assert_eq!(decode(&bytes), Some(record));
    }

    #[test]
    fn the_scripts_find_tenure_and_fence_where_they_look() {
        let tenure = Tenure::decode(&[7; 8]).unwrap();
        let node = NodeName::parse("n1").unwrap();
        let bytes = Held { tenure, fence: Fence::new(258), node, user: "".into() }.encode();

        let at = |position: u64| &bytes[position as usize - 1..][..8];
        assert_eq!(at(Held::TENURE_AT), [7; 8]);
        assert_eq!(at(Held::FENCE_AT), [0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
