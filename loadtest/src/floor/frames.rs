//! Whole frames turned into their answers where they lie: the header loses its mask key, the payload its mask.
//!
//! One frame needs no copy: its answer begins four bytes later. Further frames of the same read move up to the one before them, so
//! that all answers lie in one piece for one send. Unmasking is `tidegate-wire`'s routine, the fastest there is here.

use std::ops::Range;

use tidegate_wire::mask;

/// What was found in the bytes of one read.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Cut {
    /// Where the answers lie now.
    pub(super) answers: Range<usize>,
    /// Length of the whole frames; the rest is the beginning of another.
    pub(super) consumed: usize,
    /// The last of these frames was a close frame; nothing after it was looked at.
    pub(super) is_close: bool,
}

const MASK_BYTES: usize = 4;
const OPCODE_CLOSE: u8 = 8;

/// Cuts masked frames and answers each with itself.
pub(super) fn answer_in_place(bytes: &mut [u8]) -> Cut {
    let mut cut = Cut { answers: MASK_BYTES..MASK_BYTES, consumed: 0, is_close: false };
    while let Some((header_len, frame_len)) = measure(&bytes[cut.consumed..]) {
        let start = cut.consumed;
        let payload = start + header_len..start + frame_len;
        let Some(key) = bytes[payload.start - MASK_BYTES..].first_chunk::<MASK_BYTES>().copied() else {
            break;
        };
        mask::apply(key, 0, &mut bytes[payload.clone()]);
        let is_close = bytes[start] & 0x0f == OPCODE_CLOSE;
        let answer_at = cut.answers.end;
        match header_len - MASK_BYTES {
            2 => move_header::<2>(bytes, start, answer_at),
            4 => move_header::<4>(bytes, start, answer_at),
            _ => move_header::<10>(bytes, start, answer_at),
        }
        let payload_at = answer_at + header_len - MASK_BYTES;
        cut.answers.end = payload_at + payload.len();
        cut.consumed = payload.end;
        if payload_at != payload.start {
            bytes.copy_within(payload, payload_at);
        }
        if is_close {
            cut.is_close = true;
            break;
        }
    }
    if cut.consumed == 0 {
        cut.answers = 0..0;
    }
    cut
}

/// A fixed length makes this one load and one store. The payload lies behind both places.
fn move_header<const LEN: usize>(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(mut header) = bytes[from..].first_chunk::<LEN>().copied() {
        header[1] &= 0x7f;
        bytes[to..to + LEN].copy_from_slice(&header);
    }
}

/// Length of the header with its key and of the whole frame, if all of it is there.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let short = usize::from(bytes.get(1)? & 0x7f);
    let (header_len, payload_len): (usize, usize) = match short {
        126 => (8, usize::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?))),
        127 => (14, usize::try_from(u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?)).ok()?),
        len => (6, len),
    };
    let frame_len = header_len.checked_add(payload_len)?;
    (frame_len <= bytes.len()).then_some((header_len, frame_len))
}

#[cfg(test)]
mod tests {
    use tidegate_wire::frame::{self, OpCode};

    use super::*;

    #[test]
    fn every_length_comes_back_as_the_server_would_send_it() {
        for len in [0, 1, 125, 126, 1_000, 65_535, 65_536, 100_000] {
            let payload = pattern(len);
            let mut bytes = Vec::new();
            frame::append_masked(&mut bytes, OpCode::Binary, [1, 2, 3, 4], &payload);
            let mut expected = Vec::new();
            frame::append(&mut expected, OpCode::Binary, &payload);

            let total = bytes.len();
            let cut = answer_in_place(&mut bytes);

            assert_eq!(cut.consumed, total);
            assert_eq!(bytes[cut.answers], expected[..], "{len} bytes");
        }
    }

    #[test]
    fn frames_of_one_read_are_answered_in_one_piece_and_the_rest_is_kept() {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for len in [125, 0, 300, 7] {
            frame::append_masked(&mut bytes, OpCode::Text, [9, 8, 7, 6], &pattern(len));
            frame::append(&mut expected, OpCode::Text, &pattern(len));
        }
        let whole = bytes.len();
        let mut next = Vec::new();
        frame::append_masked(&mut next, OpCode::Text, [5; 4], &pattern(50));

        for cut_at in 0..next.len() {
            let mut read = bytes.clone();
            read.extend_from_slice(&next[..cut_at]);
            let cut = answer_in_place(&mut read);
            assert_eq!(cut.consumed, whole);
            assert_eq!(read[cut.answers.clone()], expected[..]);
            assert_eq!(read[cut.consumed..], next[..cut_at], "the partial frame is untouched");
        }
    }

    #[test]
    fn nothing_is_answered_while_the_first_frame_is_incomplete() {
        let mut bytes = Vec::new();
        frame::append_masked(&mut bytes, OpCode::Binary, [1; 4], &pattern(300));
        for len in 0..bytes.len() {
            let cut = answer_in_place(&mut bytes.clone()[..len]);
            assert_eq!(cut, Cut { answers: 0..0, consumed: 0, is_close: false });
        }
    }

    #[test]
    fn a_close_frame_is_answered_and_ends_it() {
        let mut bytes = Vec::new();
        frame::append_masked(&mut bytes, OpCode::Close, [1, 0, 2, 0], &[3, 232]);
        let frame_len = bytes.len();
        bytes.extend_from_slice(&[0x82, 0x80, 0, 0, 0, 0]);
        let cut = answer_in_place(&mut bytes);
        assert_eq!((cut.consumed, cut.is_close), (frame_len, true));
        assert_eq!(bytes[cut.answers], [0x88, 2, 3, 232]);
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index * 7) as u8).collect()
    }
}
