//! The send side: messages into deflated payloads (RFC 7692 section 7.2.1).
//!
//! Place in the data path: a connection about to send asks its [`Deflate`]; a channel that sends one message to many
//! compresses once with the worker's [`SharedDeflater`] for all receivers whose [`Deflate::shares`] allows it.

use flate2::{Compress, Compression, FlushCompress};

use super::Role;
use super::agreement::{Agreement, Policy};
use super::{COMPRESS_WINDOW_BITS_MIN, FLUSH_TAIL, WINDOW_BITS_MAX};

#[cfg(test)]
mod tests;

/// One connection's send side.
///
/// 24 bytes where each message starts with an empty window. Under takeover it makes a compressor of its own with the first
/// message it compresses and keeps it: 246 KiB for a window of 9 bits, 260 for 12, 372 for 15. Most of that is hash tables
/// and output of a fixed size, so a smaller window saves little; 1,000 such connections take 250 to 370 MB.
pub struct Deflate {
    /// The compressor whose window lives on from message to message; made by the first message that needs it.
    own: Option<Box<Compress>>,
    threshold_bytes: usize,
    window_bits: u8,
    level: u8,
    takeover: bool,
}

impl Deflate {
    /// The send side of an agreement, for the side that `role` names as ours.
    pub fn new(agreement: &Agreement, role: Role, policy: &Policy) -> Self {
        let (no_takeover, window_bits) = match role {
            Role::Server => (agreement.server_no_context_takeover, agreement.server_max_window_bits),
            Role::Client => (agreement.client_no_context_takeover, agreement.client_max_window_bits),
        };
        Self {
            own: None,
            threshold_bytes: policy.threshold_bytes,
            window_bits,
            level: policy.level,
            takeover: !no_takeover,
        }
    }

    /// The payload to send in `payload`'s place, in a frame with RSV1 set, or `None` where the message is better sent as it
    /// is: empty, under the threshold, or not made shorter.
    pub fn compress<'d>(&mut self, shared: &'d mut SharedDeflater, payload: &[u8]) -> Option<&'d [u8]> {
        if payload.is_empty()
            || payload.len() < self.threshold_bytes
            || self.window_bits < COMPRESS_WINDOW_BITS_MIN
        {
            return None;
        }
        if self.takeover {
            // Sent even if it grew: the window has moved on, and the receiver's must follow.
            let own = self.own.get_or_insert_with(|| Box::new(new_stream(self.level, self.window_bits)));
            deflate_message(own, payload, &mut shared.deflated);
            return Some(&shared.deflated);
        }
        let deflated = shared.compress(payload, self.window_bits);
        (deflated.len() < payload.len()).then_some(deflated)
    }

    /// Window bits with which a message compressed by [`SharedDeflater::compress`] may be sent to this receiver (those or
    /// fewer), or `None` where it may not: this receiver follows a window of its own, or takes nothing compressed.
    pub fn shares(&self) -> Option<u8> {
        (!self.takeover && self.window_bits >= COMPRESS_WINDOW_BITS_MIN).then_some(self.window_bits)
    }
}

/// A worker's compressors for messages that start with an empty window, one for each window size in use.
///
/// Each takes as much as a [`Deflate`] under takeover, and starting anew clears a hash table of 128 KiB, about 4 µs whatever
/// the message: what a threshold under which messages go as they are saves.
pub struct SharedDeflater {
    level: u8,
    by_window_bits: [Option<Compress>; WINDOW_SIZES],
    /// The message last compressed, by whichever compressor.
    deflated: Vec<u8>,
}

impl SharedDeflater {
    /// Compressors of `level` 1 (fastest) to 9; each is made when first needed.
    pub fn new(level: u8) -> Self {
        Self { level, by_window_bits: [const { None }; WINDOW_SIZES], deflated: Vec::new() }
    }

    /// Compresses a whole message with an empty window of `2^window_bits` bytes, for a frame with RSV1 set. The result may
    /// be longer than `payload`; then the message is better sent as it is.
    ///
    /// # Panics
    ///
    /// If `window_bits` is not from 9 to 15; [`Deflate::shares`] gives no other.
    pub fn compress(&mut self, payload: &[u8], window_bits: u8) -> &[u8] {
        assert!(
            (COMPRESS_WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&window_bits),
            "window bits are 9 to 15"
        );
        let slot = &mut self.by_window_bits[usize::from(window_bits - COMPRESS_WINDOW_BITS_MIN)];
        let stream = slot.get_or_insert_with(|| new_stream(self.level, window_bits));
        stream.reset();
        deflate_message(stream, payload, &mut self.deflated);
        &self.deflated
    }
}

fn new_stream(level: u8, window_bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::new(u32::from(level.clamp(1, 9))), false, window_bits)
}

/// Replaces `deflated` by the compressed message, without the tail of its flush (RFC 7692 section 7.2.1).
fn deflate_message(stream: &mut Compress, payload: &[u8], deflated: &mut Vec<u8>) {
    deflated.clear();
    deflated.shrink_to(DEFLATED_BYTES_KEPT);
    let total_in = stream.total_in();
    let mut rest = payload;
    loop {
        // Incompressible data grows by a few bytes in each 16 KiB; what this leaves out the next round makes up for.
        deflated.reserve(rest.len() + FLUSH_ROOM_BYTES);
        stream
            .compress_vec(rest, deflated, FlushCompress::Sync)
            .expect("compressing fails only on a finished stream, and this one is only ever flushed");
        let read = usize::try_from(stream.total_in() - total_in).expect("no more is read than given");
        rest = &payload[read..];
        // zlib's rule: the flush is complete once it leaves room in the output.
        if rest.is_empty() && deflated.len() < deflated.capacity() {
            break;
        }
    }
    debug_assert!(deflated.ends_with(&FLUSH_TAIL), "a sync flush ends with an empty stored block");
    deflated.truncate(deflated.len() - FLUSH_TAIL.len());
}

/// 9 to 15 bits.
const WINDOW_SIZES: usize = (WINDOW_BITS_MAX - COMPRESS_WINDOW_BITS_MIN + 1) as usize;

/// Room for the end of the last block and the flush's empty one.
const FLUSH_ROOM_BYTES: usize = 64;

/// Output room kept from message to message; what a larger message needed is given up by the next.
const DEFLATED_BYTES_KEPT: usize = 256 * 1024;
