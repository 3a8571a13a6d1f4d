//! permessage-deflate, RFC 7692: what is agreed in the handshake, and messages compressed and inflated by it.
//!
//! Place in the data path: [`negotiate`] turns the offers of an upgrade request into an [`Agreement`]; from it a connection
//! gets an [`Inflate`] for what it receives (driven by `decode`) and a [`Deflate`] for what it sends.
//!
//! Compression state is large next to a connection (see the figures at each type), so by default neither side keeps its
//! window between messages ("no context takeover") and a worker's connections share one [`SharedInflater`] and one
//! [`SharedDeflater`]: an idle connection then costs nothing, and a message for many receivers is compressed once.

mod agreement;
mod compress;
mod error;
mod header;
mod inflate;
mod offer;
mod parameters;

pub use agreement::{Agreement, Policy, negotiate};
pub use compress::{Deflate, SharedDeflater};
pub use error::{ExtensionError, Parameter, ParameterError};
pub use inflate::{Inflate, InflateError, SharedInflater};
pub use offer::ClientOffer;

/// Whose side *we* are: the agreement names client and server, and frames are masked by the client alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// We accepted the connection.
    Server,
    /// We opened it.
    Client,
}

/// The largest window there is, and the one in use where nothing else was agreed: 32 KiB (RFC 7692 section 7.1.2).
const WINDOW_BITS_MAX: u8 = 15;

/// The smallest window zlib can compress with. Its manual says at `deflateInit2`: "a windowBits value of 8 (a window size of
/// 256 bytes) is not supported"; raw streams, which are ours, are refused since 1.2.9 and compressed with 9 before it
/// (<https://github.com/madler/zlib/issues/171>). zlib-rs and flate2 refuse them as well.
const COMPRESS_WINDOW_BITS_MIN: u8 = 9;

/// What a flush leaves at the end of each message, removed by the sender and added by the receiver (section 7.2.1).
const FLUSH_TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
