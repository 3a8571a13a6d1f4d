//! Replicas of the control plane over real gateways, Redis and NATS, with real clients that come back.
//!
//! Who is sent away when is proved by what each client is told and by the operation's counters, never by how long
//! something took.

mod commands;
mod leaders;
mod process;
mod world;
