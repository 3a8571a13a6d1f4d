use std::sync::Arc;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::ResumeSecret;

use crate::answer::Unavailable;
use crate::clock::ManualClock;
use crate::sessions::{Attachment, Identity, Subscription};

use super::super::testing::{asked, got, manual_clock, node, session};
use super::*;

const TTL: Duration = Duration::from_secs(60);
const FULL: Result<Created, Unavailable> = Err(Part::Sessions.full());

struct Fixture {
    store: MemorySessions,
    clock: ManualClock,
}

impl Fixture {
    fn new(config: SessionsConfig) -> Self {
        let clock = manual_clock();
        Self { store: MemorySessions::new(config, clock.clock()), clock }
    }

    fn create(&self, number: u16) -> Result<Created, Unavailable> {
        asked(self.store.create(new(number)))
    }

    fn detach(&self, number: u16, ttl: Duration) {
        assert_eq!(got(self.store.detach(session(number), Fence::FIRST, ttl)), Written::Saved);
    }

    fn lives(&self, number: u16) -> bool {
        got(self.store.get(session(number))).is_some()
    }

    fn save(&self, subscribed: &[&str], unsubscribed: &[&str]) -> Result<Written, Unavailable> {
        let owned = |name: &&str| ChannelName::parse(name).unwrap();
        let subscribe = |name| Subscription { channel: owned(name), position: None };
        let changes = Changes {
            subscribed: subscribed.iter().map(subscribe).collect(),
            unsubscribed: unsubscribed.iter().map(owned).collect(),
            identity: None,
            ttl: TTL,
        };
        asked(self.store.save(session(1), Fence::FIRST, changes))
    }
}

const OWNED: Result<Created, Unavailable> = Ok(Created::Owned(Fence::FIRST));

#[test]
fn one_session_too_many_takes_the_place_of_the_detached_one_closest_to_its_end() {
    let fixture = Fixture::new(bounded_to(3));
    for number in 1..=3 {
        assert_eq!(fixture.create(number), OWNED);
    }
    fixture.detach(1, TTL * 2);
    fixture.detach(2, TTL);

    assert_eq!(fixture.create(4), OWNED);
    assert_eq!([1, 2, 3, 4].map(|number| fixture.lives(number)), [true, false, true, true]);
    let stats = fixture.store.stats();
    assert_eq!((stats.attached, stats.detached, stats.evicted_total), (2, 1, 1));
}

#[test]
fn nobody_who_is_connected_makes_room() {
    let fixture = Fixture::new(bounded_to(2));
    assert_eq!([1, 2].map(|number| fixture.create(number)), [OWNED, OWNED]);

    assert_eq!(fixture.create(3), FULL);
    assert_eq!([1, 2, 3].map(|number| fixture.lives(number)), [true, true, false]);
    let stats = fixture.store.stats();
    assert_eq!((stats.attached, stats.evicted_total, stats.refused_total), (2, 0, 1));
}

#[test]
fn a_detached_session_past_its_time_makes_room_and_is_not_counted_as_evicted() {
    let fixture = Fixture::new(bounded_to(2));
    assert_eq!([1, 2].map(|number| fixture.create(number)), [OWNED, OWNED]);
    fixture.detach(1, TTL);
    fixture.detach(2, TTL * 3);
    fixture.clock.advance(TTL);

    assert_eq!(fixture.create(3), OWNED);
    assert_eq!([1, 2, 3].map(|number| fixture.lives(number)), [false, true, true]);
    let stats = fixture.store.stats();
    assert_eq!((stats.expired_total, stats.evicted_total), (1, 0));
}

#[test]
fn a_session_that_was_resumed_is_attached_again_and_makes_no_room() {
    let fixture = Fixture::new(bounded_to(1));
    assert_eq!(fixture.create(1), OWNED);
    fixture.detach(1, TTL);
    let secret = ResumeSecret::from_bytes([7; 16]);
    let resume = Resume { session: session(1), secret, node: node("n2"), ttl: TTL };
    assert!(matches!(got(fixture.store.resume(resume)), Resumed::Owned(_)));

    assert_eq!(fixture.create(2), FULL);
    assert_eq!(got(fixture.store.get(session(1))).unwrap().state, Attachment::Attached);
}

