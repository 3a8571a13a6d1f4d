//! What the nodes of a cluster share, behind traits, and an implementation of each in the memory of one process.
//!
//! Place in the data path: the gateway's `dispatch` performs a session's effects on these; no other part of a node sees
//! them. A call returns an [`Answer`], a boxed future that borrows nothing: a worker polls it once in place, and gives
//! one that is not ready to a runtime. The answers of [`memory`] are ready at that first poll.
//!
//! | Trait | Holds | Lost with the process in [`memory`] |
//! |---|---|---|
//! | [`Bus`] | nothing: carries messages between nodes | what was under way |
//! | [`SessionStore`] | what a client needs to come back, under a fencing number | every session |
//! | [`History`] | the last publications of a channel, and their offsets | every position: the next epoch differs |
//! | [`Idempotency`] | keys of publications that are not kept | the window |
//! | [`Presence`] | who is in a channel, under a lease of their node | every member |
//! | [`Directory`] | the nodes, and which of them has a session | every route |
//! | [`StickyRoutes`] | which backend a key went to last | every route |
//! | [`Budget`] | what all nodes may do in a second, and have | every bucket is full again |
//! | [`Documents`] | small texts that several programs change | every text |
//! | [`Leadership`] | which program leads, and under which number | the number begins again |
//!
//! Each call of a store is one step: whatever it checks and writes, no other call comes in between. An implementation
//! over a network does it in one script on the server. What they all promise is written as tests in `contract` (a
//! feature of that name).

pub mod answer;
pub mod budget;
pub mod bus;
pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
pub mod directory;
pub mod documents;
pub mod fence;
pub mod history;
pub mod idempotency;
pub mod leadership;
pub mod memory;
pub mod nats;
pub mod presence;
pub mod redis;
pub mod sessions;
pub mod state;
pub mod sticky;

pub use answer::{Answer, Unavailable};
pub use budget::Budget;
pub use bus::Bus;
pub use clock::Clock;
pub use directory::Directory;
pub use documents::Documents;
pub use fence::Fence;
pub use history::History;
pub use idempotency::Idempotency;
pub use leadership::Leadership;
pub use presence::Presence;
pub use sessions::SessionStore;
pub use state::State;
pub use sticky::StickyRoutes;
