//! Placeholder.

pub mod client;
pub mod handshake;
pub mod request;
