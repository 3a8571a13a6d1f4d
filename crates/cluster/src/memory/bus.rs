//! [`Bus`] in memory: the nodes of one process hand each other their messages.
//!
//! A publication is received on the thread that publishes it, before the answer: there is no queue, task or thread in
//! between, so a node that is alone pays nothing for the bus. Whoever receives decides what to buffer and how much.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::id::NodeName;

use crate::answer::{Answer, Part, Unavailable, ready};
use crate::bus::{Bus, Mail, Receiver};

use super::count::Counter;

/// Where nodes of one process meet. Clones are the same place.
#[derive(Clone, Debug)]
pub struct MemoryNetwork(Arc<Network>);

/// One node's end of a [`MemoryNetwork`]. Dropped, it has left.
#[derive(Debug)]
pub struct MemoryBus {
    network: Arc<Network>,
    end: Arc<End>,
}

/// The bounds of a [`MemoryNetwork`].
#[derive(Clone, Copy, Debug)]
pub struct BusConfig {
    /// Most channels that any node has subscribed to.
    pub channels_max: usize,
    /// Most nodes.
    pub nodes_max: usize,
}

/// What a [`MemoryNetwork`] holds now and has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BusStats {
    /// Channels that any node has subscribed to.
    pub channels: usize,
    /// Nodes.
    pub nodes: usize,
    /// Publications.
    pub published_total: u64,
    /// Messages handed to a node.
    pub received_total: u64,
    /// Direct messages to nodes that are not there.
    pub unroutable_total: u64,
    /// Subscriptions refused for lack of room.
    pub refused_total: u64,
}

/// Why a node gets no end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AttachError {
    /// Two nodes of one name would get each other's messages.
    #[error("a node of this name is on the network already")]
    NameTaken,
    /// The network has as many nodes as it may.
    #[error("the network has as many nodes as it may")]
    Full,
}

#[derive(Debug)]
struct Network {
    config: BusConfig,
    nodes: RwLock<HashMap<NodeName, Arc<End>>>,
    /// Who has subscribed to what. Replaced as a whole on a change: a publisher takes a handle and leaves the lock.
    interest: RwLock<HashMap<ChannelName, Arc<[Arc<End>]>>>,
    published_total: Counter,
    received_total: Counter,
    unroutable_total: Counter,
    refused_total: Counter,
}

struct End {
    node: NodeName,
    receiver: Arc<dyn Receiver>,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self { channels_max: 1_000_000, nodes_max: 1_000 }
    }
}

impl MemoryNetwork {
    /// A network without nodes.
    pub fn new(config: BusConfig) -> Self {
        Self(Arc::new(Network {
            config,
            nodes: RwLock::default(),
            interest: RwLock::default(),
            published_total: Counter::default(),
            received_total: Counter::default(),
            unroutable_total: Counter::default(),
            refused_total: Counter::default(),
        }))
    }

    /// Gives a node its end.
    ///
    /// # Errors
    ///
    /// [`AttachError`] says why not.
    pub fn attach(&self, node: NodeName, receiver: Arc<dyn Receiver>) -> Result<MemoryBus, AttachError> {
        let mut nodes = self.0.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if nodes.contains_key(&node) {
            return Err(AttachError::NameTaken);
        }
        if nodes.len() >= self.0.config.nodes_max {
            return Err(AttachError::Full);
        }
        let end = Arc::new(End { node: node.clone(), receiver });
        nodes.insert(node, Arc::clone(&end));
        Ok(MemoryBus { network: Arc::clone(&self.0), end })
    }

    /// What it holds and has done.
    pub fn stats(&self) -> BusStats {
        let network = &*self.0;
        BusStats {
            channels: network.interest.read().unwrap_or_else(PoisonError::into_inner).len(),
            nodes: network.nodes.read().unwrap_or_else(PoisonError::into_inner).len(),
            published_total: network.published_total.total(),
            received_total: network.received_total.total(),
            unroutable_total: network.unroutable_total.total(),
            refused_total: network.refused_total.total(),
        }
    }
}

impl Bus for MemoryBus {
    fn publish(&self, channel: &Channel<'_>, message: Bytes) -> Answer<()> {
        let network = &*self.network;
        network.published_total.add(1);
        if let Some((channel, ends)) = network.interested(channel.as_str()) {
            network.received_total.add(ends.len() as u64);
            for end in &*ends {
                let (channel, message) = (channel.clone(), message.clone());
                end.receiver.receive(Mail::Publication { channel, message });
            }
        }
        ready(Ok(()))
    }

    fn send(&self, node: &NodeName, message: Bytes) -> Answer<()> {
        let nodes = self.network.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let end = nodes.get(node).cloned();
        drop(nodes);
        match end {
            Some(end) => {
                self.network.received_total.add(1);
                end.receiver.receive(Mail::Direct { message });
            }
            None => self.network.unroutable_total.add(1),
        }
        ready(Ok(()))
    }

    fn broadcast(&self, message: Bytes) -> Answer<()> {
        let nodes = self.network.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let ends: Vec<_> = nodes.values().cloned().collect();
        drop(nodes);
        self.network.received_total.add(ends.len() as u64);
        for end in ends {
            end.receiver.receive(Mail::Direct { message: message.clone() });
        }
        ready(Ok(()))
    }

    fn subscribe(&self, channel: &Channel<'_>) -> Answer<()> {
        ready(self.network.subscribe(channel, &self.end))
    }

    fn unsubscribe(&self, channel: &Channel<'_>) -> Answer<()> {
        let mut interest = self.network.interest.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = interest.get_mut(channel.as_str()) {
            *ends = without(ends, &self.end);
            if ends.is_empty() {
                interest.remove(channel.as_str());
            }
        }
        ready(Ok(()))
    }
}

impl Drop for MemoryBus {
    fn drop(&mut self) {
        self.network.nodes.write().unwrap_or_else(PoisonError::into_inner).remove(&self.end.node);
        let mut interest = self.network.interest.write().unwrap_or_else(PoisonError::into_inner);
        interest.retain(|_, ends| {
            if ends.iter().any(|end| Arc::ptr_eq(end, &self.end)) {
                *ends = without(ends, &self.end);
            }
            !ends.is_empty()
        });
    }
}

impl Network {
    fn interested(&self, channel: &str) -> Option<(ChannelName, Arc<[Arc<End>]>)> {
        let interest = self.interest.read().unwrap_or_else(PoisonError::into_inner);
        interest.get_key_value(channel).map(|(name, ends)| (name.clone(), Arc::clone(ends)))
    }

    fn subscribe(&self, channel: &Channel<'_>, end: &Arc<End>) -> Result<(), Unavailable> {
        let mut interest = self.interest.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = interest.get_mut(channel.as_str()) {
            if !ends.iter().any(|known| Arc::ptr_eq(known, end)) {
                *ends = ends.iter().chain([end]).cloned().collect();
            }
            return Ok(());
        }
        if interest.len() >= self.config.channels_max {
            self.refused_total.add(1);
            return Err(Part::Bus.full());
        }
        interest.insert(channel.into(), Arc::new([Arc::clone(end)]));
        Ok(())
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("End").field(&self.node).finish()
    }
}

fn without(ends: &[Arc<End>], end: &Arc<End>) -> Arc<[Arc<End>]> {
    ends.iter().filter(|known| !Arc::ptr_eq(known, end)).cloned().collect()
}
