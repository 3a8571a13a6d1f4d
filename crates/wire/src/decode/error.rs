//! The rules a peer can break, each with the close code that tells it so.

use crate::close::CloseCode;
use crate::pool::PoolExhausted;
use crate::utf8::InvalidUtf8;

/// Why a connection's receive side gave up. Section numbers are of RFC 6455 unless another is named.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// RSV2 or RSV3 is set, or RSV1 without permessage-deflate (section 5.2).
    #[error("a frame sets a reserved bit that no negotiated extension uses")]
    ReservedBits,
    /// An opcode of 3 to 7 or 11 to 15 (section 5.2).
    #[error("opcode {0} is reserved")]
    ReservedOpCode(u8),
    /// The compressed bit on a control frame or a continuation (RFC 7692, section 6.1).
    #[error("only the first frame of a data message may set the compressed bit")]
    MisplacedCompressedBit,
    /// A close, ping or pong without FIN (section 5.5).
    #[error("a control frame must not be fragmented")]
    FragmentedControl,
    /// A close, ping or pong of more than 125 bytes (section 5.5).
    #[error("a control frame carries at most 125 bytes")]
    ControlTooLong,
    /// A continuation without a message to continue (section 5.4).
    #[error("a continuation frame came without a message to continue")]
    UnexpectedContinuation,
    /// A new message inside a fragmented one (section 5.4).
    #[error("a new message began before the fragmented one ended")]
    ExpectedContinuation,
    /// A client's frame without a mask (section 5.1).
    #[error("a client must mask every frame")]
    NotMasked,
    /// A server's frame with a mask (section 5.1).
    #[error("a server must not mask a frame")]
    Masked,
    /// A length in more bytes than it needs (section 5.2).
    #[error("a payload length is not in its shortest form")]
    LengthNotMinimal,
    /// The top bit of a 64-bit length is set (section 5.2).
    #[error("the top bit of a 64-bit payload length must be zero")]
    LengthTopBit,
    /// A header claims more than a frame may have.
    #[error("a frame is longer than the limit of {bytes_max} bytes")]
    FrameTooBig {
        /// The limit, in bytes of payload as sent.
        bytes_max: u64,
    },
    /// Fragments claim, or compressed data inflates to, more than a message may have.
    #[error("a message is longer than the limit of {bytes_max} bytes")]
    MessageTooBig {
        /// The limit, in bytes of payload as delivered.
        bytes_max: u64,
    },
    /// A text message is not UTF-8 (section 8.1).
    #[error("a text message is not UTF-8")]
    TextNotUtf8,
    /// A close payload of one byte (section 5.5.1).
    #[error("a close frame's code has two bytes, but only one was sent")]
    CloseCodeCut,
    /// A code that may not be sent (section 7.4).
    #[error("close code {0} must not be sent")]
    CloseCodeNotAllowed(u16),
    /// A close reason is not UTF-8 (section 5.5.1).
    #[error("the reason in a close frame is not UTF-8")]
    CloseReasonNotUtf8,
    /// Not a DEFLATE stream (RFC 7692, section 7.2.2).
    #[error("a compressed message is not valid DEFLATE data")]
    CompressedCorrupt,
    /// A DEFLATE stream that ends too early (RFC 7692, section 7.2.1).
    #[error("a compressed message ends before its data does")]
    CompressedTruncated,
    /// No memory for what arrived: our fault, not the peer's.
    #[error("the buffer pool has no room for a message; raise the pool's limit or lower the message limit")]
    PoolExhausted,
}

impl DecodeError {
    /// The code to close the connection with (section 7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpCode(_)
            | Self::MisplacedCompressedBit
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::NotMasked
            | Self::Masked
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::CloseCodeCut
            | Self::CloseCodeNotAllowed(_) => CloseCode::PROTOCOL_ERROR,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => CloseCode::TOO_BIG,
            Self::TextNotUtf8
            | Self::CloseReasonNotUtf8
            | Self::CompressedCorrupt
            | Self::CompressedTruncated => CloseCode::INVALID_PAYLOAD,
            Self::PoolExhausted => CloseCode::TRY_AGAIN,
        }
    }

    /// The metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved_bits",
            Self::ReservedOpCode(_) => "reserved_opcode",
            Self::MisplacedCompressedBit => "misplaced_compressed_bit",
            Self::FragmentedControl => "fragmented_control",
            Self::ControlTooLong => "control_too_long",
            Self::UnexpectedContinuation => "unexpected_continuation",
            Self::ExpectedContinuation => "expected_continuation",
            Self::NotMasked => "not_masked",
            Self::Masked => "masked",
            Self::LengthNotMinimal => "length_not_minimal",
            Self::LengthTopBit => "length_top_bit",
            Self::FrameTooBig { .. } => "frame_too_big",
            Self::MessageTooBig { .. } => "message_too_big",
            Self::TextNotUtf8 => "text_not_utf8",
            Self::CloseCodeCut => "close_code_cut",
            Self::CloseCodeNotAllowed(_) => "close_code_not_allowed",
            Self::CloseReasonNotUtf8 => "close_reason_not_utf8",
            Self::CompressedCorrupt => "compressed_corrupt",
            Self::CompressedTruncated => "compressed_truncated",
            Self::PoolExhausted => "pool_exhausted",
        }
    }
}

impl From<InvalidUtf8> for DecodeError {
    fn from(InvalidUtf8: InvalidUtf8) -> Self {
        Self::TextNotUtf8
    }
}

impl From<PoolExhausted> for DecodeError {
    fn from(PoolExhausted: PoolExhausted) -> Self {
        Self::PoolExhausted
    }
}
