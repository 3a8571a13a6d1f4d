//! Who was let in, and what the outside was asked about it.

use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::page::Page;
use crate::admission::api_key::{ApiKeys, KeyStats};
use crate::admission::hook::BreakerState;
use crate::admission::overload::{Level, Newcomer, Reason};
use crate::admission::quota::QuotaStats;
use crate::broker::outside::Store;

impl Page<'_, '_> {
    /// The overload gate.
    pub(super) fn pressure(&mut self) -> fmt::Result {
        let gate = &self.node.gate;
        let level = gate.level();
        self.gauges(
            "overload",
            "1 for the state of the overload gate; `strained`: only clients that come back to a session are taken",
            None,
            "state",
            &Level::ALL.map(|each| (each.name(), u64::from(each == level))),
        )?;
        self.counters(
            "overloads",
            "Times the overload gate was no longer open",
            None,
            "reason",
            &Reason::ALL.map(|reason| (reason.name(), gate.entered(reason))),
        )?;
        let refused: Vec<_> = Reason::ALL
            .into_iter()
            .flat_map(|reason| Newcomer::ALL.map(|newcomer| (reason, newcomer)))
            .map(|(reason, newcomer)| ([reason.name(), newcomer.name()], gate.refused(reason, newcomer)))
            .collect();
        let labels = ["reason", "newcomer"];
        self.counters_by("overload_refusals", "Handshakes and sessions that it refused", labels, &refused)?;
        let lag_us = self.node.stats.iter().map(|stats| stats.loop_lag_us.get()).max().unwrap_or(0);
        let lag = ConstGauge::new(Duration::from_micros(lag_us).as_secs_f64());
        let (name, help) = ("loop_lag", "How late the latest loop of a worker was when last looked at");
        lag.encode(self.encoder.encode_descriptor(name, help, Some(&Unit::Seconds), lag.metric_type())?)
    }

    /// Quotas that connections share.
    pub(super) fn quotas(&mut self) -> fmt::Result {
        let (users, addresses) = (&self.node.user_quotas, &self.node.address_quotas);
        let refused = |owner, stats: &QuotaStats| {
            [
                ([owner, "connection"], read(&stats.connections_refused)),
                ([owner, "subscription"], read(&stats.subscriptions_refused)),
                ([owner, "message"], read(&stats.messages_refused)),
            ]
        };
        self.counters_by(
            "quota_refusals",
            "What was over `limits.user` or `limits.address`",
            ["owner", "what"],
            &[refused("user", users.stats()), refused("address", addresses.stats())].concat(),
        )?;
        self.gauges(
            "quota_owners",
            "Users and addresses whose use is counted",
            None,
            "owner",
            &[("user", users.len() as u64), ("address", addresses.len() as u64)],
        )?;
        self.counters(
            "quota_evictions",
            "Users and addresses without a connection whose use was forgotten early, for there were too many",
            None,
            "owner",
            &[("user", read(&users.stats().evicted)), ("address", read(&addresses.stats().evicted))],
        )
    }

    /// Limits that all nodes share.
    pub(super) fn cluster_limits(&mut self) -> fmt::Result {
        let budget = &self.node.broker.budget;
        let refused = budget.refused();
        self.counters(
            "cluster_limit_refusals",
            "What was over `limits.cluster`",
            None,
            "what",
            &[
                ("handshake", read(&refused.new)),
                ("resume", read(&refused.resumes)),
                ("connection", read(&refused.connections)),
            ],
        )?;
        let counted = budget.counted();
        self.gauge(
            "cluster_connections",
            "Connections of all nodes when last counted; 0: `limits.cluster` has no limit",
            None,
            counted,
        )?;
        let (asked, by_share) = match &self.node.broker.outside.store {
            Store::Memory(_) => (0, 0),
            Store::Redis(redis) => {
                let stats = redis.budget.stats();
                (stats.asked_total, stats.by_share_total)
            }
        };
        self.counters(
            "cluster_budget_questions",
            "Times the store was asked for a part of the budgets, and arrivals decided by this node's share without it",
            None,
            "kind",
            &[("asked", asked), ("by_share", by_share)],
        )
    }

    /// Tokens and keys that were shown.
    pub(super) fn credentials(&mut self, api_keys: &ApiKeys) -> fmt::Result {
        let tokens = self.node.clients.token_stats();
        let judged: Vec<_> =
            iter::once(("verified", read(&tokens.verified))).chain(tokens.refused()).collect();
        self.counters(
            "tokens",
            "Tokens judged; those that `need_keys` are judged again once the key set has been read",
            None,
            "outcome",
            &judged,
        )?;
        let found = |port, stats: &KeyStats| {
            [([port, "known"], read(&stats.known)), ([port, "unknown"], read(&stats.unknown))]
        };
        let keys = [found("client", self.node.clients.key_stats()), found("api", api_keys.stats())].concat();
        self.counters_by(
            "keys",
            "Keys presented, and on the client port tokens that might be one",
            ["port", "outcome"],
            &keys,
        )
    }

    /// What the operator's own server was asked.
    pub(super) fn hook(&mut self) -> fmt::Result {
        let hook = self.node.clients.hook();
        let stats = hook.stats();
        let outcomes = [
            ("allowed", &stats.allowed),
            ("refused", &stats.refused),
            ("failed", &stats.failed),
            ("timed_out", &stats.timed_out),
            ("busy", &stats.busy),
            ("broken", &stats.broken),
        ];
        self.counters(
            "hook_questions",
            "Questions to the hook; `busy` and `broken` ones were refused without being asked",
            None,
            "outcome",
            &outcomes.map(|(outcome, count)| (outcome, read(count))),
        )?;
        let state = hook.breaker_state();
        let states = [
            ("closed", BreakerState::Closed),
            ("half_open", BreakerState::HalfOpen),
            ("open", BreakerState::Open),
        ];
        self.gauges(
            "hook_breaker",
            "1 for the state of the hook's circuit breaker",
            None,
            "state",
            &states.map(|(name, each)| (name, u64::from(each == state))),
        )
    }

    /// The keys that an identity provider publishes.
    pub(super) fn key_set(&mut self) -> fmt::Result {
        let keys = self.node.clients.published_keys();
        let stats = keys.as_ref().map(|keys| keys.stats());
        let count = |pick: fn(&crate::admission::jwks::KeysStats) -> u64| stats.map_or(0, pick);
        let fetches = [
            ("ok", count(|stats| read(&stats.fetches).saturating_sub(read(&stats.failures)))),
            ("failed", count(|stats| read(&stats.failures))),
            ("held_back", count(|stats| read(&stats.held_back))),
        ];
        self.counters(
            "jwks_fetches",
            "Fetches of the key set; those held back were asked for too soon after another",
            None,
            "outcome",
            &fetches,
        )?;
        let keys_held = keys.as_ref().map_or(0, |keys| keys.current().len() as u64);
        self.gauge("jwks_keys", "Keys of the key set in use", None, keys_held)?;
        let age_s = keys.as_ref().and_then(|keys| keys.age()).map_or(0, |age| age.as_secs());
        self.gauge(
            "jwks_age",
            "Since the key set in use was read; 0: there is none",
            Some(&Unit::Seconds),
            age_s,
        )
    }
}

pub(super) fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
