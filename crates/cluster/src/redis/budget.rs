//! [`Budget`] in Redis: one bucket for all nodes, from which each takes a handful of tokens at a time.
//!
//! Place in the data path: most takes are answered from the handful, without asking anybody. While the server does not
//! answer a node goes by its share of the rate: the rate divided by the nodes that reported a count last.

mod allowance;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_protocol::id::NodeName;
use tidegate_protocol::time::whole_ms;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

use crate::answer::{Answer, Part, ready};
use crate::budget::{Budget, Granted, Rate, Tally};
use crate::clock::Clock;
use crate::memory::count::Counter;
use crate::memory::shards::lock;

use super::client::RedisClient;
use super::script::{Args, Fields, Script};
use super::stats::Operation;

use self::allowance::{Allowance, Ask, Local};

/// Budgets of a cluster. `{b:NAME}` is a bucket, `{c:NAME}` what the nodes count.
#[derive(Debug)]
pub struct RedisBudget(Arc<Shared>);

/// How a [`RedisBudget`] shares.
#[derive(Clone, Copy, Debug)]
pub struct BudgetConfig {
    /// Most nodes that report a count.
    pub nodes_max: usize,
    /// How long a node may keep tokens that it took from the others and did not need yet, and how much of the rate it
    /// takes at a time: what comes in while that time passes, divided by the nodes.
    pub held_for: Duration,
    /// How long the server is waited for before a node goes by its share: a client at the door waits as long.
    pub patience: Duration,
}

/// What a [`RedisBudget`] has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BudgetStats {
    /// Takes that were granted.
    pub granted_total: u64,
    /// Takes that were refused.
    pub refused_total: u64,
    /// Times the server was asked for tokens: the others were answered from what was there.
    pub asked_total: u64,
    /// Takes that were decided by this node's share, since the server did not answer.
    pub by_share_total: u64,
}

#[derive(Debug)]
struct Shared {
    client: RedisClient,
    config: BudgetConfig,
    clock: Clock,
    /// Names are those that the program's text has.
    buckets: Mutex<HashMap<&'static str, Arc<Bucket>>>,
    /// That reported a count last.
    nodes: AtomicU32,
    granted: Counter,
    refused: Counter,
    asked: Counter,
    by_share: Counter,
}

#[derive(Debug, Default)]
struct Bucket {
    allowance: Mutex<Allowance>,
    /// Held by whoever asks the server: the others wait for what comes.
    asking: AsyncMutex<()>,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { nodes_max: 1_000, held_for: Duration::from_millis(100), patience: Duration::from_millis(250) }
    }
}

impl RedisBudget {
    /// The budgets that the server holds, seen from one node. `clock` runs with real time.
    pub fn new(client: RedisClient, config: BudgetConfig, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            client,
            config,
            clock,
            buckets: Mutex::default(),
            nodes: AtomicU32::new(1),
            granted: Counter::default(),
            refused: Counter::default(),
            asked: Counter::default(),
            by_share: Counter::default(),
        }))
    }

    /// What it has done.
    pub fn stats(&self) -> BudgetStats {
        BudgetStats {
            granted_total: self.0.granted.total(),
            refused_total: self.0.refused.total(),
            asked_total: self.0.asked.total(),
            by_share_total: self.0.by_share.total(),
        }
    }
}

