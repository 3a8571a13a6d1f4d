use std::sync::Mutex;

use crate::bus::Loss;

use super::super::shards::lock;
use super::super::testing::{asked, channel, got, node};
use super::*;

#[derive(Default)]
struct Heard(Mutex<Vec<Mail>>);

impl Heard {
    fn count(&self) -> usize {
        lock(&self.0).len()
    }
}

impl Receiver for Heard {
    fn receive(&self, mail: Mail) {
        lock(&self.0).push(mail);
    }

    fn lose(&self, loss: Loss) {
        panic!("nothing is lost in memory: {loss:?}");
    }
}

fn attach(network: &MemoryNetwork, name: &str) -> (MemoryBus, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let bus = network.attach(node(name), Arc::<Heard>::clone(&heard)).unwrap();
    (bus, heard)
}

#[test]
fn a_publication_is_there_when_the_call_returns() {
    let network = MemoryNetwork::new(BusConfig::default());
    let (bus, heard) = attach(&network, "n1");
    got(bus.subscribe(&channel("a")));

    let answer = bus.publish(&channel("a"), "1".into());
    assert_eq!(heard.count(), 1);
    got(answer);
    assert_eq!(heard.count(), 1);
}

#[test]
fn channels_over_the_bound_are_refused() {
    let network = MemoryNetwork::new(BusConfig { channels_max: 1, ..BusConfig::default() });
    let ((one, _), (two, _)) = (attach(&network, "n1"), attach(&network, "n2"));
    got(one.subscribe(&channel("a")));

    assert_eq!(asked(one.subscribe(&channel("b"))), Err(Part::Bus.full()));
    got(two.subscribe(&channel("a")));
    got(one.unsubscribe(&channel("a")));
    assert_eq!(asked(one.subscribe(&channel("b"))), Err(Part::Bus.full()), "the other is still there");
    got(two.unsubscribe(&channel("a")));
    got(one.subscribe(&channel("b")));
    assert_eq!((network.stats().channels, network.stats().refused_total), (1, 2));
}

#[test]
fn a_name_is_on_the_network_once_and_nodes_are_bounded() {
    let network = MemoryNetwork::new(BusConfig { nodes_max: 2, ..BusConfig::default() });
    let (one, _) = attach(&network, "n1");
    let (_two, _) = attach(&network, "n2");
    let try_attach = |name| network.attach(node(name), Arc::new(Heard::default())).err();

    assert_eq!(try_attach("n1"), Some(AttachError::NameTaken));
    assert_eq!(try_attach("n3"), Some(AttachError::Full));
    drop(one);
    assert_eq!(try_attach("n1"), None);
}

#[test]
fn a_node_that_leaves_takes_its_interest_with_it() {
    let network = MemoryNetwork::new(BusConfig::default());
    let ((stays, _), (leaves, heard)) = (attach(&network, "n1"), attach(&network, "n2"));
    for name in ["a", "b"] {
        got(leaves.subscribe(&channel(name)));
    }
    got(stays.subscribe(&channel("a")));
    drop(leaves);

    assert_eq!((network.stats().channels, network.stats().nodes), (1, 1));
    got(stays.publish(&channel("a"), "1".into()));
    got(stays.send(&node("n2"), "2".into()));
    assert_eq!(heard.count(), 0);
    let stats = network.stats();
    assert_eq!((stats.published_total, stats.received_total, stats.unroutable_total), (1, 1, 1));
}
