//! Which messages of a full outbox a slow reader is not sent: the policies `drop_oldest` and `conflate`.
//!
//! Place in the data path: only where a socket does not keep up. Messages of channels with such a policy are noted when
//! they are queued; when the outbox has grown too long, some are taken out again, whole, and the client is told where.

use std::collections::{HashSet, VecDeque};

use tidegate_wire::frame;

/// One frame that may be taken out of an outbox as long as its socket has not begun to take it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark {
    /// Whose message it is.
    pub(crate) channel: u32,
    pub(crate) policy: Shed,
    /// Offset in the channel's history; 0: it has none.
    pub(crate) offset: u64,
    /// What a later message must have in common with it to replace it; 0: nothing replaces it.
    pub(crate) key: u64,
}

/// What may be left out for a slow reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shed {
    /// The oldest messages.
    Oldest,
    /// Messages that a later one replaces.
    Replaced,
}

/// The sheddable frames of one outbox, oldest first.
#[derive(Debug, Default)]
pub(super) struct Marks {
    frames: VecDeque<Marked>,
}

#[derive(Clone, Copy, Debug)]
struct Marked {
    /// Where in the outbox the frame begins.
    at: usize,
    len: usize,
    mark: Mark,
}

/// How many messages were left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ShedCount {
    /// By [`Shed::Oldest`].
    pub(crate) dropped: u64,
    /// By [`Shed::Replaced`].
    pub(crate) replaced: u64,
}

/// What is left of an outbox.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Shortened {
    pub(super) bytes: Vec<u8>,
    pub(super) shed: ShedCount,
}

impl Marks {
    /// Notes the frames that lie in `queued`, which begins `at` bytes into the outbox.
    pub(super) fn note(&mut self, queued: &[u8], mut at: usize, marks: &[Mark]) {
        let mut rest = queued;
        for &mark in marks {
            let Some(len) = frame_len(rest) else { return };
            self.frames.push_back(Marked { at, len, mark });
            at += len;
            rest = &rest[len..];
        }
    }

    /// The outbox has moved forward by `bytes`; what the socket has begun to take can no longer be left out.
    pub(super) fn advance(&mut self, bytes: usize) {
        while self.frames.front().is_some_and(|frame| frame.at < bytes) {
            self.frames.pop_front();
        }
        for frame in &mut self.frames {
            frame.at -= bytes;
        }
    }

    /// Takes frames out of `outbox`, of which the first `begun` bytes have to stay: replaced ones first, then the oldest
    /// until no more than `target` bytes are left. `gap` writes the frame that tells the client that the messages of a
    /// channel up to an offset, and with it, are lost; offset 0: only what has no place in the channel's history.
    pub(super) fn shed(
        &mut self,
        outbox: &[u8],
        begun: usize,
        target: usize,
        mut gap: impl FnMut(&mut Vec<u8>, Mark),
    ) -> Shortened {
        let victims = self.choose(begun, outbox.len(), target);
        let mut kept = Self::default();
        let mut short = Shortened { bytes: Vec::with_capacity(target), shed: ShedCount::default() };
        let mut copied = 0;
        let mut lost: Vec<Mark> = Vec::new();
        for (&Marked { at, len, mark }, is_victim) in self.frames.iter().zip(victims) {
            short.bytes.extend_from_slice(&outbox[copied..at]);
            copied = at + len;
            if is_victim {
                match mark.policy {
                    Shed::Oldest => {
                        short.shed.dropped += 1;
                        note_loss(&mut lost, mark);
                    }
                    Shed::Replaced => short.shed.replaced += 1,
                }
                continue;
            }
            lost.drain(..).for_each(|lost| gap(&mut short.bytes, lost));
            kept.frames.push_back(Marked { at: short.bytes.len(), len, mark });
            short.bytes.extend_from_slice(&outbox[at..copied]);
        }
        lost.into_iter().for_each(|lost| gap(&mut short.bytes, lost));
        short.bytes.extend_from_slice(&outbox[copied..]);
        *self = kept;
        short
    }

    fn choose(&self, begun: usize, outbox_len: usize, target: usize) -> Vec<bool> {
        let mut excess = outbox_len.saturating_sub(target);
        let mut seen = HashSet::new();
        let mut victims = vec![false; self.frames.len()];
        for (is_victim, Marked { at, len, mark }) in victims.iter_mut().zip(&self.frames).rev() {
            let is_replaced =
                mark.policy == Shed::Replaced && mark.key != 0 && !seen.insert((mark.channel, mark.key));
            if is_replaced && *at >= begun {
                *is_victim = true;
                excess = excess.saturating_sub(*len);
            }
        }
        for (is_victim, Marked { at, len, mark }) in victims.iter_mut().zip(&self.frames) {
            if excess == 0 {
                break;
            }
            if mark.policy == Shed::Oldest && *at >= begun {
                *is_victim = true;
                excess = excess.saturating_sub(*len);
            }
        }
        victims
    }
}

