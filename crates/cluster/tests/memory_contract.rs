//! The memory implementations keep the contract, and answer at the first poll.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate_cluster::bus::{Bus, Receiver};
use tidegate_cluster::clock::{Clock, ManualClock};
use tidegate_cluster::contract::{self, Harness, Later};
use tidegate_cluster::memory::{
    BusConfig, MemoryBudget, MemoryDirectory, MemoryDocuments, MemoryHistory, MemoryIdempotency,
    MemoryLeadership, MemoryNetwork, MemoryPresence, MemorySessions, MemoryStickyRoutes,
};
use tidegate_cluster::{
    Budget, Directory, Documents, History, Idempotency, Leadership, Presence, SessionStore, StickyRoutes,
};
use tidegate_protocol::id::NodeName;
use tidegate_protocol::time::Millis;

#[test]
fn the_bus() {
    at_first_poll(contract::bus::check(&Networks));
}

#[test]
fn the_session_store() {
    let make = |clock| Arc::new(MemorySessions::new(Default::default(), clock)) as Arc<dyn SessionStore>;
    at_first_poll(contract::sessions::check(&Memory::new(make)));
}

#[test]
fn the_history() {
    let make = |clock| Arc::new(MemoryHistory::new(Default::default(), clock, 7)) as Arc<dyn History>;
    at_first_poll(contract::history::check(&Memory::new(make)));
}

#[test]
fn the_idempotency_store() {
    let make = |clock| Arc::new(MemoryIdempotency::new(Default::default(), clock)) as Arc<dyn Idempotency>;
    at_first_poll(contract::idempotency::check(&Memory::new(make)));
}

#[test]
fn the_presence() {
    let make = |clock| Arc::new(MemoryPresence::new(Default::default(), clock)) as Arc<dyn Presence>;
    at_first_poll(contract::presence::check(&Memory::new(make)));
}

#[test]
fn the_directory() {
    let make = |clock| Arc::new(MemoryDirectory::new(Default::default(), clock)) as Arc<dyn Directory>;
    at_first_poll(contract::directory::check(&Memory::new(make)));
}

#[test]
fn the_sticky_routes() {
    let make = |clock| Arc::new(MemoryStickyRoutes::new(Default::default(), clock)) as Arc<dyn StickyRoutes>;
    at_first_poll(contract::sticky::check(&Memory::new(make)));
}

#[test]
fn the_budget() {
    let make = |clock| Arc::new(MemoryBudget::new(Default::default(), clock)) as Arc<dyn Budget>;
    at_first_poll(contract::budget::check(&Memory::new(make)));
}

#[test]
fn the_documents() {
    let make = |_| Arc::new(MemoryDocuments::new(10)) as Arc<dyn Documents>;
    at_first_poll(contract::documents::check(&Memory::new(make)));
}

#[test]
fn the_leadership() {
    let make = |clock| Arc::new(MemoryLeadership::new(clock)) as Arc<dyn Leadership>;
    at_first_poll(contract::leadership::check(&Memory::new(make)));
}

/// Stores over a clock that is turned by hand.
struct Memory<T: ?Sized> {
    make: fn(Clock) -> Arc<T>,
    clock: ManualClock,
}

impl<T: ?Sized> Memory<T> {
    fn new(make: fn(Clock) -> Arc<T>) -> Self {
        Self { make, clock: ManualClock::new(Millis::new(1_700_000_000_000)) }
    }
}

impl<T: ?Sized + Send + Sync> Harness<T> for Memory<T> {
    fn fresh(&self) -> Later<'_, Arc<T>> {
        Box::pin(async { (self.make)(self.clock.clock()) })
    }

    fn pass(&self, time: Duration) -> Later<'_, ()> {
        Box::pin(async move { self.clock.advance(time) })
    }
}

struct Networks;

impl contract::bus::Harness for Networks {
    fn fresh(&self) -> Later<'_, Arc<dyn contract::bus::Network>> {
        Box::pin(async { Arc::new(Network(MemoryNetwork::new(BusConfig::default()))) as Arc<_> })
    }
}

struct Network(MemoryNetwork);

impl contract::bus::Network for Network {
    fn attach(&self, node: NodeName, receiver: Arc<dyn Receiver>) -> Later<'_, Arc<dyn Bus>> {
        Box::pin(async { Arc::new(self.0.attach(node, receiver).expect("the name is free")) as Arc<_> })
    }
}

/// A worker polls an answer once, in place: whatever is not ready then would have to be moved to a runtime.
fn at_first_poll(suite: impl Future<Output = ()>) {
    let poll = pin!(suite).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll, Poll::Ready(()), "an answer of a memory implementation was not ready");
}
