//! Bounded pool of byte buffers, one per worker.
//!
//! Place in the data path: `decode` keeps an unfinished frame or a fragmented message in a buffer of this pool, `deflate`
//! inflates into one, and a connection's outbox keeps there what its socket did not take. An idle connection holds none.
//! Every buffer finds its way back by being dropped, so there is no path that can forget to return one.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

#[cfg(test)]
mod tests;

/// A worker's buffers, in size classes of 1 KiB, 4 KiB, 16 KiB … 1 GiB; a clone is another handle to the same pool.
///
/// Not `Sync`: what one worker owns needs no lock. Two bounds hold at every moment, both in bytes of buffer capacity: what
/// is handed out, and what is kept for the next taker. A buffer that comes back over the second bound is freed.
#[derive(Clone, Debug)]
pub struct BufferPool(Rc<Shelves>);

/// The two bounds of a [`BufferPool`].
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Most bytes of capacity handed out at a time; a request that would pass it is refused.
    pub in_use_bytes_max: usize,
    /// Most bytes of capacity kept for reuse; 0 keeps nothing.
    pub free_bytes_max: usize,
}

/// What a pool holds now and has done since it was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PoolStats {
    /// Bytes of capacity handed out, with the inflaters of half-received messages counted in.
    pub in_use_bytes: usize,
    /// Bytes of capacity kept for reuse.
    pub free_bytes: usize,
    /// Buffers handed out; a buffer that moves to a larger class counts again.
    pub taken_total: u64,
    /// Those of them that had to be allocated because none of their class was free.
    pub allocated_total: u64,
    /// Requests refused because the pool was at its bound.
    pub refused_total: u64,
}

/// The pool is at its bound; whoever asked must do without, which for a connection means to close with 1013.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the buffer pool is at its bound; raise the pool's limit or lower the message limit")]
pub struct PoolExhausted;

impl BufferPool {
    /// An empty pool; memory is allocated as it is first asked for.
    pub fn new(config: PoolConfig) -> Self {
        Self(Rc::new(Shelves {
            config,
            in_use_bytes: Cell::new(0),
            free_bytes: Cell::new(0),
            taken_total: Cell::new(0),
            allocated_total: Cell::new(0),
            refused_total: Cell::new(0),
            free: RefCell::new([const { Vec::new() }; CLASS_COUNT]),
        }))
    }

    /// An empty buffer with room for at least `capacity` bytes, or `None` when the pool is at its bound.
    #[inline]
    pub fn try_take(&self, capacity: usize) -> Option<PoolBuffer> {
        let bytes = self.0.take(capacity)?;
        Some(PoolBuffer { bytes, pool: self.clone() })
    }

    /// What the pool holds now and has done so far.
    pub fn stats(&self) -> PoolStats {
        let shelves = &*self.0;
        PoolStats {
            in_use_bytes: shelves.in_use_bytes.get(),
            free_bytes: shelves.free_bytes.get(),
            taken_total: shelves.taken_total.get(),
            allocated_total: shelves.allocated_total.get(),
            refused_total: shelves.refused_total.get(),
        }
    }

    /// Frees every buffer that is not in use; for the quiet after a burst.
    pub fn trim(&self) {
        self.0.free_bytes.set(0);
        self.0.free.replace([const { Vec::new() }; CLASS_COUNT]);
    }

    /// Counts `bytes` of memory that is no buffer (an inflater's state) towards the bound until the charge is dropped.
    pub(crate) fn try_charge(&self, bytes: usize) -> Option<PoolCharge> {
        self.0.charge(bytes)?;
        Some(PoolCharge { bytes, pool: self.clone() })
    }
}

/// A growable byte buffer that goes back to its [`BufferPool`] when it is dropped.
///
/// It reads and writes as a `[u8]` of the bytes it holds. Growth is always explicit and can be refused. Nothing is zeroed
/// on reuse: only bytes that were written can be read.
pub struct PoolBuffer {
    bytes: Vec<u8>,
    pool: BufferPool,
}

// The decoder of every connection holds an `Option<PoolBuffer>`: its size is paid by each idle connection.
const _: () =
    assert!(size_of::<PoolBuffer>() <= 32 && size_of::<Option<PoolBuffer>>() == size_of::<PoolBuffer>());