/// One loss a channel. A join or leave, which has no offset, takes nothing back from one that has.
fn note_loss(lost: &mut Vec<Mark>, mark: Mark) {
    match lost.iter_mut().find(|lost| lost.channel == mark.channel) {
        Some(lost) => lost.offset = lost.offset.max(mark.offset),
        None => lost.push(mark),
    }
}

/// Length of the frame at the front, if it is whole.
pub(super) fn frame_len(frames: &[u8]) -> Option<usize> {
    let len = usize::try_from(frame::encoded_frame_len(frames)?).ok()?;
    (len <= frames.len()).then_some(len)
}

#[cfg(test)]
mod tests {
    use tidegate_wire::frame::OpCode;

    use super::*;

    fn text(payload: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        frame::append(&mut frame, OpCode::Text, payload.as_bytes());
        frame
    }

    fn messages(numbers: std::ops::RangeInclusive<u32>) -> Vec<Vec<u8>> {
        numbers.map(|number| text(&format!("message {number}"))).collect()
    }

    fn mark(policy: Shed, offset: u64, key: u64) -> Mark {
        Mark { channel: 1, policy, offset, key }
    }

    fn shed(marks: &mut Marks, outbox: &[u8], begun: usize, target: usize) -> Shortened {
        marks.shed(outbox, begun, target, |out, lost| {
            out.extend_from_slice(&text(&format!("gap {} {}", lost.channel, lost.offset)));
        })
    }

    #[test]
    fn the_oldest_go_and_the_client_is_told_before_the_first_that_stays() {
        let frames = messages(1..=4);
        let other = text("another channel's");
        let outbox = [&frames[0][..], &frames[1], &other, &frames[2], &frames[3]].concat();
        let mut marks = Marks::default();
        let oldest = |offset| mark(Shed::Oldest, offset, 0);
        marks.note(&outbox, 0, &[oldest(1), oldest(2)]);
        let later = frames[0].len() + frames[1].len() + other.len();
        marks.note(&outbox[later..], later, &[oldest(3), oldest(4)]);

        // The socket has begun to take the first.
        let short = shed(&mut marks, &outbox, 3, other.len() + 2 * frames[0].len());
        assert_eq!(short.shed, ShedCount { dropped: 2, replaced: 0 });
        assert_eq!(short.bytes, [&frames[0][..], &other, &text("gap 1 3"), &frames[3]].concat());
        let again = shed(&mut marks, &short.bytes, 3, 0);
        assert_eq!(again.bytes, [&frames[0][..], &other, &text("gap 1 3"), &text("gap 1 4")].concat());
    }

    #[test]
    fn a_later_message_with_the_same_key_replaces_earlier_ones() {
        let frames = messages(1..=4);
        let outbox = frames.concat();
        let mut marks = Marks::default();
        marks.note(&outbox, 0, &[7, 8, 7, 0].map(|key| mark(Shed::Replaced, 0, key)));
        let short = shed(&mut marks, &outbox, 0, outbox.len());
        assert_eq!(short.bytes, [&frames[1][..], &frames[2], &frames[3]].concat());
        assert_eq!(short.shed, ShedCount { dropped: 0, replaced: 1 });
        assert_eq!(shed(&mut marks, &short.bytes, 0, 0).bytes, short.bytes, "nothing else may go");
    }

    #[test]
    fn a_loss_is_told_up_to_the_last_offset_whatever_without_one_was_lost_behind_it() {
        let frames = messages(1..=3);
        let outbox = frames.concat();
        let mut marks = Marks::default();
        marks.note(&outbox, 0, &[5, 6, 0].map(|offset| mark(Shed::Oldest, offset, 0)));
        assert_eq!(shed(&mut marks, &outbox, 0, 0).bytes, text("gap 1 6"));
    }

    #[test]
    fn what_the_socket_took_moves_the_rest_forward() {
        let frames = messages(1..=3);
        let outbox = frames.concat();
        let mut marks = Marks::default();
        marks.note(&outbox, 0, &[1, 2, 3].map(|offset| mark(Shed::Oldest, offset, 0)));
        let taken = frames[0].len() + 1;
        marks.advance(taken);
        let short = shed(&mut marks, &outbox[taken..], 0, 0);
        assert_eq!(short.bytes, [&frames[1][1..], &text("gap 1 3")].concat());
    }
}
