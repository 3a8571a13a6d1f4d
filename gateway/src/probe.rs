//! What the admin port asks the gateway: are its loops turning, would it take a client, what does it hold.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_service::admin::Probe;
use tidegate_service::lifecycle::{Lifecycle, Phase};
use tokio::sync::oneshot;

use crate::admission::overload::Level;
use crate::broker::modes::Mode;
use crate::node::Node;
use crate::worker::mail::Mail;

/// A worker that has not turned for so long is stuck: it turns once a second when there is nothing to do.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// How long a worker may take to describe its connections.
const DESCRIPTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The gateway as the admin port sees it.
pub(crate) struct GatewayProbe {
    pub(crate) node: Arc<Node>,
    pub(crate) name: String,
    pub(crate) client: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
}

impl Probe for GatewayProbe {
    fn live(&self) -> Result<(), String> {
        let uptime = self.node.started.elapsed();
        for (worker, stats) in self.node.stats.iter().enumerate() {
            let silent = uptime.saturating_sub(Duration::from_millis(stats.turned_at_ms.get()));
            if silent > STUCK_AFTER {
                return Err(format!("worker {worker} has not turned for {:.1} s", silent.as_secs_f64()));
            }
        }
        Ok(())
    }

    fn ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.lifecycle.phase() == Phase::Starting {
            reasons.push("starting".to_owned());
        }
        if !self.node.drain.is_ready() {
            reasons.push(format!(
                "draining ({}): new clients shall go elsewhere",
                self.node.drain.phase().name()
            ));
        }
        if let Some((reason, Level::Closed)) = self.node.gate.closed_by() {
            reasons.push(format!("overloaded ({}): new clients are refused", reason.name()));
        }
        let (open, most) = (self.node.connections(), self.node.limits.connections);
        if open >= most {
            reasons.push(format!("full: {open} connections, limits.connections is {most}"));
        }
        reasons
    }

    fn notes(&self) -> Vec<String> {
        self.node.broker.modes().into_iter().map(|mode| format!("degraded: {}", mode.name())).collect()
    }

    fn info(&self) -> Value {
        let total = |read: fn(&crate::metrics::stats::WorkerStats) -> u64| -> u64 {
            self.node.stats.iter().map(|stats| read(stats)).sum()
        };
        json!({
            "node": self.name,
            "client": self.client,
            "admin": self.admin,
            "workers": self.node.stats.len(),
            "connections": {
                "new": total(|stats| stats.handshaking.get()),
                "open": total(|stats| stats.open_plain.get() + stats.open_tls.get()),
                "closing": total(|stats| stats.closing.get()),
            },
            "overload": {
                "state": self.node.gate.level().name(),
                "reason": self.node.gate.closed_by().map(|(reason, _)| reason.name()),
            },
            "channels": self.node.directory.len(),
            "drain": self.node.drain.phase().name(),
            "degraded": self.node.broker.modes().into_iter().map(Mode::name).collect::<Vec<_>>(),
        })
    }

    fn debug_connections(&self, limit: usize) -> Pin<Box<dyn Future<Output = Value> + Send + '_>> {
        Box::pin(async move {
            let (mut described, mut silent) = (Vec::new(), Vec::new());
            for (worker, post) in self.node.posts().iter().enumerate() {
                let left = limit.saturating_sub(described.len());
                let (reply, answer) = oneshot::channel();
                let asked = post.try_send(Mail::Describe { limit: left, reply }).is_ok();
                match tokio::time::timeout(DESCRIPTION_TIMEOUT, answer).await {
                    Ok(Ok(views)) if asked => described.extend(views),
                    _ => silent.push(worker),
                }
            }
            json!({
                "total": self.node.connections(),
                "shown": described.len(),
                "connections": described,
                "workers_without_answer": silent,
            })
        })
    }
}
