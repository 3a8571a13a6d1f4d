//! What one client has not taken yet: a pooled buffer that exists only while its socket is full.
//!
//! Place in the data path: the last stop before the socket. It begins where a write stopped, often in the middle of a
//! frame, and from then on everything for this client queues here until the socket takes it.

pub(crate) mod shed;

use tidegate_wire::frame;
use tidegate_wire::pool::{BufferPool, PoolBuffer, PoolExhausted};

use shed::{Mark, Marks, ShedCount, frame_len};

/// Bytes waiting for a socket to become writable. Holds no buffer when nothing waits.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    buffer: Option<PoolBuffer>,
    /// How much of the buffer the socket has taken.
    sent: usize,
    /// Where in the buffer a frame is known to begin.
    boundary: usize,
    /// Frames that may be left out, if there are any.
    marks: Option<Box<Marks>>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_none()
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.len() - self.sent)
    }

    /// What is next for the socket.
    pub(crate) fn pending(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer[self.sent..])
    }

    /// Queues whole frames of which the socket has taken the first `taken` bytes.
    ///
    /// # Errors
    ///
    /// [`PoolExhausted`] when the worker's buffers are used up; what waited before still waits.
    pub(crate) fn push(
        &mut self,
        pool: &BufferPool,
        frames: &[u8],
        taken: usize,
    ) -> Result<(), PoolExhausted> {
        match &mut self.buffer {
            Some(buffer) => {
                debug_assert_eq!(taken, 0, "nothing may overtake what waits");
                if self.sent > buffer.len() / 2 {
                    let boundary = next_boundary(buffer, self.boundary, self.sent);
                    buffer.drain_front(self.sent);
                    if let Some(marks) = &mut self.marks {
                        marks.advance(self.sent);
                    }
                    self.boundary = boundary - self.sent;
                    self.sent = 0;
                }
                buffer.try_extend(frames)
            }
            None => {
                let boundary = next_boundary(frames, 0, taken) - taken;
                let rest = &frames[taken..];
                let mut buffer = pool.try_take(rest.len()).ok_or(PoolExhausted)?;
                buffer.try_extend(rest)?;
                *self = Self { buffer: Some(buffer), sent: 0, boundary, marks: None };
                Ok(())
            }
        }
    }

    /// Notes that the frames pushed last may be left out if the client stays slow: one mark a frame. The first `taken` bytes
    /// of them are with the socket, and with them each frame that they touch.
    pub(crate) fn mark(&mut self, frames: &[u8], taken: usize, marks: &[Mark]) {
        let Some(buffer) = &self.buffer else { return };
        let (mut rest, mut marks) = (frames, marks);
        while frames.len() - rest.len() < taken
            && let Some(len) = frame_len(rest)
        {
            rest = &rest[len..];
            marks = marks.get(1..).unwrap_or_default();
        }
        let at = buffer.len().saturating_sub(rest.len());
        if !marks.is_empty() {
            self.marks.get_or_insert_default().note(rest, at, marks);
        }
    }

    /// Leaves out marked frames until no more than `target` bytes wait, if there are enough of them. The result is how
    /// many messages were left out. `gap` writes the frame that tells of a channel's loss.
    ///
    /// # Errors
    ///
    /// [`PoolExhausted`] if there was no room to tell; then the connection has to end.
    pub(crate) fn shed(
        &mut self,
        target: usize,
        gap: impl FnMut(&mut Vec<u8>, Mark),
    ) -> Result<ShedCount, PoolExhausted> {
        let (Some(buffer), Some(marks)) = (&mut self.buffer, &mut self.marks) else {
            return Ok(ShedCount::default());
        };
        if self.sent > 0 {
            let boundary = next_boundary(buffer, self.boundary, self.sent);
            buffer.drain_front(self.sent);
            marks.advance(self.sent);
            self.boundary = boundary - self.sent;
            self.sent = 0;
        }
        let short = marks.shed(buffer, self.boundary, target, gap);
        buffer.clear();
        buffer.try_extend(&short.bytes)?;
        Ok(short.shed)
    }

    /// Notes that the socket took `bytes`; gives the buffer back when that was all.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.buffer.as_ref().is_some_and(|buffer| buffer.len() <= self.sent) {
            *self = Self::default();
        }
    }

    /// Drops every frame that the socket has not begun to take, so that a close frame can follow at once. The result is
    /// how many bytes were dropped.
    pub(crate) fn drop_unsent_frames(&mut self) -> usize {
        let Some(buffer) = &mut self.buffer else { return 0 };
        let waiting = buffer.len();
        buffer.truncate(next_boundary(buffer, self.boundary, self.sent));
        let dropped = waiting - buffer.len();
        self.advance(0);
        dropped
    }
}

/// The first frame boundary at or after `position`, walking from the known boundary `from`.
fn next_boundary(frames: &[u8], from: usize, position: usize) -> usize {
    let mut at = from;
    while at < position {
        let Some(length) =
            frame::encoded_frame_len(&frames[at..]).and_then(|length| usize::try_from(length).ok())
        else {
            break;
        };
        at += length;
    }
    at.max(position).min(frames.len())
}

#[cfg(test)]
mod tests {
    use tidegate_wire::frame::OpCode;
    use tidegate_wire::pool::PoolConfig;

    use super::*;

    fn pool() -> BufferPool {
        BufferPool::new(PoolConfig { in_use_bytes_max: 1 << 20, free_bytes_max: 1 << 20 })
    }

    /// Three frames of 12 bytes each.
    fn three_frames() -> Vec<u8> {
        let mut frames = Vec::new();
        for letter in [b'a', b'b', b'c'] {
            frame::append(&mut frames, OpCode::Text, &[letter; 10]);
        }
        frames
    }

    #[test]
    fn what_the_socket_did_not_take_waits_in_order_and_the_buffer_goes_back() {
        let (pool, frames) = (pool(), three_frames());
        let mut outbox = Outbox::default();
        outbox.push(&pool, &frames, 5).unwrap();
        outbox.push(&pool, b"later", 0).unwrap();
        assert_eq!(outbox.len(), 36);
        assert_eq!(outbox.pending(), [&frames[5..], b"later"].concat());

        outbox.advance(30);
        assert_eq!(outbox.len(), 6);
        outbox.advance(6);
        assert!(outbox.is_empty());
        assert_eq!(pool.stats().in_use_bytes, 0);
    }

    #[test]
    fn dropping_unsent_frames_keeps_the_rest_of_the_frame_in_progress() {
        for taken in 1..36 {
            let (pool, frames) = (pool(), three_frames());
            let mut outbox = Outbox::default();
            outbox.push(&pool, &frames, taken).unwrap();
            outbox.push(&pool, &frames, 0).unwrap();
            let rest_of_frame = taken.next_multiple_of(12) - taken;
            assert_eq!(outbox.drop_unsent_frames(), 72 - taken - rest_of_frame, "taken {taken}");
            assert_eq!(outbox.len(), rest_of_frame, "taken {taken}");
        }
    }

    #[test]
    fn the_boundary_survives_when_sent_bytes_make_room() {
        let (pool, frames) = (pool(), three_frames());
        let mut outbox = Outbox::default();
        outbox.push(&pool, &frames, 1).unwrap();
        outbox.advance(30);
        outbox.push(&pool, &frames, 0).unwrap();
        assert_eq!(outbox.drop_unsent_frames(), 36);
        assert_eq!(outbox.pending(), &frames[31..]);
    }
}
