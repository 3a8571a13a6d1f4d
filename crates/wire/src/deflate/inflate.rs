//! The receive side: deflated payloads back into messages, within a bound (RFC 7692 section 7.2.2).
//!
//! Place in the data path: `decode` pushes the unmasked payload of compressed frames as it arrives and finishes after the
//! last one. Inflating stops at the message limit, so what a bomb would unpack to is never produced.

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};

use super::agreement::Agreement;
use super::{Role, WINDOW_BITS_MAX};
use crate::pool::{BufferPool, PoolBuffer, PoolCharge};

mod history;
mod inflater;

use history::History;
use inflater::Inflater;

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
/// 24 bytes, and an inflater only while a message is half received. Where the peer's window lives on from message to message,
/// that window is kept here as plain bytes: as many as were received, at most those agreed (512 bytes to 32 KiB).
pub struct Inflate {
    inflater: Option<Box<Lent>>,
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
        // zlib before 1.2.9 compresses with 9 bits where 8 were asked of it.
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
        let lent = match &mut self.inflater {
            Some(lent) => lent,
            none => {
                let lent = none.insert(shared.lend(out.pool())?);
                lent.inflater.begin(self.history.as_ref().map_or(&[], |history| history.bytes()));
                lent
            }
        };
        lent.inflater.inflate(input, out, usize::try_from(bytes_max).unwrap_or(usize::MAX))
    }

    /// Ends the current message: `out` must hold what its pushes brought, and is complete if this succeeds.
    ///
    /// # Errors
    ///
    /// [`InflateError::Truncated`] if the data does not end where a message may end. The connection has to be closed.
    pub fn finish(&mut self, out: &PoolBuffer) -> Result<(), InflateError> {
        // No byte at all: an empty message should be one zero byte (section 7.2.3.6), but there is only one thing to mean.
        let Some(mut lent) = self.inflater.take() else {
            return Ok(());
        };
        let complete = lent.inflater.complete();
        lent.give_back();
        complete?;
        if let Some(window_bits) = self.takeover_window_bits {
            self.history.get_or_insert_with(|| Box::new(History::new(window_bits))).remember(out);
        }
        Ok(())
    }
}

impl Drop for Inflate {
    fn drop(&mut self) {
        if let Some(lent) = self.inflater.take() {
            lent.give_back();
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
/// They carry nothing over from one message to the next, so one usually does for all connections. Only messages that are
/// still incomplete at the end of a read make more. Each takes 47 KiB, counts as 48 towards the buffer pool's bound while
/// it is lent, and goes back on every path; up to 8 are kept for the next message.
#[derive(Default)]
pub struct SharedInflater(Rc<FreeInflaters>);

impl SharedInflater {
    /// No inflater yet; the first message makes one.
    pub fn new() -> Self {
        Self::default()
    }

    fn lend(&mut self, pool: &BufferPool) -> Result<Box<Lent>, InflateError> {
        let charge = pool.try_charge(INFLATER_BYTES).ok_or(InflateError::PoolExhausted)?;
        let mut lent = self.0.0.borrow_mut().pop().unwrap_or_else(|| {
            Box::new(Lent { inflater: Inflater::new(), charge: None, home: Rc::downgrade(&self.0) })
        });
        lent.charge = Some(charge);
        Ok(lent)
    }
}

impl fmt::Debug for SharedInflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedInflater").field("free", &self.0.0.borrow().len()).finish()
    }
}

#[derive(Default)]
#[expect(clippy::vec_box, reason = "lent out boxed, so that an idle connection's slot for one is a pointer")]
struct FreeInflaters(RefCell<Vec<Box<Lent>>>);

/// An inflater with the way back to its worker. Weak, since the free ones lie in what it points to.
struct Lent {
    inflater: Inflater,
    /// `None` while it is free.
    charge: Option<PoolCharge>,
    home: Weak<FreeInflaters>,
}

impl Lent {
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

/// What an inflater is counted as while it is lent.
const INFLATER_BYTES: usize = 48 * 1024;

/// Inflaters kept for the next message; more than that are only ever busy in a burst.
const FREE_INFLATERS_MAX: usize = 8;
