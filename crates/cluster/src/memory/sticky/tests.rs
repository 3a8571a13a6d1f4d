use super::super::testing::{got, manual_clock};
use super::*;

const TTL: Duration = Duration::from_secs(60);

#[test]
fn one_route_too_many_drops_the_one_used_longest_ago() {
    let routes = MemoryStickyRoutes::new(StickyConfig { routes_max: 2 }, manual_clock().clock());
    got(routes.put("a", "x".into(), TTL));
    got(routes.put("b", "x".into(), TTL));
    assert_eq!(routes.stats().evicted_total, 0, "two may be");
    got(routes.get("a"));

    got(routes.claim("c", "x".into(), TTL));
    assert_eq!(["a", "b", "c"].map(|key| got(routes.get(key)).is_some()), [true, false, true]);
    assert_eq!(routes.stats(), StickyStats { routes: 2, evicted_total: 1 });
}

#[test]
fn a_sweep_gives_back_routes_past_their_time() {
    let clock = manual_clock();
    let routes = MemoryStickyRoutes::new(StickyConfig::default(), clock.clock());
    got(routes.put("a", "x".into(), TTL));
    got(routes.put("b", "x".into(), TTL * 2));
    clock.advance(TTL);

    assert!(!got(routes.remove("a")), "it has ended");
    got(routes.put("a", "x".into(), Duration::ZERO));
    assert_eq!(routes.stats().routes, 2);
    routes.sweep();
    assert_eq!(routes.stats(), StickyStats { routes: 1, evicted_total: 0 });
}