impl Budget for RedisBudget {
    fn take(&self, name: &'static str, rate: Rate, amount: NonZeroU32) -> Answer<Granted> {
        let bucket = Arc::clone(lock(&self.0.buckets).entry(name).or_default());
        if let Some(granted) = self.0.try_take(&bucket, rate, amount) {
            return ready(Ok(granted));
        }
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move { Ok(shared.ask(name, &bucket, rate, amount).await) })
    }

    fn report(&self, name: &'static str, node: &NodeName, count: u64, ttl: Duration) -> Answer<Tally> {
        let args = Args::new()
            .text(node.as_str())
            .number(count)
            .number(whole_ms(ttl).max(1))
            .number(self.0.config.nodes_max as u64);
        let keys = vec![self.0.client.key(format_args!("{{c:{name}}}"))];
        let decode = |value| match value {
            fred::types::Value::Null => Some(None),
            list => {
                let mut fields = Fields::of(list)?;
                let total = fields.number()?;
                Some(Some(Tally { total, nodes: u32::try_from(fields.number()?).ok()? }))
            }
        };
        let tally = self.0.client.call(&REPORT, keys, args, decode);
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let tally = tally.await?.ok_or(Part::Budget.full())?;
            shared.nodes.store(tally.nodes, Ordering::Relaxed);
            Ok(tally)
        })
    }
}

impl Shared {
    /// What can be said without asking anybody.
    fn try_take(&self, bucket: &Bucket, rate: Rate, amount: NonZeroU32) -> Option<Granted> {
        let local = lock(&bucket.allowance).try_take(rate, amount, self.nodes(), self.clock.now());
        let granted = match local {
            Local::Decided(granted) => granted,
            Local::Shared(granted) => {
                self.by_share.add(1);
                granted
            }
            Local::Unknown => return None,
        };
        self.count(granted);
        Some(granted)
    }

    async fn ask(&self, name: &'static str, bucket: &Bucket, rate: Rate, amount: NonZeroU32) -> Granted {
        let _asking = bucket.asking.lock().await;
        // Whoever asked before may have brought enough, or have learned that there is none.
        if let Some(granted) = self.try_take(bucket, rate, amount) {
            return granted;
        }
        let ask = lock(&bucket.allowance).ask(rate, amount, self.slice(rate), self.clock.now());
        self.asked.add(1);
        let answer = timeout(self.config.patience, self.take_from_all(name, rate, ask)).await;
        let now = self.clock.now();
        let mut allowance = lock(&bucket.allowance);
        let granted = match answer {
            Ok(Ok(Ok(tokens))) => allowance.add(amount, tokens, self.config.held_for, now),
            Ok(Ok(Err(after))) => allowance.refuse(amount, after, now),
            Ok(Err(_)) | Err(_) => {
                self.by_share.add(1);
                allowance.go_by_share(rate, amount, self.nodes(), now)
            }
        };
        drop(allowance);
        self.count(granted);
        granted
    }

    /// Tokens, or the time after which to ask again.
    fn take_from_all(&self, name: &str, rate: Rate, ask: Ask) -> Answer<Result<u32, Duration>> {
        let interval_ns = rate.interval.as_nanos().max(1_000);
        let args = Args::new()
            .text(format!("{}.{:03}", interval_ns / 1_000, interval_ns % 1_000))
            .number(rate.burst.get().into())
            .number(ask.at_least.into())
            .number(ask.at_most.into());
        self.client.call(&TAKE, vec![self.client.key(format_args!("{{b:{name}}}"))], args, |value| {
            let mut fields = Fields::of(value)?;
            let (tokens, after_us) = (u32::try_from(fields.number()?).ok()?, fields.number()?);
            Some(if tokens > 0 { Ok(tokens) } else { Err(Duration::from_micros(after_us.max(1))) })
        })
    }

    /// How many tokens to take at a time, if they are there.
    fn slice(&self, rate: Rate) -> u32 {
        let slice = rate.tokens_in(self.config.held_for) / self.nodes();
        slice.min(rate.burst.get() / self.nodes())
    }

    fn nodes(&self) -> NonZeroU32 {
        NonZeroU32::new(self.nodes.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    fn count(&self, granted: Granted) {
        match granted {
            Granted::Now => self.granted.add(1),
            Granted::Later { .. } => self.refused.add(1),
        }
    }
}

static TAKE: Script = Script::lua(Operation::BudgetTake, include_str!("budget/take.lua"));
static REPORT: Script = Script::lua(Operation::BudgetReport, include_str!("budget/report.lua"));
