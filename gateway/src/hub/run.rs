//! What a turn published: runs of frames, encoded once, each for all members of one channel.
//!
//! Messages for one channel that were published one after the other are one run, so that a burst costs each member one
//! write. A run has up to one more form for each deflate window in use, compressed when the first member needs it.

use std::ops::Range;

use tidegate_wire::deflate::{Deflate, SharedDeflater};
use tidegate_wire::frame::{self, Header, OpCode};

use super::ChannelIndex;

/// Frames of this turn and whom they are for.
#[derive(Debug, Default)]
pub(crate) struct Published {
    frames: Vec<u8>,
    runs: Vec<Run>,
}

/// Frames that lie side by side and are for one channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) channel: ChannelIndex,
    pub(crate) bytes: Range<usize>,
    /// Messages in it.
    pub(crate) messages: u32,
}

impl Published {
    /// Encodes a message for all members of `channel`.
    pub(crate) fn push(&mut self, channel: ChannelIndex, opcode: OpCode, payload: &[u8]) {
        let start = self.frames.len();
        frame::append(&mut self.frames, opcode, payload);
        self.extend_runs(channel, start);
    }

    fn extend_runs(&mut self, channel: ChannelIndex, start: usize) {
        let end = self.frames.len();
        match self.runs.last_mut() {
            Some(last) if last.channel == channel => {
                last.bytes.end = end;
                last.messages += 1;
            }
            _ => self.runs.push(Run { channel, bytes: start..end, messages: 1 }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes of this turn's frames.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Makes one run of each channel's runs. Channels that were published to in turns are copied together once, here,
    /// instead of written apart to each member.
    pub(crate) fn join_runs(&mut self) {
        if self.runs.len() < 2 {
            return;
        }
        // Stable: messages of one channel stay in the order in which they came.
        self.runs.sort_by_key(|run| run.channel);
        let mut joined: Vec<Run> = Vec::with_capacity(self.runs.len());
        for group in self.runs.chunk_by(|a, b| a.channel == b.channel) {
            let [run] = group else {
                let start = self.frames.len();
                for run in group {
                    self.frames.extend_from_within(run.bytes.clone());
                }
                let messages = group.iter().map(|run| run.messages).sum();
                joined.push(Run { channel: group[0].channel, bytes: start..self.frames.len(), messages });
                continue;
            };
            joined.push(run.clone());
        }
        self.runs = joined;
    }

    /// Forgets everything, keeping up to `keep_bytes` of memory for the next turn.
    pub(crate) fn clear(&mut self, keep_bytes: usize) {
        self.frames.clear();
        self.frames.shrink_to(keep_bytes);
        self.runs.clear();
    }
}

/// A run as receivers with permessage-deflate get it, one form a window size.
#[derive(Debug, Default)]
pub(crate) struct CompressedForms {
    forms: Vec<(u8, Vec<u8>)>,
}

impl CompressedForms {
    /// The run for receivers whose window has `bits`; compressed at the first call.
    pub(crate) fn form(
        &mut self,
        run: &[u8],
        bits: u8,
        threshold: usize,
        deflater: &mut SharedDeflater,
    ) -> &[u8] {
        let index = match self.forms.iter().position(|(form, _)| *form == bits) {
            Some(index) => index,
            None => {
                let mut out = Vec::with_capacity(run.len());
                for_each_frame(run, |opcode, payload| {
                    append_if_smaller(&mut out, opcode, payload, bits, threshold, deflater)
                });
                self.forms.push((bits, out));
                self.forms.len() - 1
            }
        };
        &self.forms[index].1
    }

    /// Forgets the forms of the last run.
    pub(crate) fn clear(&mut self) {
        self.forms.clear();
    }
}

fn append_if_smaller(
    out: &mut Vec<u8>,
    opcode: OpCode,
    payload: &[u8],
    bits: u8,
    threshold: usize,
    deflater: &mut SharedDeflater,
) {
    if payload.len() >= threshold {
        let deflated = deflater.compress(payload, bits);
        if deflated.len() < payload.len() {
            frame::append_compressed(out, opcode, deflated);
            return;
        }
    }
    frame::append(out, opcode, payload);
}

/// Appends the run for one receiver that keeps its own compression window.
pub(crate) fn append_with_window(
    run: &[u8],
    window: &mut Deflate,
    shared: &mut SharedDeflater,
    out: &mut Vec<u8>,
) {
    for_each_frame(run, |opcode, payload| match window.compress(shared, payload) {
        Some(deflated) => frame::append_compressed(out, opcode, deflated),
        None => frame::append(out, opcode, payload),
    });
}

/// Walks frames that this module encoded.
fn for_each_frame(run: &[u8], mut each: impl FnMut(OpCode, &[u8])) {
    let mut rest = run;
    while let Some(length) = frame::encoded_frame_len(rest).and_then(|length| usize::try_from(length).ok()) {
        let (frame, after) = rest.split_at(length);
        let opcode = if frame[0] & 0x0f == OpCode::Text as u8 { OpCode::Text } else { OpCode::Binary };
        each(opcode, &frame[header_len(frame.len())..]);
        rest = after;
    }
}

/// Length of the header of an unmasked frame of `frame_len` bytes in all (RFC 6455 5.2).
fn header_len(frame_len: usize) -> usize {
    [2, 4, 10]
        .into_iter()
        .find(|&header_len| {
            let payload_len = (frame_len - header_len) as u64;
            let header = Header { fin: true, rsv1: false, opcode: OpCode::Text, mask: None, payload_len };
            header.encoded_len() == header_len
        })
        .expect("frames here were encoded by `frame::append`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame::append(&mut frame, OpCode::Text, payload);
        frame
    }

    #[test]
    fn messages_for_one_channel_in_a_row_are_one_run() {
        let mut published = Published::default();
        published.push(3, OpCode::Text, b"a");
        published.push(3, OpCode::Text, b"b");
        published.push(4, OpCode::Text, b"c");
        assert_eq!(
            published.runs(),
            [Run { channel: 3, bytes: 0..6, messages: 2 }, Run { channel: 4, bytes: 6..9, messages: 1 },]
        );
    }

    #[test]
    fn channels_published_to_in_turns_become_one_run_each_in_order() {
        let mut published = Published::default();
        for (channel, payload) in [(2, b"a"), (1, b"x"), (2, b"b"), (1, b"y")] {
            published.push(channel, OpCode::Text, payload);
        }
        published.join_runs();
        let runs: Vec<_> = published
            .runs()
            .iter()
            .map(|run| (run.channel, published.frames()[run.bytes.clone()].to_vec()))
            .collect();
        assert_eq!(runs, [(1, [text(b"x"), text(b"y")].concat()), (2, [text(b"a"), text(b"b")].concat())]);
    }

    #[test]
    fn walking_a_run_gives_back_what_was_encoded_at_every_header_length() {
        let payloads = [0, 1, 125, 126, 65_535, 65_536].map(|len| vec![b'x'; len]);
        let run: Vec<u8> = payloads.iter().flat_map(|payload| text(payload)).collect();
        let mut seen = Vec::new();
        for_each_frame(&run, |opcode, payload| seen.push((opcode, payload.to_vec())));
        assert_eq!(seen, payloads.map(|payload| (OpCode::Text, payload)));
    }

    #[test]
    fn the_compressed_form_leaves_small_messages_as_they_are() {
        let run = [text(b"small"), text(&[b'x'; 500])].concat();
        let mut forms = CompressedForms::default();
        let form = forms.form(&run, 15, 100, &mut SharedDeflater::new(1)).to_vec();
        assert_eq!(&form[..7], text(b"small"));
        assert_eq!(form[7], 0b1100_0001, "FIN, RSV1, text");
        assert!(form.len() < 100);
    }
}
