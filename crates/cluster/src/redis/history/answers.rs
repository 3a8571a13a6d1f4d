//! Takes apart what the steps of a history answer.

use fred::types::Value;
use tidegate_protocol::position::{Position, Tag};
use tidegate_protocol::time::Millis;

use crate::history::{Coverage, Entry, Page};
use crate::redis::script::Fields;

use super::known::Seen;

pub(super) struct AppendAnswer {
    pub(super) position: Position,
    pub(super) previous: Tag,
    pub(super) duplicate: bool,
    pub(super) evicted: u64,
}

pub(super) fn appended(answer: Value) -> Option<AppendAnswer> {
    let mut fields = Fields::of(answer)?;
    Some(AppendAnswer {
        position: position(&mut fields)?,
        previous: tag(&mut fields)?,
        duplicate: fields.flag()?,
        evicted: fields.number()?,
    })
}

pub(super) fn page(answer: Value) -> Option<Page> {
    let mut fields = Fields::of(answer)?;
    let head = position(&mut fields)?;
    let head_tag = Some(tag(&mut fields)?);
    let coverage = match fields.number()? {
        0 => Coverage::Complete,
        1 => Coverage::More,
        2 => Coverage::Lost,
        _ => return None,
    };
    let mut list = fields.list()?;
    let entries = (0..list.len()).map(|_| entry(list.list()?)).collect::<Option<_>>()?;
    Some(Page { head, head_tag, entries, coverage })
}

pub(super) fn heads(answer: Value) -> Option<Vec<Option<Seen>>> {
    let mut heads = Fields::of(answer)?;
    let head = |head: Value| match head {
        Value::Null => Some(None),
        head => seen(Fields::of(head)?).map(Some),
    };
    (0..heads.len()).map(|_| head(heads.value()?)).collect()
}

fn seen(mut fields: Fields) -> Option<Seen> {
    Some(Seen { position: position(&mut fields)?, tag: tag(&mut fields)? })
}

fn position(fields: &mut Fields) -> Option<Position> {
    Some(Position { epoch: fields.text()?.parse().ok()?, offset: fields.number()? })
}

fn tag(fields: &mut Fields) -> Option<Tag> {
    u64::from_str_radix(&fields.text()?, 16).ok().map(Tag::new)
}

fn entry(mut entry: Fields) -> Option<Entry> {
    let id = entry.text()?;
    let (offset, at) = id.split_once('-')?;
    let mut fields = entry.list()?;
    let [mut data, mut tag, mut from, mut conflate, mut trace] = [const { None }; 5];
    while fields.len() > 0 {
        let place = match &*fields.text()? {
            "t" => &mut tag,
            "d" => &mut data,
            "f" => &mut from,
            "c" => &mut conflate,
            "w" => &mut trace,
            _ => {
                fields.value()?;
                continue;
            }
        };
        *place = Some(fields.bytes()?);
    }
    let text = |bytes: bytes::Bytes| std::str::from_utf8(&bytes).ok().map(Into::into);
    let optional = |bytes: Option<bytes::Bytes>| match bytes {
        Some(bytes) => text(bytes).map(Some),
        None => Some(None),
    };
    let tag = u64::from_str_radix(std::str::from_utf8(&tag?).ok()?, 16).ok()?;
    Some(Entry {
        offset: offset.parse().ok()?,
        tag: Some(Tag::new(tag)),
        at: Millis::new(at.parse().ok()?),
        data: (&*data?).into(),
        from: optional(from)?,
        conflate: optional(conflate)?,
        trace: optional(trace)?,
    })
}
