//! What every [`Idempotency`] promises.

use std::time::Duration;

use crate::idempotency::{Idempotency, IdempotencyKey, Scope, Use};

use super::{Harness, LONG, PAST_SOON, SOON, get, session};

/// Checks every rule, each on a fresh store.
pub async fn check(harness: &impl Harness<dyn Idempotency>) {
    a_key_is_first_once_within_its_window(harness).await;
    one_of_several_claims_under_way_together_is_first(harness).await;
    a_key_counts_for_its_scope_and_publisher_only(harness).await;
    a_released_key_is_first_again(harness).await;
}

async fn a_key_is_first_once_within_its_window(harness: &impl Harness<dyn Idempotency>) {
    let store = harness.fresh().await;
    let scope = Scope::Channel("chat:a");

    assert_eq!(get(store.claim(scope, key("ann", "k", SOON))).await, Use::First);
    assert_eq!(get(store.claim(scope, key("ann", "k", SOON))).await, Use::Again);
    harness.pass(PAST_SOON).await;
    assert_eq!(get(store.claim(scope, key("ann", "k", SOON))).await, Use::First);
}

async fn one_of_several_claims_under_way_together_is_first(harness: &impl Harness<dyn Idempotency>) {
    let store = harness.fresh().await;

    let claim = |_| store.claim(Scope::Channel("chat:a"), key("ann", "k", LONG));
    let under_way: Vec<_> = (0..10).map(claim).collect();
    let mut firsts = 0;
    for answer in under_way {
        firsts += usize::from(get(answer).await == Use::First);
    }
    assert_eq!(firsts, 1);
}

async fn a_key_counts_for_its_scope_and_publisher_only(harness: &impl Harness<dyn Idempotency>) {
    let store = harness.fresh().await;
    let places = [
        Scope::Channel("ann"),
        Scope::Channel("bob"),
        Scope::User("ann"),
        Scope::User("bob"),
        Scope::Session(session(1)),
        Scope::Session(session(2)),
    ];

    for expected in [Use::First, Use::Again] {
        for scope in places {
            for (publisher, name) in [("ann", "k"), ("ann", "l"), ("bob", "k"), ("annk", ""), ("", "annk")] {
                let used = get(store.claim(scope, key(publisher, name, LONG))).await;
                assert_eq!(used, expected, "{scope:?} {publisher} {name}");
            }
        }
    }
}

async fn a_released_key_is_first_again(harness: &impl Harness<dyn Idempotency>) {
    let store = harness.fresh().await;
    let scope = Scope::Channel("chat:a");
    get(store.release(scope, key("ann", "k", LONG))).await;

    assert_eq!(get(store.claim(scope, key("ann", "k", LONG))).await, Use::First);
    get(store.release(scope, key("bob", "k", LONG))).await;
    assert_eq!(get(store.claim(scope, key("ann", "k", LONG))).await, Use::Again);
    get(store.release(scope, key("ann", "k", LONG))).await;
    assert_eq!(get(store.claim(scope, key("ann", "k", LONG))).await, Use::First);
    assert_eq!(get(store.claim(scope, key("ann", "k", LONG))).await, Use::Again);
}

fn key<'a>(publisher: &'a str, key: &'a str, window: Duration) -> IdempotencyKey<'a> {
    IdempotencyKey { publisher, key, window }
}
