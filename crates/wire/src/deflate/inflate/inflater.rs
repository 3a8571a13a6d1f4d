//! One message through zlib's inflate, within a bound and to a proven end (RFC 7692 section 7.2.2).
//!
//! Below `inflate`, which decides whose message it is and what it may refer to.

use flate2::{Decompress, DecompressError, FlushDecompress, Status};

use super::InflateError;
use crate::deflate::FLUSH_TAIL;
use crate::pool::PoolBuffer;

/// zlib's inflate and how far it is in a message.
pub(super) struct Inflater {
    stream: Decompress,
    /// The last input ended exactly with a block marked as final; more input would start a new DEFLATE stream.
    ended: bool,
}

impl Inflater {
    pub(super) fn new() -> Self {
        // The window is the largest whatever was agreed: zlib-rs allocates that much in any case.
        Self { stream: Decompress::new(false), ended: false }
    }

    /// Starts a message that may refer to the bytes of `history`.
    pub(super) fn begin(&mut self, history: &[u8]) {
        self.ended = false;
        self.stream.reset(false);
        if !history.is_empty() {
            self.stream.set_dictionary(history).expect("a raw stream takes a dictionary at any time");
        }
    }

    /// Inflates a piece of the message onto the end of `out`, up to `bytes_max` bytes there in all.
    pub(super) fn inflate(
        &mut self,
        mut input: &[u8],
        out: &mut PoolBuffer,
        bytes_max: usize,
    ) -> Result<(), InflateError> {
        loop {
            if self.ended {
                // A final block inside a message (section 7.2.3.4). As with zlib, what follows has an empty window.
                self.stream.reset(false);
                self.ended = false;
            }
            let step = self.step(input, out, bytes_max)?;
            input = &input[step.read..];
            if input.is_empty() && (self.ended || !step.full) {
                return Ok(());
            }
            // With input and room zlib always moves on or fails; were it to do neither, this loop must not hang a worker.
            if step.read == 0 && !step.full && !self.ended {
                return Err(InflateError::Corrupt);
            }
        }
    }

    /// One call of the decompressor, with as much output as there is room for in `out` and under the limit.
    fn step(&mut self, input: &[u8], out: &mut PoolBuffer, bytes_max: usize) -> Result<Step, InflateError> {
        let start = out.len();
        let allowed = bytes_max.saturating_sub(start);
        if allowed == 0 {
            // Whether there is more can only be told by giving it room.
            let (mut excess, total_out) = ([0], self.stream.total_out());
            let call = self.call(|stream| stream.decompress(input, &mut excess, FlushDecompress::None));
            // Ahead of the verdict on what follows: the excess came first, and alone if reads were cut that way.
            if self.stream.total_out() > total_out {
                return Err(InflateError::TooBig);
            }
            return Ok(Step { read: call?.read, full: false });
        }
        out.try_reserve(1).map_err(|_| InflateError::PoolExhausted)?;
        let spare = out.capacity() - start;
        let vec = out.as_vec_mut();
        if spare <= allowed {
            let call = self.call(|stream| stream.decompress_vec(input, vec, FlushDecompress::None))?;
            return Ok(Step { read: call.read, full: call.wrote == spare });
        }
        // The buffer is larger than the limit: only a slice of it may be written, and a slice must first be something.
        let room = allowed.min(NEAR_LIMIT_STEP_BYTES);
        vec.resize(start + room, 0);
        let total_out = self.stream.total_out();
        let call = self.call(|stream| stream.decompress(input, &mut vec[start..], FlushDecompress::None));
        // Also after an error: what came out ahead of it stays, as in a buffer below the limit.
        vec.truncate(start + moved(total_out, self.stream.total_out()));
        let call = call?;
        Ok(Step { read: call.read, full: call.wrote == room })
    }

    /// Ends the message: adds the tail the sender removed (section 7.2.2), and checks that the data ends there.
    pub(super) fn complete(&mut self) -> Result<(), InflateError> {
        if self.ended {
            // Not even the empty block follows the final one. Sloppy, but nothing is missing.
            return Ok(());
        }
        // zlib alone would take any message cut short: it only waits for more. So a final empty block is added to the tail:
        // if nothing is missing, the stream ends with the last of these bytes and yields nothing more.
        let mut excess = [0];
        let probe =
            self.call(|stream| stream.decompress(&COMPLETE_PROBE, &mut excess, FlushDecompress::None));
        match probe {
            Ok(call) if call.wrote == 0 && self.ended && COMPLETE_AT.contains(&call.read) => Ok(()),
            Ok(_) | Err(_) => Err(InflateError::Truncated),
        }
    }

    fn call(
        &mut self,
        run: impl FnOnce(&mut Decompress) -> Result<Status, DecompressError>,
    ) -> Result<Call, InflateError> {
        let (total_in, total_out) = (self.stream.total_in(), self.stream.total_out());
        let status = run(&mut self.stream).map_err(|_| InflateError::Corrupt)?;
        self.ended = status == Status::StreamEnd;
        let read = moved(total_in, self.stream.total_in());
        Ok(Call { read, wrote: moved(total_out, self.stream.total_out()) })
    }
}

/// What one step did.
struct Step {
    read: usize,
    /// Whether the output it was given is full: there may be more to come without any input.
    full: bool,
}

/// What one call of the decompressor read and wrote.
struct Call {
    read: usize,
    wrote: usize,
}

/// How far one call moved one of the stream's totals.
fn moved(before: u64, now: u64) -> usize {
    usize::try_from(now - before).expect("a call moves within its slices")
}

/// The tail of the flush, then an empty stored block marked as final.
const COMPLETE_PROBE: [u8; 9] = {
    let [a, b, c, d] = FLUSH_TAIL;
    [a, b, c, d, 0x01, 0x00, 0x00, 0xff, 0xff]
};

/// Where a complete message's data ends in the probe: with the probe's own block, or with the tail, if the sender marked its
/// last, empty block as final.
const COMPLETE_AT: [usize; 2] = [FLUSH_TAIL.len(), COMPLETE_PROBE.len()];

/// Bytes inflated at a time where the buffer is larger than the limit.
const NEAR_LIMIT_STEP_BYTES: usize = 16 * 1024;
