//! The states of a receive side, as metrics and the debug page show them.

/// Where the receive side stands between reads; the names are metric labels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum State {
    /// Between messages, holding no buffer.
    Idle,
    /// Some of a header is there, its length not yet.
    ReadingHeader,
    /// The length is there, the masking key not yet.
    ReadingMask,
    /// The header is there, some of its payload not yet.
    ReadingPayload,
    /// A fragmented message waits for its next frame.
    BetweenFragments,
    /// The peer closed or broke a rule; further input is dropped.
    Closed,
}

impl State {
    /// Every state, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::ReadingHeader,
        Self::ReadingMask,
        Self::ReadingPayload,
        Self::BetweenFragments,
        Self::Closed,
    ];

    /// The metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::ReadingHeader => "reading_header",
            Self::ReadingMask => "reading_mask",
            Self::ReadingPayload => "reading_payload",
            Self::BetweenFragments => "between_fragments",
            Self::Closed => "closed",
        }
    }

    /// Whether the peer owes the rest of something it began, so that a deadline runs.
    pub const fn is_unfinished(self) -> bool {
        match self {
            Self::ReadingHeader | Self::ReadingMask | Self::ReadingPayload | Self::BetweenFragments => true,
            Self::Idle | Self::Closed => false,
        }
    }
}
