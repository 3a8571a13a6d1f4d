//! Compressed messages in pieces, and extension negotiation: see `bodies/deflate.rs`.

#![no_main]

#[path = "../bodies/deflate.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
