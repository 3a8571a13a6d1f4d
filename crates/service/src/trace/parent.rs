//! `traceparent`: which span of which trace a piece of work belongs under (W3C Trace Context level 2, section 3.2).
//!
//! Place in the data path: read from an HTTP header or an envelope, written into messages for others. `tracestate` is not
//! carried on: the standard lets a party drop it (section 3.5).

use std::fmt;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Somebody decided that this trace is kept.
pub(super) const FLAG_SAMPLED: u8 = 0x01;
/// The lower seven bytes of the trace id are random.
pub(super) const FLAG_RANDOM: u8 = 0x02;

/// Length of version 00: `00-{32 digits}-{16 digits}-{2 digits}`.
const TEXT_BYTES: usize = 55;

/// A span, named so that another process can make a child of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
    flags: u8,
}

impl TraceParent {
    pub(super) fn new(trace: TraceId, span: SpanId, flags: u8) -> Self {
        Self { trace, span, flags }
    }

    /// Reads a `traceparent`; `None` if it is malformed, which is to be treated as none at all (section 4.3).
    ///
    /// Of a later version what version 00 has is read, and what comes behind it ignored. Flags that this version does not
    /// know are cleared (section 3.2.2.3.3).
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (head, rest) = bytes.split_at_checked(TEXT_BYTES)?;
        let has_dashes = [2, 35, 52].into_iter().all(|place| head[place] == b'-');
        let version = hex(&head[..2])?;
        let is_known_end = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|&byte| byte == b'-'),
        };
        if !has_dashes || !is_known_end {
            return None;
        }
        let trace = u128::from(hex(&head[3..19])?) << 64 | u128::from(hex(&head[19..35])?);
        let (span, flags) = (hex(&head[36..52])?, hex(&head[53..])?);
        if trace == 0 || span == 0 {
            return None;
        }
        let flags = u8::try_from(flags).expect("two digits are one byte") & (FLAG_SAMPLED | FLAG_RANDOM);
        Some(Self { trace: trace.into(), span: span.into(), flags })
    }

    /// Whether the trace is kept: spans below an unsampled one are not made.
    pub fn is_sampled(&self) -> bool {
        self.flags & FLAG_SAMPLED != 0
    }

    pub(super) fn trace_id(&self) -> TraceId {
        self.trace
    }

    pub(super) fn span_id(&self) -> SpanId {
        self.span
    }

    pub(super) fn flags(&self) -> u8 {
        self.flags
    }

    pub(super) fn context(&self, is_remote: bool) -> SpanContext {
        let flags = TraceFlags::new(self.flags);
        SpanContext::new(self.trace, self.span, flags, is_remote, TraceState::NONE)
    }
}

/// Version 00.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// Up to 16 hexadecimal digits, small letters only (section 3.2.1).
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}
