//! The coordinator of a cluster: lets nodes drain gently, all under one budget of reconnects.
//!
//! Four layers, each of which knows only those before it:
//!
//! | Layer | Module | What it does |
//! |---|---|---|
//! | words | [`model`] | operations, their parameters, states and steps; the health document |
//! | index | [`index`] | what is known of the nodes, built from events |
//! | plan | [`plan`] | what to do next: pure, `now` is an argument |
//! | push | `coordinator`, `agents`, [`kubernetes`] | gathers, lets the leader plan, tells the nodes, writes it down |
//!
//! Gateways are the agents: each can finish a drain alone. What is here makes many drains at a time gentle.

mod agents;
mod app;
mod config;
mod coordinator;
pub mod ctl;
mod dashboard;
mod election;
mod external_metrics;
mod health;
pub mod http;
pub mod index;
pub mod kubernetes;
mod metrics;
pub mod model;
mod outside;
pub mod plan;
mod reaper;
mod spans;
mod store;

pub use self::app::{App, BuildError};
pub use self::config::Config;
pub use self::external_metrics::TlsFileError;
pub use self::outside::OutsideError;
