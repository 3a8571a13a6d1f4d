//! The coordinator of a cluster: lets nodes drain gently, all under one budget of reconnects.
//!
//! Four layers, each of which knows only those before it:
//!
//! | Layer | Module | What it does |
//! |---|---|---|
//! | words | [`model`] | operations, their parameters, states and steps; the health document |
//! | index | [`index`] | what is known of the nodes, built from events |
//! | plan | [`plan`] | what to do next: pure, `now` is an argument |
//!
//! Gateways are the agents: each can finish a drain alone. What is here makes many drains at a time gentle.

mod dashboard;
pub mod http;
pub mod index;
pub mod kubernetes;
pub mod model;
pub mod plan;
