//! Where the next page of the list of operations begins: text that callers hand back and do not look into.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidegate_protocol::drain::OperationId;

use super::control::Place;
use super::problem::Problem;
use super::request::in_query;
use crate::model::Millis;

/// For `next` of an answer.
pub(super) fn encode(place: &Place) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{}", place.created_at.count(), place.id))
}

/// From `cursor` of a query.
pub(super) fn decode(cursor: &str) -> Result<Place, Problem> {
    read(cursor).ok_or_else(|| in_query("cursor", "not a `next` that this call gave out"))
}

fn read(cursor: &str) -> Option<Place> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (created_at, id) = text.split_once('.')?;
    Some(Place { created_at: Millis::new(created_at.parse().ok()?), id: OperationId::parse(id).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_anything_else_is_told() {
        let place = Place { created_at: Millis::new(7), id: OperationId::parse("a.b-c").unwrap() };

        assert_eq!(decode(&encode(&place)).unwrap(), place);
        for broken in ["", "x", "****", "Nw", "Ny4"] {
            assert!(decode(broken).is_err(), "{broken}");
        }
    }
}
