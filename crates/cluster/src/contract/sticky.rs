//! What every [`StickyRoutes`] promises.

use crate::sticky::StickyRoutes;

use super::{Harness, LONG, PAST_SOON, SOON, get};

/// Checks every rule, each on fresh routes.
pub async fn check(harness: &impl Harness<dyn StickyRoutes>) {
    the_first_claim_decides_where_a_key_goes(harness).await;
    a_put_goes_over_a_claim(harness).await;
    a_route_ends_with_its_ttl_unless_it_is_touched(harness).await;
    a_removed_route_is_gone(harness).await;
}

async fn the_first_claim_decides_where_a_key_goes(harness: &impl Harness<dyn StickyRoutes>) {
    let routes = harness.fresh().await;
    assert_eq!(get(routes.get("k")).await, None);

    let under_way: Vec<_> =
        ["a", "b", "c"].into_iter().map(|backend| routes.claim("k", backend.into(), LONG)).collect();
    let mut winners = Vec::new();
    for answer in under_way {
        winners.push(get(answer).await);
    }
    assert!(winners.iter().all(|winner| *winner == winners[0]), "{winners:?}");
    assert_eq!(get(routes.get("k")).await.as_ref(), Some(&winners[0]));
    assert_eq!(get(routes.get("other")).await, None);
}

async fn a_put_goes_over_a_claim(harness: &impl Harness<dyn StickyRoutes>) {
    let routes = harness.fresh().await;
    get(routes.claim("k", "a".into(), LONG)).await;

    get(routes.put("k", "b".into(), LONG)).await;
    assert_eq!(get(routes.get("k")).await.as_deref(), Some("b"));
    assert_eq!(&*get(routes.claim("k", "c".into(), LONG)).await, "b");
}

async fn a_route_ends_with_its_ttl_unless_it_is_touched(harness: &impl Harness<dyn StickyRoutes>) {
    let routes = harness.fresh().await;
    for key in ["claimed", "touched", "put"] {
        get(routes.claim(key, "a".into(), SOON)).await;
    }

    assert!(get(routes.touch("touched", LONG)).await);
    get(routes.put("put", "b".into(), LONG)).await;
    harness.pass(PAST_SOON).await;
    assert_eq!(get(routes.get("claimed")).await, None);
    assert!(!get(routes.touch("claimed", LONG)).await);
    assert_eq!(get(routes.get("touched")).await.as_deref(), Some("a"));
    assert_eq!(get(routes.get("put")).await.as_deref(), Some("b"));
    assert_eq!(&*get(routes.claim("claimed", "c".into(), LONG)).await, "c");
}

async fn a_removed_route_is_gone(harness: &impl Harness<dyn StickyRoutes>) {
    let routes = harness.fresh().await;
    get(routes.put("k", "a".into(), LONG)).await;

    assert!(get(routes.remove("k")).await);
    assert!(!get(routes.remove("k")).await);
    assert_eq!(get(routes.get("k")).await, None);
}
