//! The command line of `burst`.

use std::time::Duration;

use clap::Args;

use super::units::{parse_bytes, parse_duration};
use super::{CommonArgs, parse_connections};
use crate::failure::Failure;
use crate::scenario::burst::BurstPlan;

#[derive(Args, Debug)]
pub(crate) struct BurstArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Subscribers of the channel, which is --channel-base.
    #[arg(long, default_value_t = 1_000, value_parser = parse_connections)]
    pub(crate) subscribers: usize,
    /// How many of them do not read. The first that does publishes.
    #[arg(long, default_value_t = 50)]
    pub(crate) not_reading: usize,
    /// Publications. The server's limit of messages a second must allow them.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) count: u64,
    /// Payload size.
    #[arg(long, default_value = "125", value_parser = parse_bytes)]
    pub(crate) size: usize,
    /// Most publications that not every reader has got: more makes a reader wait for more than the server holds for it.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) depth: u64,
    /// How long to wait for a delivery before the rest counts as missing.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) patience: Duration,
}

impl BurstArgs {
    pub(crate) fn into_plan(self) -> Result<BurstPlan, Failure> {
        if self.not_reading >= self.subscribers {
            return Err(Failure::Usage("--not-reading must leave a subscriber that reads".to_owned()));
        }
        let (common, _) = self.common.run.into_native(self.common.url, "burst needs channels by name")?;
        Ok(BurstPlan {
            common,
            readers: self.subscribers - self.not_reading,
            idlers: self.not_reading,
            count: self.count,
            size_bytes: self.size,
            depth: self.depth,
            patience: self.patience,
        })
    }
}
