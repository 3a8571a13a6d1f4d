//! What every [`Leadership`] promises.

use crate::leadership::{Lead, Leadership};

use super::{Harness, LONG, PAST_SOON, SOON, get};

/// Checks every rule, each on a fresh lead.
pub async fn check(harness: &impl Harness<dyn Leadership>) {
    one_leads_for_as_long_as_it_renews(harness).await;
    a_lease_that_ends_makes_room_for_the_next_epoch(harness).await;
    who_resigns_leads_no_more_and_takes_nothing_from_others(harness).await;
    epochs_go_on_above_what_others_have_seen(harness).await;
}

async fn one_leads_for_as_long_as_it_renews(harness: &impl Harness<dyn Leadership>) {
    let leadership = harness.fresh().await;
    let a = get(leadership.claim("a", LONG, 0)).await;
    assert_eq!(a, lead("a", 1));
    assert_eq!(get(leadership.claim("b", LONG, 0)).await, a);
    assert_eq!(get(leadership.claim("a", LONG, 1)).await, a, "its own epoch is no other's");
}

async fn a_lease_that_ends_makes_room_for_the_next_epoch(harness: &impl Harness<dyn Leadership>) {
    let leadership = harness.fresh().await;
    get(leadership.claim("a", SOON, 0)).await;
    harness.pass(PAST_SOON).await;
    assert_eq!(get(leadership.claim("b", LONG, 0)).await, lead("b", 2));
    assert_eq!(get(leadership.claim("a", LONG, 0)).await, lead("b", 2));
}

async fn who_resigns_leads_no_more_and_takes_nothing_from_others(harness: &impl Harness<dyn Leadership>) {
    let leadership = harness.fresh().await;
    assert!(!get(leadership.resign("a")).await);
    get(leadership.claim("a", LONG, 0)).await;
    assert!(!get(leadership.resign("b")).await);
    assert!(get(leadership.resign("a")).await);
    assert_eq!(get(leadership.claim("b", LONG, 0)).await, lead("b", 2));
}

async fn epochs_go_on_above_what_others_have_seen(harness: &impl Harness<dyn Leadership>) {
    let leadership = harness.fresh().await;
    assert_eq!(get(leadership.claim("a", LONG, 57)).await, lead("a", 58));
    assert_eq!(get(leadership.claim("a", LONG, 60)).await, lead("a", 61), "somebody led meanwhile");
    assert_eq!(get(leadership.claim("b", LONG, 99)).await, lead("a", 61));
}

fn lead(holder: &str, epoch: u64) -> Lead {
    Lead { holder: holder.into(), epoch }
}
