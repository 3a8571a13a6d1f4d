//! What every implementation of the traits promises, as tests that a later one passes unchanged.
//!
//! A suite is an async function over a [`Harness`], which makes empty stores and lets time pass: by turning a clock in
//! memory, by waiting where a server keeps the time. Bounds are no part of it: each implementation has its own.
//! A broken promise panics at the line that names it.

pub mod budget;
pub mod bus;
pub mod directory;
pub mod documents;
pub mod history;
pub mod idempotency;
pub mod leadership;
pub mod presence;
pub mod sessions;
pub mod sticky;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::channel::Channel;
use tidegate_protocol::id::{NodeName, SessionId};

use crate::answer::Answer;

/// Something that a harness does, now or later.
pub type Later<'h, T> = Pin<Box<dyn Future<Output = T> + Send + 'h>>;

/// Makes what a suite tests. `T` is a trait of this crate as an object: `dyn History`.
pub trait Harness<T: ?Sized>: Sync {
    /// An implementation that holds nothing and shares nothing with those made before.
    fn fresh(&self) -> Later<'_, Arc<T>>;

    /// Lets at least `time` pass for everything made so far.
    fn pass(&self, time: Duration) -> Later<'_, ()>;
}

/// A time that a rule waits for: short, since a server's clock cannot be turned.
const SOON: Duration = Duration::from_millis(400);
/// Longer than [`SOON`], by more than a slow machine is late.
const PAST_SOON: Duration = Duration::from_millis(500);
/// A time that does not pass within a rule.
const LONG: Duration = Duration::from_secs(600);

async fn get<T>(answer: Answer<T>) -> T {
    match answer.await {
        Ok(value) => value,
        Err(unavailable) => panic!("the suite needs an implementation that works: {unavailable}"),
    }
}

fn channel(name: &str) -> Channel<'_> {
    Channel::parse(name).expect("rules use good names")
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).expect("rules use good names")
}

/// Ids in the order of their numbers.
fn session(number: u8) -> SessionId {
    let mut bytes = [0; 16];
    (bytes[0], bytes[15]) = (number, number);
    SessionId::from_bytes(bytes)
}
