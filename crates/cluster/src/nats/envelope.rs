//! What stands around the node messages in a NATS message: headers for people who look on, and where a batch is cut.
//!
//! The payload is the truth. A batch is its messages one after the other, which is a valid payload by itself; the header
//! `Tidegate-Parts` says how long each is, so that the receiving end hands out what the sending end was given.

use std::fmt::Write;

use async_nats::header::{HeaderMap, HeaderName};
use bytes::{Bytes, BytesMut};
use tidegate_protocol::node::{NodeMessage, messages};

#[cfg(test)]
mod tests;

/// Lengths in bytes of a batch's messages, with commas in between.
const PARTS: HeaderName = HeaderName::from_static("Tidegate-Parts");
/// Version of the node message.
const VERSION: HeaderName = HeaderName::from_static("Tidegate-Version");
/// The publication's place in its channel's stream.
const EPOCH: HeaderName = HeaderName::from_static("Tidegate-Epoch");
/// The publication's place in its channel's stream.
const OFFSET: HeaderName = HeaderName::from_static("Tidegate-Offset");
/// Which publication of that place it is, in hexadecimal.
const TAG: HeaderName = HeaderName::from_static("Tidegate-Tag");
/// W3C Trace Context of the publication.
const TRACE: HeaderName = HeaderName::from_static("traceparent");

/// A payload and the headers it needs.
pub(super) fn seal(messages: &[Bytes], described: bool) -> (Option<HeaderMap>, Bytes) {
    match messages {
        [message] => (if described { describe(message) } else { None }, message.clone()),
        several => {
            let mut parts = String::with_capacity(several.len() * 4);
            let mut payload = BytesMut::with_capacity(several.iter().map(Bytes::len).sum());
            for message in several {
                let comma = if parts.is_empty() { "" } else { "," };
                write!(parts, "{comma}{}", message.len()).expect("a string takes whatever is written");
                payload.extend_from_slice(message);
            }
            let mut headers = HeaderMap::new();
            headers.insert(PARTS, parts);
            (Some(headers), payload.freeze())
        }
    }
}

/// The messages of a payload, none of them copied. `None`: the headers do not fit it.
pub(super) fn open(headers: Option<&HeaderMap>, payload: Bytes) -> Option<Parts> {
    let parts = match headers.and_then(|headers| headers.get(PARTS)) {
        None => return Some(Parts { lengths: None, payload }),
        Some(parts) => parts.as_str(),
    };
    let mut lengths = Vec::new();
    for length in parts.split(',') {
        lengths.push(length.parse().ok()?);
    }
    let total = lengths.iter().try_fold(0_usize, |total, length| total.checked_add(*length))?;
    (total == payload.len()).then_some(Parts { lengths: Some(lengths.into_iter()), payload })
}

/// See [`open`].
#[derive(Debug)]
pub(super) struct Parts {
    /// `None`: one message is left, and all of the payload is it.
    lengths: Option<std::vec::IntoIter<usize>>,
    payload: Bytes,
}

impl Iterator for Parts {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match &mut self.lengths {
            None => {
                self.lengths = Some(Vec::new().into_iter());
                Some(std::mem::take(&mut self.payload))
            }
            Some(lengths) => lengths.next().map(|length| self.payload.split_to(length)),
        }
    }
}

/// Headers for a publication that has a place in a stream, or is traced.
fn describe(message: &[u8]) -> Option<HeaderMap> {
    let Ok(NodeMessage::Publication(publication)) = messages(message).next()? else { return None };
    if publication.position.is_none() && publication.trace.is_none() {
        return None;
    }
    let mut headers = HeaderMap::new();
    if let Some(version) = message.first() {
        headers.insert(VERSION, version.to_string());
    }
    if let Some(position) = publication.position {
        headers.insert(EPOCH, position.epoch.to_string());
        headers.insert(OFFSET, position.offset.to_string());
    }
    if let Some(link) = publication.link {
        headers.insert(TAG, format!("{:016x}", link.tag.number()));
    }
    if let Some(trace) = publication.trace.filter(|trace| is_token(trace)) {
        headers.insert(TRACE, trace);
    }
    Some(headers)
}

/// Whether a header can hold it as it stands: it comes from a client.
fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
