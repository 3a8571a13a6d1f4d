use crate::clock::ManualClock;

use super::super::testing::{asked, channel, got, manual_clock, node, session};
use super::*;

const TTL: Duration = Duration::from_secs(60);

struct Fixture {
    presence: MemoryPresence,
    clock: ManualClock,
}

impl Fixture {
    /// With a node `n1`.
    fn new(config: PresenceConfig) -> Self {
        let clock = manual_clock();
        let presence = MemoryPresence::new(config, clock.clock());
        assert_eq!(got(presence.touch(&node("n1"), TTL)), Lease::New);
        Self { presence, clock }
    }

    fn join(&self, name: &str, number: u16) -> Joined {
        let member = Member { session: session(number), user: "ann".into(), info: None, since: Millis::ZERO };
        got(self.presence.join(&channel(name), member, Holder { node: node("n1"), fence: Fence::FIRST }))
    }

    fn leave(&self, name: &str, number: u16) -> bool {
        got(self.presence.leave(&channel(name), session(number), Fence::FIRST)).is_some()
    }

    fn counts(&self) -> (usize, usize, u64) {
        let stats = self.presence.stats();
        (stats.channels, stats.members, stats.refused_total)
    }
}

#[test]
fn a_channel_takes_as_many_members_as_it_may() {
    let fixture = Fixture::new(PresenceConfig { channel_members_max: 2, ..PresenceConfig::default() });

    let joined = [1, 2, 3].map(|number| fixture.join("a", number));
    assert_eq!(joined, [Joined::New, Joined::New, Joined::Full]);
    assert_eq!((fixture.join("a", 2), fixture.join("b", 3)), (Joined::Kept, Joined::New));
    assert_eq!(fixture.counts(), (2, 3, 1));
    assert!(fixture.leave("a", 1));
    assert_eq!(fixture.join("a", 3), Joined::New);
}

#[test]
fn members_are_bounded_over_all_channels() {
    let fixture = Fixture::new(PresenceConfig { members_max: 2, ..PresenceConfig::default() });

    let joined = ["a", "b", "c"].map(|name| fixture.join(name, 1));
    assert_eq!(joined, [Joined::New, Joined::New, Joined::Full]);
    assert_eq!((fixture.join("a", 2), fixture.counts()), (Joined::Full, (2, 2, 2)));
    assert!(fixture.leave("b", 1));
    assert_eq!((fixture.join("a", 2), fixture.counts()), (Joined::New, (1, 2, 2)));
}

#[test]
fn channels_are_bounded_and_a_refused_one_counts_no_member() {
    let fixture = Fixture::new(PresenceConfig { channels_max: 1, ..PresenceConfig::default() });

    assert_eq!([fixture.join("a", 1), fixture.join("b", 1)], [Joined::New, Joined::Full]);
    assert_eq!(fixture.counts(), (1, 1, 1));
    assert!(fixture.leave("a", 1));
    assert_eq!(fixture.counts(), (0, 0, 1));
    assert_eq!(fixture.join("b", 1), Joined::New);
}

#[test]
fn leases_are_bounded_and_one_that_ended_makes_room() {
    let fixture = Fixture::new(PresenceConfig { nodes_max: 1, ..PresenceConfig::default() });

    assert_eq!(asked(fixture.presence.touch(&node("n2"), TTL)), Err(Part::Presence.full()));
    assert_eq!(got(fixture.presence.touch(&node("n1"), TTL)), Lease::Kept);
    fixture.clock.advance(TTL);
    assert_eq!(got(fixture.presence.touch(&node("n2"), TTL)), Lease::New);
    assert_eq!((fixture.presence.stats().nodes, fixture.presence.stats().refused_total), (1, 1));
}

#[test]
fn reaping_gives_back_all_that_ghosts_took() {
    let fixture = Fixture::new(PresenceConfig::default());
    for number in 0..100 {
        assert_eq!(fixture.join(&format!("chat:{}", number % 40), number), Joined::New);
    }
    fixture.clock.advance(TTL);

    assert_eq!(got(fixture.presence.reap(30)).len(), 30);
    assert_eq!(fixture.counts().1, 70);
    assert_eq!(got(fixture.presence.reap(1_000)).len(), 70);
    assert_eq!(fixture.counts(), (0, 0, 0));
    assert_eq!(fixture.presence.stats().reaped_total, 100);
}
