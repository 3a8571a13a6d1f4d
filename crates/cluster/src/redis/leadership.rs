//! [`Leadership`] in Redis: `{l}` is the lead with its lease, `{l}:e` the last epoch.
//!
//! The lease is the server's time to live, so no clock but its own decides who may lead next. A leader goes by its own
//! steady clock, from before it asked: it stops before the server gives the lead away.

use std::time::Duration;

use fred::types::Key;
use tidegate_protocol::time::whole_ms;

use crate::answer::Answer;
use crate::leadership::{Lead, Leadership};

use super::client::RedisClient;
use super::script::{Args, Fields, Script, number};
use super::stats::Operation;

/// The lead of a cluster.
#[derive(Clone, Debug)]
pub struct RedisLeadership(RedisClient);

impl RedisLeadership {
    /// The lead that the server knows of.
    pub fn new(client: RedisClient) -> Self {
        Self(client)
    }

    fn keys(&self) -> Vec<Key> {
        vec![self.0.key("{l}"), self.0.key("{l}:e")]
    }
}

impl Leadership for RedisLeadership {
    fn claim(&self, candidate: &str, ttl: Duration, epoch_seen: u64) -> Answer<Lead> {
        let args = Args::new().text(candidate.to_owned()).number(whole_ms(ttl).max(1)).number(epoch_seen);
        self.0.call(&CLAIM, self.keys(), args, |value| {
            let mut fields = Fields::of(value)?;
            let epoch = fields.number()?;
            Some(Lead { holder: (&*fields.text()?).into(), epoch })
        })
    }

    fn resign(&self, candidate: &str) -> Answer<bool> {
        let args = Args::new().text(candidate.to_owned());
        self.0.call(&RESIGN, vec![self.0.key("{l}")], args, |value| Some(number(&value)? > 0))
    }
}

static CLAIM: Script = Script::lua(Operation::LeadershipClaim, include_str!("leadership/claim.lua"));
static RESIGN: Script = Script::lua(Operation::LeadershipClaim, include_str!("leadership/resign.lua"));
