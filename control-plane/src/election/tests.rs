//! The election in virtual time, over a lead in memory.

use std::sync::atomic::AtomicBool;

use tidegate_cluster::Clock;
use tidegate_cluster::answer::{Answer, Part, Reason, Unavailable, ready};
use tidegate_cluster::leadership::Lead;
use tidegate_cluster::memory::MemoryLeadership;

use super::*;

const LEASE: Duration = Duration::from_secs(9);

/// A lead that can be cut off.
struct Store {
    lead: MemoryLeadership,
    is_away: AtomicBool,
}

impl Leadership for Store {
    fn claim(&self, candidate: &str, ttl: Duration, epoch_seen: u64) -> Answer<Lead> {
        if self.is_away.load(Ordering::Relaxed) {
            return ready(Err(Unavailable { part: Part::Leadership, reason: Reason::Down }));
        }
        self.lead.claim(candidate, ttl, epoch_seen)
    }

    fn resign(&self, candidate: &str) -> Answer<bool> {
        self.lead.resign(candidate)
    }
}

fn store() -> Arc<Store> {
    Arc::new(Store { lead: MemoryLeadership::new(Clock::system()), is_away: AtomicBool::new(false) })
}

fn elector(store: &Arc<Store>, name: &str) -> Elector {
    Elector::new(Arc::clone(store) as _, name.to_owned(), LEASE, LEASE / 3)
}

#[tokio::test(start_paused = true)]
async fn the_first_to_ask_leads_and_the_next_follows() {
    let store = store();
    let (a, b) = (elector(&store, "a"), elector(&store, "b"));
    a.campaign().await;
    b.campaign().await;
    assert_eq!((a.leading(), b.leading()), (Some(1), None));
    assert_eq!(b.standing(), Standing::Following { leader: "a".into(), epoch: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_steps_down_after_two_thirds_of_its_lease() {
    let store = store();
    let a = elector(&store, "a");
    a.campaign().await;
    store.is_away.store(true, Ordering::Relaxed);

    tokio::time::advance(LEASE * 2 / 3 - Duration::from_millis(1)).await;
    a.campaign().await;
    assert_eq!(a.leading(), Some(1), "one failure is no reason yet");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(a.leading(), None);
    a.campaign().await;
    assert_eq!(a.standing(), Standing::Nobody);
}

#[tokio::test(start_paused = true)]
async fn who_resigns_lets_another_go_on_with_a_higher_epoch() {
    let store = store();
    let (a, b) = (elector(&store, "a"), elector(&store, "b"));
    a.campaign().await;
    a.resign().await;
    b.campaign().await;
    assert_eq!((a.leading(), b.leading()), (None, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_leader_goes_on_above_an_epoch_that_gateways_have_seen() {
    let store = store();
    let a = elector(&store, "a");
    a.campaign().await;
    a.note_epoch(41);
    a.campaign().await;
    assert_eq!(a.leading(), Some(42));
    a.note_epoch(42);
    a.campaign().await;
    assert_eq!(a.leading(), Some(42), "its own is no other's");
}
