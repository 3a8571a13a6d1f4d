//! Plain HTTP on the client port: the demo page, and a helpful answer for everything that is no upgrade.
//!
//! Place in the data path: beside it. A worker that reads a request head without `Upgrade: websocket` deregisters the
//! socket and gives it away through [`HttpDoor::try_handover`]; here, on the tokio side, hyper reads the same bytes
//! again and axum answers. The worker never waits for any of this.

pub(crate) mod api;
pub(crate) mod raw_path;

mod demo;
mod door;
mod router;
mod server;
mod stream;

pub(crate) use door::{Handover, HttpDoor};
pub(crate) use router::Pages;
pub(crate) use server::{HttpDeadlines, HttpServer};
