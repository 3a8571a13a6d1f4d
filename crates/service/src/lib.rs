//! What makes a process a good citizen of a cluster, and knows nothing of what the process is for.
//!
//! In the order a program meets them: [`config`] says what it shall do, [`log`] tells what it does, [`process`]
//! what the machine grants, [`metrics`] counts, [`trace`] says what led to what and [`telemetry`] sends that away,
//! [`lifecycle`] is the latch from start to stop, and [`admin`] shows all of it to people and probes.
//! [`http`] is for programs that have an API of their own.

pub mod admin;
pub mod config;
pub mod http;
pub mod lifecycle;
pub mod log;
pub mod metrics;
pub mod process;
pub mod telemetry;
pub mod trace;
