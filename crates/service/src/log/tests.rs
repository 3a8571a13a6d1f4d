//! Logging through the real subscriber into sinks that work, stall or fail.

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// A handle on a log that nobody reads, for tests of what uses one.
pub(crate) fn silent_handle() -> LogHandle {
    let (subscriber, handle, _writer) = build(Format::Json, "info", false, io::sink()).unwrap();
    // A handle works as long as its subscriber lives.
    std::mem::forget(subscriber);
    handle
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Says that a write has begun, then waits to be let go.
struct Stalled {
    began: Sender<()>,
    go: Receiver<()>,
    written: Shared,
}

impl Write for Stalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.began.send(());
        let _ = self.go.recv();
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_json_line_holds_the_message_and_the_fields_side_by_side() {
    let sink = Shared::default();
    let (subscriber, _handle, writer) = build(Format::Json, "info", false, sink.clone()).unwrap();

    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(client = %"127.0.0.1:8000", "listening");
    });
    drop(writer);

    let line: serde_json::Value = serde_json::from_str(&sink.text()).unwrap();
    assert_eq!(line["message"], "listening");
    assert_eq!(line["client"], "127.0.0.1:8000");
    assert_eq!(line["level"], "INFO");
    assert!(line["timestamp"].is_string());
}

#[test]
fn text_carries_no_colours_unless_a_terminal_reads_it() {
    let sink = Shared::default();
    let (subscriber, _handle, writer) = build(Format::Text, "info", false, sink.clone()).unwrap();

    tracing::subscriber::with_default(subscriber, || tracing::warn!(port = 8000, "taken"));
    drop(writer);

    assert!(sink.text().contains("WARN"), "{}", sink.text());
    assert!(sink.text().contains("taken port=8000"), "{}", sink.text());
    assert!(!sink.text().contains('\x1b'));
}

#[test]
fn the_level_changes_while_running_and_a_wrong_one_changes_nothing() {
    let sink = Shared::default();
    let (subscriber, handle, writer) = build(Format::Text, "info", false, sink.clone()).unwrap();

    tracing::subscriber::with_default(subscriber, || {
        tracing::debug!("before");
        handle.set_level("debug").unwrap();
        tracing::debug!("after");
        assert!(handle.set_level("debgu").is_err());
        assert_eq!(handle.level(), "debug");
        tracing::debug!("still");
    });
    drop(writer);

    assert!(!sink.text().contains("before"));
    assert!(sink.text().contains("after"));
    assert!(sink.text().contains("still"));
}

#[test]
fn a_reader_that_stalls_costs_lines_and_no_time() {
    let (began_sender, began) = channel();
    let (go_sender, go) = channel();
    let written = Shared::default();
    let (writer, lines) =
        LogWriter::start(Stalled { began: began_sender, go, written: written.clone() }).unwrap();
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();

    lines.line().write_all(&line).unwrap();
    began.recv().unwrap();
    for _ in 0..2048 {
        lines.line().write_all(&line).unwrap();
    }
    assert_eq!(lines.dropped(), 0, "as many lines may wait as the buffer has bytes");
    lines.line().write_all(&line).unwrap();
    assert_eq!(lines.dropped(), 1);

    drop(go_sender);
    drop(writer);
    assert_eq!(written.text().len(), 2049 * 1024, "what was taken is written at the end");
}

#[test]
fn a_reader_that_is_gone_is_counted_and_harms_nobody() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (writer, lines) = LogWriter::start(Gone).unwrap();

    lines.line().write_all(b"one\n").unwrap();
    drop(writer);
    lines.line().write_all(b"two\n").unwrap();

    assert_eq!(lines.dropped(), 2);
}
