//! RFC 6455 (WebSocket) and RFC 7692 (permessage-deflate) over byte slices.
//!
//! Bytes in, events out; messages in, bytes out. No sockets, clock, randomness, threads or logging: a key, a limit or a
//! buffer that is needed is an argument, so every line runs the same in a test, a fuzzer and a worker.
//!
//! In the order in which a connection meets them:
//!
//! | Module | Job |
//! |---|---|
//! | [`request`] | the upgrade request, parsed where it lies in the read buffer |
//! | [`handshake`] | the answer to it: accept key, `101`, refusals |
//! | [`client`] | the other side of both: request writer, response parser |
//! | [`decode`] | received bytes into messages and control frames, by way of [`mask`], [`utf8`] and [`deflate`] |
//! | [`frame`] | messages into frames |
//! | [`close`] | close codes and close frames |
//! | [`deflate`] | permessage-deflate: what is agreed, inflating, compressing |
//! | [`pool`] | the bounded memory for what arrives in parts |

pub mod client;
pub mod close;
pub mod decode;
pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod mask;
pub mod pool;
pub mod request;
pub mod utf8;
