use crate::clock::ManualClock;

use super::super::testing::{asked, got, manual_clock, node, session};
use super::*;

const TTL: Duration = Duration::from_secs(60);

struct Fixture {
    directory: MemoryDirectory,
    clock: ManualClock,
}

impl Fixture {
    fn new(config: DirectoryConfig) -> Self {
        let clock = manual_clock();
        Self { directory: MemoryDirectory::new(config, clock.clock()), clock }
    }

    fn announce(&self, name: &str, ttl: Duration) -> Option<Lease> {
        let record = NodeRecord {
            name: node(name),
            phase: "serving".into(),
            version: "1".into(),
            connections: 0,
            capacity: 0,
            load_permille: 0,
            started_at: Millis::ZERO,
            admin: None,
        };
        asked(self.directory.announce(record, ttl)).ok()
    }

    fn register(&self, number: u16, on: &str) -> Option<Registered> {
        let registration = Registration {
            session: session(number),
            user: "ann".into(),
            node: node(on),
            fence: Fence::FIRST,
        };
        asked(self.directory.register(registration)).ok()
    }
}

#[test]
fn routes_over_the_bound_are_refused() {
    let fixture = Fixture::new(DirectoryConfig { routes_max: 2, ..DirectoryConfig::default() });
    fixture.announce("n1", TTL);

    let known = Some(Registered::Known);
    assert_eq!([1, 2, 3].map(|number| fixture.register(number, "n1")), [known, known, None]);
    assert_eq!(fixture.register(2, "n1"), known, "one that is known takes no room");
    assert!(got(fixture.directory.unregister(session(1), Fence::FIRST)));
    assert_eq!(fixture.register(3, "n1"), known);
    assert_eq!((fixture.directory.stats().routes, fixture.directory.stats().refused_total), (2, 1));
}

#[test]
fn routes_of_a_dead_node_make_room_for_others() {
    let fixture = Fixture::new(DirectoryConfig { routes_max: 2, ..DirectoryConfig::default() });
    fixture.announce("dead", TTL);
    fixture.announce("alive", TTL * 2);
    for number in 1..=2 {
        assert_eq!(fixture.register(number, "dead"), Some(Registered::Known));
    }
    fixture.clock.advance(TTL);

    assert_eq!(fixture.register(3, "alive"), Some(Registered::Known));
    let stats = fixture.directory.stats();
    assert_eq!((stats.routes, stats.nodes, stats.dropped_total, stats.refused_total), (1, 1, 2, 0));
}

#[test]
fn a_sweep_drops_the_routes_of_dead_nodes_only() {
    let fixture = Fixture::new(DirectoryConfig::default());
    fixture.announce("dead", TTL);
    fixture.announce("alive", TTL * 2);
    let count = u16::try_from(STEP_MAX).unwrap() * 3;
    for number in 1..=count {
        let on = if number % 3 == 0 { "alive" } else { "dead" };
        assert_eq!(fixture.register(number, on), Some(Registered::Known));
    }
    fixture.directory.sweep();
    assert_eq!(fixture.directory.stats().dropped_total, 0);

    fixture.clock.advance(TTL);
    fixture.directory.sweep();
    let stats = fixture.directory.stats();
    assert_eq!((stats.routes, stats.dropped_total), (STEP_MAX, 2 * STEP_MAX as u64));
    let found = got(fixture.directory.locate(Target::User("ann"), usize::MAX));
    assert_eq!(found.len(), STEP_MAX);
}

#[test]
fn nodes_over_the_bound_are_refused() {
    let fixture = Fixture::new(DirectoryConfig { nodes_max: 1, ..DirectoryConfig::default() });

    assert_eq!(fixture.announce("n1", TTL), Some(Lease::New));
    assert_eq!(fixture.announce("n2", TTL), None);
    got(fixture.directory.withdraw(&node("n1")));
    assert_eq!(fixture.announce("n2", TTL), Some(Lease::New));
    assert_eq!((fixture.directory.stats().nodes, fixture.directory.stats().refused_total), (1, 1));
}
