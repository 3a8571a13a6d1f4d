//! A seat as bytes: tenure and fence of its holder (8 each), since when (8) and whose (2 of length, and the user), and
//! what it shows (a mark, and the information). Numbers are big-endian; the scripts read all but the information.

use std::str;
use std::sync::Arc;

use tidegate_protocol::id::{ID_BYTES, SessionId};
use tidegate_protocol::time::Millis;

use crate::presence::Member;
use crate::redis::script::Fields;

/// Since when, and whose: what a second join keeps.
pub(super) fn encode_who(member: &Member) -> Vec<u8> {
    // No user is that long: a token has fewer bytes.
    let user = &member.user[..member.user.floor_char_boundary(usize::from(u16::MAX))];
    let mut bytes = Vec::with_capacity(10 + user.len());
    bytes.extend(member.since.count().to_be_bytes());
    bytes.extend(u16::try_from(user.len()).expect("it was cut above").to_be_bytes());
    bytes.extend(user.as_bytes());
    bytes
}

pub(super) fn encode_info(info: Option<&[u8]>) -> Vec<u8> {
    info.map_or_else(Vec::new, |info| [&[SHOWN], info].concat())
}

pub(super) fn decode(session: SessionId, seat: &[u8]) -> Option<Member> {
    let rest = seat.get(HOLDER_BYTES..)?;
    let (since, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (user, info) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let info = match info.split_first() {
        None => None,
        Some((&SHOWN, info)) => Some(Arc::from(info)),
        Some(_) => return None,
    };
    let user = Arc::from(str::from_utf8(user).ok()?);
    Some(Member { session, user, info, since: Millis::new(u64::from_be_bytes(*since)) })
}

/// Sessions and their seats, by turns.
pub(super) fn decode_all(mut fields: Fields) -> Option<Vec<Member>> {
    let mut members = Vec::with_capacity(fields.len() / 2);
    while fields.len() > 0 {
        let session: [u8; ID_BYTES] = fields.bytes()?.as_ref().try_into().ok()?;
        members.push(decode(SessionId::from_bytes(session), &fields.bytes()?)?);
    }
    Some(members)
}

const HOLDER_BYTES: usize = 16;
const SHOWN: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_comes_back_as_it_was() {
        for (user, info) in [("", None), ("ann", None), ("grüße", Some(&b"{}"[..])), ("ann", Some(b""))] {
            let session = SessionId::from_bytes([1; 16]);
            let member =
                Member { session, user: user.into(), info: info.map(Arc::from), since: Millis::new(5) };
            let seat = [vec![0; HOLDER_BYTES], encode_who(&member), encode_info(info)].concat();
            assert_eq!(decode(session, &seat), Some(member));
            assert_eq!(decode(session, &seat[..HOLDER_BYTES + 9]), None);
        }
    }
}
