//! What a turn published: runs of frames, encoded once, each for all members of one channel.
//!
//! Messages for one channel that were published one after the other are one run, so that a burst costs each member one
//! write. A run has up to one more form for each deflate window in use, compressed when the first member needs it.

use std::ops::Range;

use tidegate_wire::deflate::{Deflate, SharedDeflater};
use tidegate_wire::frame::{self, HEADER_BYTES_MAX, Header, OpCode};

use super::ChannelIndex;
use crate::connection::outbox::shed::Mark;

/// Objects that are ready together share a frame up to this length of it.
const BATCH_BYTES_MAX: usize = 32 << 10;

/// Messages of this turn and whom they are for.
#[derive(Debug, Default)]
pub(crate) struct Published {
    bytes: Vec<u8>,
    runs: Vec<Run>,
    marks: Vec<Mark>,
}

/// Messages that lie side by side and are for one channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) channel: ChannelIndex,
    pub(crate) bytes: Range<usize>,
    /// Messages in it.
    pub(crate) messages: u32,
    /// One mark a frame, where frames may be left out for a slow reader; else none.
    marks: Range<usize>,
    pub(crate) reach: Reach,
    form: Form,
}

/// Whose members a run is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Those of every worker: it was published here.
    Node,
    /// Those of this worker: every other one got its own by mail.
    Worker,
}

/// What the bytes of a run are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// Whole frames.
    Frames,
    /// Objects of the native dialect, joined by newlines: the payload of one text frame.
    Objects,
}

impl Published {
    /// Encodes a message for all members of `channel`.
    pub(crate) fn push(&mut self, channel: ChannelIndex, opcode: OpCode, payload: &[u8]) {
        let start = self.bytes.len();
        frame::append(&mut self.bytes, opcode, payload);
        match self.runs.last_mut() {
            Some(last) if last.channel == channel && last.form == Form::Frames => {
                last.bytes.end = self.bytes.len();
                last.messages += 1;
            }
            _ => self.add_run(channel, start, Reach::Node, Form::Frames),
        }
    }

    /// Adds an object of the native dialect for all members of `channel`; `append` writes it. Objects that come one after
    /// the other share a frame, unless they are marked.
    pub(crate) fn push_object(
        &mut self,
        channel: ChannelIndex,
        reach: Reach,
        mark: Option<Mark>,
        append: impl FnOnce(&mut Vec<u8>),
    ) {
        let joins = mark.is_none()
            && self.runs.last().is_some_and(|run| {
                run.channel == channel
                    && run.reach == reach
                    && run.form == Form::Objects
                    && run.marks.is_empty()
                    && run.bytes.len() < BATCH_BYTES_MAX
            });
        if joins {
            self.bytes.push(b'\n');
        }
        let start = self.bytes.len();
        append(&mut self.bytes);
        match self.runs.last_mut() {
            Some(run) if joins => {
                run.bytes.end = self.bytes.len();
                run.messages += 1;
            }
            _ => self.add_run(channel, start, reach, Form::Objects),
        }
        if let (Some(mark), Some(run)) = (mark, self.runs.last_mut()) {
            self.marks.push(mark);
            run.marks.end = self.marks.len();
        }
    }

    fn add_run(&mut self, channel: ChannelIndex, start: usize, reach: Reach, form: Form) {
        let marks = self.marks.len()..self.marks.len();
        self.runs.push(Run { channel, bytes: start..self.bytes.len(), messages: 1, marks, reach, form });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes of this turn's messages.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// What is to be sent for a run; before [`Published::seal`] not always whole frames.
    pub(crate) fn frames(&self) -> &[u8] {
        &self.bytes
    }

    /// The marks of a run.
    pub(crate) fn marks(&self, run: &Run) -> &[Mark] {
        &self.marks[run.marks.clone()]
    }

    /// Makes one run of whole frames of each channel's runs that have the same reach. Channels that were published to in turns are copied together
    /// once, here, instead of written apart to each member.
    pub(crate) fn seal(&mut self) {
        if let [run] = &self.runs[..]
            && run.form == Form::Frames
        {
            return;
        }
        // Stable: messages of one channel stay in the order in which they came.
        self.runs.sort_by_key(|run| run.channel);
        let mut sealed: Vec<Run> = Vec::with_capacity(self.runs.len());
        for group in self.runs.chunk_by(|a, b| (a.channel, a.reach) == (b.channel, b.reach)) {
            if let [run] = group
                && run.form == Form::Frames
            {
                sealed.push(run.clone());
                continue;
            }
            let (start, first_mark) = (self.bytes.len(), self.marks.len());
            for run in group {
                if run.form == Form::Objects {
                    append_header(&mut self.bytes, run.bytes.len());
                }
                self.bytes.extend_from_within(run.bytes.clone());
                self.marks.extend_from_within(run.marks.clone());
            }
            sealed.push(Run {
                channel: group[0].channel,
                bytes: start..self.bytes.len(),
                messages: group.iter().map(|run| run.messages).sum(),
                marks: first_mark..self.marks.len(),
                reach: group[0].reach,
                form: Form::Frames,
            });
        }
        self.runs = sealed;
    }

    /// Forgets everything, keeping up to `keep_bytes` of memory for the next turn.
    pub(crate) fn clear(&mut self, keep_bytes: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep_bytes);
        self.runs.clear();
        self.marks.clear();
    }
}

