//! Placeholder.

pub mod client;
pub mod deflate;
pub mod handshake;
pub mod pool;
pub mod request;
