//! The log's own thread, and the bounded buffer in front of it.
//!
//! A worker copies its line into the buffer and goes on; the thread swaps the buffer for an empty one and writes it.
//! When the reader of the log is too slow the buffer fills, and further lines are counted and dropped: losing lines
//! is better than stopping the loop that serves everyone.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of lines that may wait for the reader; about 10,000 lines.
const WAITING_BYTES_MAX: usize = 2 << 20;

/// How long the end of the process may wait for the reader.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Lines on their way to the log's thread.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    queue: Mutex<Queue>,
    /// Signalled when lines arrive, when they have been written, and when the writer ends.
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<u8>,
    is_closing: bool,
    is_finished: bool,
}

impl Lines {
    /// Takes one line.
    pub(super) fn line(self: &Arc<Self>) -> LineWriter {
        LineWriter(Arc::clone(self))
    }

    /// Lines lost so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        if queue.is_finished || queue.waiting.len() + line.len() > WAITING_BYTES_MAX {
            drop(queue);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.waiting.extend_from_slice(line);
        drop(queue);
        self.changed.notify_all();
    }

    /// The state stays whole whatever panicked while holding it: only whole lines are ever appended.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, sink: &mut impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut queue = self.lock();
            while queue.waiting.is_empty() && !queue.is_closing {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.waiting.is_empty() {
                break;
            }
            mem::swap(&mut batch, &mut queue.waiting);
            drop(queue);
            if sink.write_all(&batch).and_then(|()| sink.flush()).is_err() {
                self.dropped.fetch_add(line_count(&batch), Ordering::Relaxed);
            }
            batch.clear();
        }
        self.lock().is_finished = true;
        self.changed.notify_all();
    }
}

fn line_count(batch: &[u8]) -> u64 {
    batch.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Ends the log when dropped, after what still waits has been written or a second has passed.
#[derive(Debug)]
#[must_use = "the log ends when this is dropped"]
pub struct LogWriter {
    lines: Arc<Lines>,
}

impl LogWriter {
    pub(super) fn start(mut sink: impl Write + Send + 'static) -> io::Result<(Self, Arc<Lines>)> {
        let lines = Arc::new(Lines::default());
        let own = Arc::clone(&lines);
        // Not joined: a reader that never reads would hold the process for ever.
        thread::Builder::new().name("log".to_owned()).spawn(move || own.run(&mut sink))?;
        Ok((Self { lines: Arc::clone(&lines) }, lines))
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let mut queue = self.lines.lock();
        queue.is_closing = true;
        self.lines.changed.notify_all();
        while !queue.is_finished {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (queue, _) = self.lines.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Takes the bytes of one event, which the formatter hands over in one piece.
#[derive(Debug)]
pub(crate) struct LineWriter(Arc<Lines>);

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
