//! Replays every committed file of `fuzz/corpus/protocol_command` through the body of its fuzz target, on the stable
//! compiler.

use std::fs;
use std::panic;
use std::path::Path;

#[path = "../../../fuzz/bodies/protocol_command.rs"]
mod protocol_command;

#[test]
fn the_corpus_of_commands_replays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/protocol_command");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the target has a folder of corpus files") {
        let path = entry.expect("a folder can be listed").path();
        let input = fs::read(&path).expect("a corpus file can be read");
        let replayed = panic::catch_unwind(|| protocol_command::run(&input));
        assert!(replayed.is_ok(), "{} breaks a promise", path.display());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}