/// Begins an unmasked text frame.
fn append_header(out: &mut Vec<u8>, payload_len: usize) {
    let header =
        Header { fin: true, rsv1: false, opcode: OpCode::Text, mask: None, payload_len: payload_len as u64 };
    let mut encoded = [0; HEADER_BYTES_MAX];
    let len = header.encode(&mut encoded);
    out.extend_from_slice(&encoded[..len]);
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
    use crate::connection::outbox::shed::Shed;

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
        let runs: Vec<_> =
            published.runs().iter().map(|run| (run.channel, run.bytes.clone(), run.messages)).collect();
        assert_eq!(runs, [(3, 0..6, 2), (4, 6..9, 1)]);
    }

    #[test]
    fn objects_that_are_ready_together_share_a_frame_until_it_is_long() {
        let mut published = Published::default();
        let long = format!("{{\"{}\":1}}", "x".repeat(BATCH_BYTES_MAX));
        for (channel, object) in [(1, "{1}"), (1, "{2}"), (2, "{x}"), (1, &long), (1, "{3}"), (1, "{4}")] {
            published.push_object(channel, Reach::Node, None, |out| out.extend_from_slice(object.as_bytes()));
        }
        published.seal();
        let runs: Vec<_> = published
            .runs()
            .iter()
            .map(|run| (run.channel, run.messages, published.frames()[run.bytes.clone()].to_vec()))
            .collect();
        let first = [text(b"{1}\n{2}"), text(long.as_bytes()), text(b"{3}\n{4}")].concat();
        assert_eq!(runs, [(1, 5, first), (2, 1, text(b"{x}"))]);
    }

    #[test]
    fn marked_objects_have_a_frame_and_a_mark_each() {
        let mut published = Published::default();
        let mark = |offset| Mark { channel: 1, policy: Shed::Oldest, offset, key: 0 };
        for offset in [1, 2] {
            published.push_object(1, Reach::Node, Some(mark(offset)), |out| out.extend_from_slice(b"{}"));
            published.push_object(2, Reach::Node, None, |out| out.extend_from_slice(b"{}"));
        }
        published.seal();
        let [first, second] = published.runs() else { panic!("two channels") };
        assert_eq!(published.frames()[first.bytes.clone()], [text(b"{}"), text(b"{}")].concat());
        assert_eq!(published.marks(first), [mark(1), mark(2)]);
        assert_eq!(published.marks(second), []);
    }

    #[test]
    fn what_came_by_mail_is_told_from_what_was_published_here_and_stays_in_its_place() {
        let mut published = Published::default();
        for (reach, object) in [(Reach::Node, b"{1}"), (Reach::Worker, b"{2}"), (Reach::Node, b"{3}")] {
            published.push_object(1, reach, None, |out| out.extend_from_slice(object));
        }
        published.seal();
        let runs: Vec<_> = published
            .runs()
            .iter()
            .map(|run| (run.reach, published.frames()[run.bytes.clone()].to_vec()))
            .collect();
        let expected = [(Reach::Node, "{1}"), (Reach::Worker, "{2}"), (Reach::Node, "{3}")];
        assert_eq!(runs, expected.map(|(reach, object)| (reach, text(object.as_bytes()))));
    }

    #[test]
    fn channels_published_to_in_turns_become_one_run_each_in_order() {
        let mut published = Published::default();
        for (channel, payload) in [(2, b"a"), (1, b"x"), (2, b"b"), (1, b"y")] {
            published.push(channel, OpCode::Text, payload);
        }
        published.seal();
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
