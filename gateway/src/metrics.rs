//! The gateway's metrics: what its parts count, added up when someone asks.
//!
//! Labels are enums, never user data; names carry base units. `docs/metrics.md` is generated from here.

mod admission;
mod api;
mod cluster;
mod drain;
mod page;
mod sessions;
pub(crate) mod stats;
mod stores;
#[cfg(test)]
mod tests;
mod traces;
mod wire;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use self::page::Page;
use crate::admission::api_key::ApiKeys;
use crate::http::api::ApiStats;
use crate::net::tls::Certificates;
use crate::node::Node;

/// Reads the whole node at scrape time.
pub(crate) struct NodeCollector {
    pub(crate) node: Arc<Node>,
    pub(crate) api: Arc<ApiStats>,
    pub(crate) api_keys: Arc<ApiKeys>,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) log_lines_dropped: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for NodeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCollector").finish_non_exhaustive()
    }
}

impl Collector for NodeCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder, node: &self.node };
        page.connections()?;
        page.handshakes()?;
        page.credentials(&self.api_keys)?;
        page.hook()?;
        page.key_set()?;
        page.pressure()?;
        page.quotas()?;
        page.cluster_limits()?;
        page.messages()?;
        page.sessions()?;
        page.deliveries()?;
        page.drain()?;
        page.stores()?;
        page.cluster()?;
        page.api(&self.api)?;
        page.memory()?;
        page.workers()?;
        page.traces()?;
        let lost = (self.log_lines_dropped)();
        page.counter_of("log_lines_dropped", "Log lines lost because nobody read them fast enough", lost)?;
        self.certificates.as_deref().map_or(Ok(()), |certificates| page.certificate(certificates))
    }
}
