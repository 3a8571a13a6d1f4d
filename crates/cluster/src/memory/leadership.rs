//! [`Leadership`] in memory: among the tasks of one process, which leaves the sole one of them in the lead.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_protocol::time::Millis;

use crate::answer::{Answer, ready};
use crate::clock::Clock;
use crate::leadership::{Lead, Leadership};

use super::shards::lock;

/// The lead in this process.
#[derive(Debug)]
pub struct MemoryLeadership {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<(Lead, Millis)>,
    epoch: u64,
}

impl MemoryLeadership {
    /// Nobody leads. `clock` says when leases end.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }
}

impl Leadership for MemoryLeadership {
    fn claim(&self, candidate: &str, ttl: Duration, epoch_seen: u64) -> Answer<Lead> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let held = state.held.take().filter(|(_, ends_at)| *ends_at > now);
        let lead = match held {
            Some((lead, ends_at)) if *lead.holder != *candidate => {
                state.held = Some((lead.clone(), ends_at));
                return ready(Ok(lead));
            }
            Some((lead, _)) if lead.epoch >= epoch_seen => lead,
            _ => {
                state.epoch = state.epoch.max(epoch_seen) + 1;
                Lead { holder: Arc::from(candidate), epoch: state.epoch }
            }
        };
        state.held = Some((lead.clone(), now + ttl));
        ready(Ok(lead))
    }

    fn resign(&self, candidate: &str) -> Answer<bool> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let is_held =
            state.held.as_ref().is_some_and(|(lead, ends_at)| *lead.holder == *candidate && *ends_at > now);
        if is_held {
            state.held = None;
        }
        ready(Ok(is_held))
    }
}
