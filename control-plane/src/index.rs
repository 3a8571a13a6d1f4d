//! What is known of the nodes: one view of each, built from what its report, the directory and Kubernetes say.
//!
//! Place in the path: whoever polls and watches puts what comes in here as [`Seen`]; `plan` reads it. No IO.

mod deployment;
mod fleet;
mod node;
mod peers;
#[cfg(test)]
mod tests;

pub use self::deployment::Deployment;
pub use self::fleet::{Fleet, NODES_MAX, Seen};
pub use self::node::{NodeEntry, NodeView, Pod};
pub use self::peers::{Peers, SlowClient, slow_clients};
