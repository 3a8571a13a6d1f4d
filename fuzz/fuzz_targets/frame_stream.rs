//! Frames cut into reads, with and without compression: see `bodies/frame_stream.rs`.

#![no_main]

#[path = "../bodies/frame_stream.rs"]
mod body;
#[path = "../bodies/receiver.rs"]
mod receiver;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
