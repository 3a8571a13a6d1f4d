use std::time::Duration;

use tidegate_protocol::id::ResumeSecret;

use crate::History;
use crate::fence::Fence;
use crate::history::{Append, Read, Retention};
use crate::idempotency::{Idempotency, IdempotencyKey, Scope, Use};
use crate::presence::Presence;
use crate::sessions::{Created, Identity, NewSession, SessionStore};
use crate::sticky::StickyRoutes;

use super::testing::{channel, got, manual_clock, node, session};
use super::*;

#[test]
fn a_sweep_gives_back_what_has_ended_in_every_store() {
    let (clock, ttl) = (manual_clock(), Duration::from_secs(60));
    let config = HistoryConfig { idle_max: ttl, ..HistoryConfig::default() };
    let memory = Memory::new(&MemoryConfig { history: config, ..MemoryConfig::default() }, &clock.clock(), 1);
    let empty = memory.stats();
    let identity =
        Identity { user: "ann".into(), claims: Arc::default(), token_id: None, token_expires_at: None };
    let secret = ResumeSecret::from_bytes([1; 16]);
    let new =
        NewSession { session: session(1), secret, node: node("n1"), fence: Fence::FIRST, identity, ttl };
    assert!(matches!(got(memory.sessions.create(new)), Created::Owned(_)));
    let append = Append {
        channel: &channel("a"),
        retention: Retention { entries_max: 1, ttl },
        key: None,
        data: Arc::from(&b"1"[..]),
        from: None,
        conflate: None,
        trace: None,
    };
    got(memory.history.append(append));
    let key = IdempotencyKey { publisher: "ann", key: "k", window: ttl };
    assert_eq!(got(memory.idempotency.claim(Scope::User("bob"), key)), Use::First);
    got(memory.sticky_routes.put("k", "backend".into(), ttl));
    let full = memory.stats();
    memory.sweep();
    assert_eq!(memory.stats(), full, "nothing has ended yet");

    clock.advance(ttl);
    memory.sweep();
    let swept = memory.stats();
    assert_eq!((swept.sessions.attached, swept.sessions.expired_total), (0, 1));
    assert_eq!((swept.history.streams, swept.history.bytes), (0, 0));
    assert_eq!((swept.idempotency, swept.sticky_routes), (empty.idempotency, empty.sticky_routes));
}

#[test]
fn processes_with_other_seeds_have_other_epochs() {
    let clock = manual_clock().clock();
    let first_epoch = |seed| {
        let memory = Memory::new(&MemoryConfig::default(), &clock, seed);
        got(memory.history.read(&channel("a"), Read::head())).head.epoch
    };

    assert_ne!(first_epoch(1), first_epoch(2));
    assert_eq!(first_epoch(1), first_epoch(1), "the seed is the only randomness in it");
}

#[test]
fn clones_share_their_stores() {
    let memory = Memory::new(&MemoryConfig::default(), &manual_clock().clock(), 1);
    let _ = got(memory.clone().presence.touch(&node("n1"), Duration::from_secs(1)));

    assert_eq!(memory.stats().presence.nodes, 1);
}
