//! Messages of clients, servers and nodes: see `bodies/protocol_command.rs`.

#![no_main]

#[path = "../bodies/protocol_command.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