impl PoolBuffer {
    /// Appends `bytes`, moving to a larger class if they do not fit.
    ///
    /// # Errors
    ///
    /// [`PoolExhausted`], with the contents untouched, if that larger buffer would pass the pool's bound.
    #[inline]
    pub fn try_extend(&mut self, bytes: &[u8]) -> Result<(), PoolExhausted> {
        self.try_reserve(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Makes room for `additional` bytes after those it holds. While the bytes move, the old and the new buffer both count.
    ///
    /// # Errors
    ///
    /// [`PoolExhausted`], with the contents untouched, if a larger buffer is needed and would pass the pool's bound.
    #[inline]
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), PoolExhausted> {
        if additional <= self.bytes.capacity() - self.bytes.len() {
            return Ok(());
        }
        self.grow(additional)
    }

    /// Forgets the contents, keeps the room.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Forgets what lies beyond the first `len` bytes; a `len` beyond the end changes nothing.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Forgets the first `n` bytes, or everything if there are fewer, and moves the rest to the front.
    pub fn drain_front(&mut self, n: usize) {
        self.bytes.drain(..n.min(self.bytes.len()));
    }

    /// Bytes that fit before the buffer must move to a larger class.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The pool this buffer returns to.
    pub(crate) fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// The bytes for a writer that fills spare capacity without growing it (as flate2's `*_vec` calls do). Growing the
    /// vector past its capacity would escape the pool's accounting.
    pub(crate) fn as_vec_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    #[cold]
    fn grow(&mut self, additional: usize) -> Result<(), PoolExhausted> {
        let needed = self.bytes.len().checked_add(additional).ok_or(PoolExhausted)?;
        let mut larger = self.pool.0.take(needed).ok_or(PoolExhausted)?;
        larger.extend_from_slice(&self.bytes);
        let outgrown = mem::replace(&mut self.bytes, larger);
        self.pool.0.put_back(outgrown);
        Ok(())
    }
}

impl Drop for PoolBuffer {
    #[inline]
    fn drop(&mut self) {
        self.pool.0.put_back(mem::take(&mut self.bytes));
    }
}

impl Deref for PoolBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for PoolBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl fmt::Debug for PoolBuffer {
    // Sizes only: contents are user data and do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuffer").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

/// Bytes counted as in use that are not a buffer; dropped, they no longer count.
#[derive(Debug)]
pub(crate) struct PoolCharge {
    bytes: usize,
    pool: BufferPool,
}

impl Drop for PoolCharge {
    fn drop(&mut self) {
        let in_use = &self.pool.0.in_use_bytes;
        in_use.set(in_use.get() - self.bytes);
    }
}

/// The free buffers by class, and the books.
#[derive(Debug)]
struct Shelves {
    config: PoolConfig,
    in_use_bytes: Cell<usize>,
    free_bytes: Cell<usize>,
    taken_total: Cell<u64>,
    allocated_total: Cell<u64>,
    refused_total: Cell<u64>,
    free: RefCell<[Vec<Vec<u8>>; CLASS_COUNT]>,
}

impl Shelves {
    #[inline]
    fn take(&self, capacity: usize) -> Option<Vec<u8>> {
        let Some(class) = class_for_request(capacity) else {
            self.refuse();
            return None;
        };
        self.charge(class_bytes(class))?;
        // Bound to a name: as the scrutinee of a `match`, the borrow would still be held while `allocate` runs.
        let recycled = self.free.borrow_mut()[class].pop();
        let bytes = match recycled {
            Some(bytes) => {
                self.free_bytes.set(self.free_bytes.get() - class_bytes(class));
                bytes
            }
            None => self.allocate(class)?,
        };
        self.taken_total.set(self.taken_total.get() + 1);
        Some(bytes)
    }

    #[inline]
    fn put_back(&self, mut bytes: Vec<u8>) {
        let class = class_of_buffer(bytes.capacity());
        self.in_use_bytes.set(self.in_use_bytes.get() - class_bytes(class));
        let free_bytes = self.free_bytes.get() + class_bytes(class);
        if free_bytes <= self.config.free_bytes_max {
            bytes.clear();
            self.free_bytes.set(free_bytes);
            self.free.borrow_mut()[class].push(bytes);
        }
    }

    #[inline]
    fn charge(&self, bytes: usize) -> Option<()> {
        // Subtracting cannot wrap: in use never passes its bound. Adding could, with a bound near `usize::MAX`.
        if bytes > self.config.in_use_bytes_max - self.in_use_bytes.get() {
            self.refuse();
            return None;
        }
        self.in_use_bytes.set(self.in_use_bytes.get() + bytes);
        Some(())
    }

    #[cold]
    fn allocate(&self, class: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        // A system out of memory is one more bound: the connection that asked pays, not the whole process.
        if bytes.try_reserve_exact(class_bytes(class)).is_err() {
            self.in_use_bytes.set(self.in_use_bytes.get() - class_bytes(class));
            self.refuse();
            return None;
        }
        self.allocated_total.set(self.allocated_total.get() + 1);
        Some(bytes)
    }

    #[cold]
    fn refuse(&self) {
        self.refused_total.set(self.refused_total.get() + 1);
    }
}

/// The smallest class that holds `capacity` bytes; `None` above the largest.
#[inline]
fn class_for_request(capacity: usize) -> Option<usize> {
    let bits = capacity.checked_next_power_of_two()?.ilog2().saturating_sub(SMALLEST_CLASS_BITS);
    let class = bits.div_ceil(CLASS_STEP_BITS) as usize;
    (class < CLASS_COUNT).then_some(class)
}

/// The class a buffer was allocated for. The allocator may have given more than was asked, never less.
#[inline]
fn class_of_buffer(capacity: usize) -> usize {
    ((capacity.ilog2() - SMALLEST_CLASS_BITS) / CLASS_STEP_BITS) as usize
}

#[inline]
const fn class_bytes(class: usize) -> usize {
    1 << (SMALLEST_CLASS_BITS as usize + class * CLASS_STEP_BITS as usize)
}

/// 1 KiB: most messages of a chat fit.
const SMALLEST_CLASS_BITS: u32 = 10;
/// Each class is four times the one before: few lists, and a buffer that grows copies each byte at most 1.34 times.
const CLASS_STEP_BITS: u32 = 2;
/// Up to 1 GiB, far above any sensible message limit.
const CLASS_COUNT: usize = 11;
