//! The receive side: deflated payloads back into messages, within a bound (RFC 7692 section 7.2.2).
//!
//! Place in the data path: `decode` pushes the unmasked payload of compressed frames as it arrives and finishes after the
//! last one. Inflating stops at the message limit, so what a bomb would unpack to is never produced.

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};

use flate2::{Decompress, DecompressError, FlushDecompress, Status};

use super::Role;
use super::agreement::Agreement;
use super::{FLUSH_TAIL, WINDOW_BITS_MAX};
use crate::pool::{BufferPool, PoolBuffer, PoolCharge};

#[cfg(test)]
mod tests;

/// Why a compressed message was refused; the connection cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InflateError {
    /// The payload is not DEFLATE data (RFC 1951).
    #[error("the compressed message is not valid DEFLATE data")]
    Corrupt,
    /// The message ends inside a block, or without the empty block that ends each message (RFC 7692 section 7.2.1).
    #[error("the compressed message ends before its data does")]
    Truncated,
    /// The message inflates to more than the limit.
    #[error("the compressed message inflates to more than the message limit")]
    TooBig,
    /// The pool has no memory for the message or for an inflater.
    #[error("the buffer pool has no room for the inflated message")]
    PoolExhausted,
}

/// One connection's receive side.
///
/// Holds an inflater only while a message is half received. Where the peer's window lives on from message to message, that
/// window is kept here as plain bytes, no more of them than were received or than were agreed.
pub struct Inflate {
    inflater: Option<Box<Inflater>>,
    history: Option<Box<History>>,
    /// `None` where each message starts with an empty window.
    takeover_window_bits: Option<u8>,
}

impl Inflate {
    /// The receive side of an agreement, for the side that `role` names as ours.
    pub fn new(agreement: &Agreement, role: Role) -> Self {
        let (no_takeover, window_bits) = match role {
            Role::Server => (agreement.client_no_context_takeover, agreement.client_max_window_bits),
            Role::Client => (agreement.server_no_context_takeover, agreement.server_max_window_bits),
        };
        // Old zlibs compress with 9 bits where 8 were asked of them.
        let window_bits = window_bits.clamp(9, WINDOW_BITS_MAX);
        Self { inflater: None, history: None, takeover_window_bits: (!no_takeover).then_some(window_bits) }
    }

    /// Inflates the next piece of the current message, of any length, and appends what comes out to `out`, which must be
    /// empty before a message's first piece and hold no more than `bytes_max` bytes at any time.
    ///
    /// # Errors
    ///
    /// The message cannot be inflated, or not within its bounds. The connection has to be closed; `out` then holds what came
    /// out ahead of the fault, the same however the message was cut into pieces.
    pub fn push(
        &mut self,
        shared: &mut SharedInflater,
        input: &[u8],
        out: &mut PoolBuffer,
        bytes_max: u64,
    ) -> Result<(), InflateError> {
        if input.is_empty() {
            return Ok(());
        }
        let inflater = match &mut self.inflater {
            Some(inflater) => inflater,
            none => none.insert(shared.take(out.pool(), self.history.as_deref())?),
        };
        inflater.inflate(input, out, usize::try_from(bytes_max).unwrap_or(usize::MAX))
    }

    /// Ends the current message: `out` must hold what its pushes brought, and is complete if this succeeds.
    ///
    /// # Errors
    ///
    /// [`InflateError::Truncated`] if the data does not end where a message may end. The connection has to be closed.
    pub fn finish(&mut self, out: &PoolBuffer) -> Result<(), InflateError> {
        // No byte at all: strictly wrong (section 7.2.3.6 wants one), but seen in the wild and clear in its meaning.
        let Some(mut inflater) = self.inflater.take() else {
            return Ok(());
        };
        let complete = inflater.complete();
        inflater.give_back();
        complete?;
        if let Some(window_bits) = self.takeover_window_bits {
            self.history.get_or_insert_with(|| Box::new(History::new(window_bits))).remember(out);
        }
        Ok(())
    }
}

impl Drop for Inflate {
    fn drop(&mut self) {
        if let Some(inflater) = self.inflater.take() {
            inflater.give_back();
        }
    }
}

impl fmt::Debug for Inflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflate")
            .field("mid_message", &self.inflater.is_some())
            .field("takeover_window_bits", &self.takeover_window_bits)
            .finish_non_exhaustive()
    }
}