#[test]
fn subscriptions_over_the_bound_are_refused_as_a_whole() {
    let fixture = Fixture::new(SessionsConfig { subscriptions_max: 3, ..SessionsConfig::default() });
    assert_eq!(fixture.create(1), OWNED);
    assert_eq!(fixture.save(&["a", "b", "c"], &[]), Ok(Written::Saved));

    assert_eq!(fixture.save(&["a", "d"], &[]), Err(Part::Sessions.full()));
    assert_eq!(fixture.save(&["a", "b", "c"], &[]), Ok(Written::Saved), "known ones take no room");
    assert_eq!(fixture.save(&["a", "d"], &["b", "x"]), Ok(Written::Saved), "one goes, one comes");
    assert_eq!(fixture.save(&["b", "d"], &["d"]), Err(Part::Sessions.full()), "left and subscribed again");
    let subscriptions = got(fixture.store.get(session(1))).unwrap().subscriptions;
    let names: Vec<_> = subscriptions.iter().map(|subscription| subscription.channel.as_str()).collect();
    assert_eq!((names, fixture.store.stats().refused_total), (vec!["a", "c", "d"], 2));
}

#[test]
fn no_revocation_is_dropped_for_another_but_one_that_ended() {
    let fixture = Fixture::new(SessionsConfig { revocations_max: 2, ..SessionsConfig::default() });
    let revoke = |user: &str, ttl| {
        asked(fixture.store.revoke(Subject::User(user.into()), fixture.clock.clock().now() + ttl))
    };

    assert_eq!([revoke("a", TTL), revoke("b", TTL * 2)], [Ok(()), Ok(())]);
    assert_eq!(revoke("c", TTL), Err(Part::Sessions.full()));
    assert_eq!(revoke("a", TTL), Ok(()), "one that is known takes no room");
    assert!(got(fixture.store.is_revoked(session(1), "a", None)));
    fixture.clock.advance(TTL);
    assert_eq!(revoke("c", TTL), Ok(()));
    assert_eq!((fixture.store.stats().revocations, fixture.store.stats().refused_total), (2, 1));
}

#[test]
fn a_sweep_gives_back_everything_past_its_time() {
    let fixture = Fixture::new(SessionsConfig::default());
    let count = u16::try_from(STEP_MAX).unwrap() * 2 + 1;
    for number in 1..=count {
        assert_eq!(fixture.create(number), OWNED);
    }
    fixture.detach(1, TTL / 2);
    got(fixture.store.revoke(Subject::Session(session(1)), fixture.clock.clock().now() + TTL));
    fixture.store.sweep();
    assert_eq!(fixture.store.stats().expired_total, 0);

    fixture.clock.advance(TTL);
    fixture.store.sweep();
    let stats = fixture.store.stats();
    assert_eq!((stats.attached, stats.detached, stats.revocations), (0, 0, 0));
    assert_eq!(stats.expired_total, u64::from(count));
}

#[test]
fn a_walk_goes_on_over_sessions_that_are_not_wanted() {
    let fixture = Fixture::new(SessionsConfig::default());
    let count = u16::try_from(STEP_MAX).unwrap() * 3;
    for number in 1..=count {
        let on = if number == count { "rare" } else { "common" };
        assert_eq!(got(fixture.store.create(NewSession { node: node(on), ..new(number) })), OWNED.unwrap());
    }

    let rare = node("rare");
    let page = got(fixture.store.list(Filter::Node(&rare), None, 10));
    assert_eq!((page.sessions.len(), page.next), (1, None));
    assert_eq!(page.sessions[0].session, session(count));
    assert_eq!(got(fixture.store.list(Filter::All, None, usize::MAX)).sessions.len(), usize::from(count));
}

fn bounded_to(sessions_max: usize) -> SessionsConfig {
    SessionsConfig { sessions_max, ..SessionsConfig::default() }
}

fn new(number: u16) -> NewSession {
    NewSession {
        session: session(number),
        secret: ResumeSecret::from_bytes([7; 16]),
        node: node("n1"),
        fence: Fence::FIRST,
        identity: Identity {
            user: "ann".into(),
            claims: Arc::default(),
            token_id: None,
            token_expires_at: None,
        },
        ttl: TTL,
    }
}
