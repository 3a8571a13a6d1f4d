//! One stream of frames, decoded as a server and as a client: see `bodies/frames.rs`.

#![no_main]

#[path = "../bodies/frames.rs"]
mod body;
#[path = "../bodies/receiver.rs"]
mod receiver;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
