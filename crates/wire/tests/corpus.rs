//! Replays every committed file of `fuzz/corpus/` through the body of its fuzz target, on the stable compiler.

use std::fs;
use std::panic;
use std::path::Path;

#[path = "../../../fuzz/bodies/deflate.rs"]
mod deflate;
#[path = "../../../fuzz/bodies/frame_stream.rs"]
mod frame_stream;
#[path = "../../../fuzz/bodies/frames.rs"]
mod frames;
#[path = "../../../fuzz/bodies/receiver.rs"]
mod receiver;
#[path = "../../../fuzz/bodies/request.rs"]
mod request;

#[test]
fn the_corpus_of_frames_replays() {
    replay("frames", frames::run);
}

#[test]
fn the_corpus_of_frame_streams_replays() {
    replay("frame_stream", frame_stream::run);
}

#[test]
fn the_corpus_of_requests_replays() {
    replay("request", request::run);
}

#[test]
fn the_corpus_of_compressed_messages_replays() {
    replay("deflate", deflate::run);
}

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("each target has a folder of corpus files") {
        let path = entry.expect("a folder can be listed").path();
        let input = fs::read(&path).expect("a corpus file can be read");
        assert!(panic::catch_unwind(|| body(&input)).is_ok(), "{} breaks a promise", path.display());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}