/// A worker's inflaters, lent to whichever connection is in the middle of a message.
///
/// Between messages of different connections they carry nothing over, so one usually does for all. Only messages that are
/// still incomplete at the end of a read make more; each counts towards the buffer pool's bound while it is lent.
#[derive(Debug, Default)]
pub struct SharedInflater(Rc<FreeInflaters>);

impl SharedInflater {
    /// No inflater yet; the first message makes one.
    pub fn new() -> Self {
        Self::default()
    }

    fn take(&mut self, pool: &BufferPool, history: Option<&History>) -> Result<Box<Inflater>, InflateError> {
        let charge = pool.try_charge(INFLATER_BYTES).ok_or(InflateError::PoolExhausted)?;
        let free = self.0.0.borrow_mut().pop();
        let mut inflater = free.unwrap_or_else(|| Box::new(Inflater::new(Rc::downgrade(&self.0))));
        inflater.begin(charge, history)?;
        Ok(inflater)
    }
}

#[derive(Default)]
#[expect(clippy::vec_box, reason = "lent out boxed, so that an idle connection's slot for one is a pointer")]
struct FreeInflaters(RefCell<Vec<Box<Inflater>>>);

impl fmt::Debug for FreeInflaters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreeInflaters").field("count", &self.0.borrow().len()).finish()
    }
}

/// An inflater and the message it is in.
struct Inflater {
    stream: Decompress,
    /// The last input ended exactly with a block marked as final; more input would start a new DEFLATE stream.
    ended: bool,
    charge: Option<PoolCharge>,
    home: Weak<FreeInflaters>,
}

/// What one call of the decompressor did.
struct Step {
    read: usize,
    /// Whether the output it was given is full: there may be more to come without any input.
    full: bool,
}

impl Inflater {
    fn new(home: Weak<FreeInflaters>) -> Self {
        // The window is the largest whatever was agreed: zlib-rs allocates that much in any case.
        Self { stream: Decompress::new(false), ended: false, charge: None, home }
    }

    fn begin(&mut self, charge: PoolCharge, history: Option<&History>) -> Result<(), InflateError> {
        self.charge = Some(charge);
        self.ended = false;
        self.stream.reset(false);
        if let Some(history) = history {
            self.stream.set_dictionary(&history.bytes).map_err(|_| InflateError::Corrupt)?;
        }
        Ok(())
    }

    fn inflate(
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
    fn complete(&mut self) -> Result<(), InflateError> {
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

    fn give_back(mut self: Box<Self>) {
        self.charge = None;
        if let Some(home) = self.home.upgrade() {
            let mut free = home.0.borrow_mut();
            if free.len() < FREE_INFLATERS_MAX {
                free.push(self);
            }
        }
    }
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

/// The last bytes of what a peer has sent, which its next message may refer to.
struct History {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl History {
    fn new(window_bits: u8) -> Self {
        Self { bytes: Vec::new(), bytes_max: 1 << window_bits }
    }

    fn remember(&mut self, message: &[u8]) {
        let message = &message[message.len().saturating_sub(self.bytes_max)..];
        let len = (self.bytes.len() + message.len()).min(self.bytes_max);
        self.bytes.drain(..self.bytes.len() + message.len() - len);
        // Doubled by hand: `Vec` might pass the maximum, which is a power of two.
        if len > self.bytes.capacity() {
            self.bytes.reserve_exact(len.next_power_of_two() - self.bytes.len());
        }
        self.bytes.extend_from_slice(message);
    }
}

/// The tail of the flush, then an empty stored block marked as final.
const COMPLETE_PROBE: [u8; 9] = {
    let [a, b, c, d] = FLUSH_TAIL;
    [a, b, c, d, 0x01, 0x00, 0x00, 0xff, 0xff]
};

/// Where a complete message's data ends in the probe: with the probe's own block, or with the tail, if the sender marked its
/// last, empty block as final.
const COMPLETE_AT: [usize; 2] = [FLUSH_TAIL.len(), COMPLETE_PROBE.len()];

/// What an inflater is counted as while lent.
const INFLATER_BYTES: usize = 48 * 1024;

/// Inflaters kept for the next half-received message; more than that are only ever busy in a burst.
const FREE_INFLATERS_MAX: usize = 8;

/// Bytes inflated at a time where the buffer is larger than the limit.
const NEAR_LIMIT_STEP_BYTES: usize = 16 * 1024;
