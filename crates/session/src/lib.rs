//! One client session as a pure state machine.
//!
//! Commands, answers of the outside, live messages and `now` go in; objects for the client and [`Effect`]s come out. No
//! sockets, clock, randomness, threads or logging: the same inputs give the same outputs, in a worker and in a test.
//!
//! ```text
//! objects of a message ─▶ handle_command ─▶ Effect ─▶ the driver's dispatch ─▶ authentication, stores, hub, bus
//!                                                                                     │
//! Cx::out, one text frame ◀─ handle_authenticated, _opened, _subscribed, _replied … ◀─┘
//! ```
//!
//! What a driver does, besides, after every `handle_*`: perform each [`Session::poll_effect`], then hand in each
//! [`Session::poll_held`], until both are empty; send what is in [`Cx::out`] before the hub writes to the same socket; and
//! look at [`Session::deadline`].
//!
//! A publication for a subscription that is [`Delivery::Live`] never comes here: the hub writes it to the socket. Only one
//! that is [`Delivery::Gated`] is handed in, until [`Session::handle_live`] says that it need not be any more.
//!
//! | Module | Rules |
//! |---|---|
//! | [`Session`] | what it is, what it holds, how it ends |
//! | `commands` | which command may come when; quotas |
//! | `connect` | authenticate, open or resume, subscribe, and only then the reply |
//! | `catch_up`, `gate` | a subscription's past and present become one stream |
//! | `timers` | connect timeout, liveness, the token's end |
//! | [`Feed`] | the order of a channel's publications, before they reach sessions |

mod answer;
mod catch_up;
mod commands;
mod connect;
mod effect;
mod feed;
mod gate;
mod policy;
mod session;
mod strikes;
mod subscriptions;
mod timers;

pub use answer::{Identity, Opened, Refreshed, Refusal, Replayed, Subscribed};
pub use effect::{Ask, AskedBy, Effect, ReplyTo};
pub use feed::{Feed, Intake, Past, PastEntry, Repaired};
pub use policy::Policy;
pub use session::{Cx, Fate, Session};
pub use subscriptions::Delivery;

#[cfg(test)]
mod testing;
