//! What an idle session costs in the stores, by an allocator that counts: the figures in the documentation are these.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;

use tidegate_cluster::answer::Answer;
use tidegate_cluster::clock::ManualClock;
use tidegate_cluster::directory::{NodeRecord, Registered, Registration};
use tidegate_cluster::memory::{MemoryDirectory, MemorySessions};
use tidegate_cluster::sessions::{Changes, Created, Identity, NewSession, Subscription};
use tidegate_cluster::{Directory, Fence, SessionStore};
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::position::{Epoch, Position};
use tidegate_protocol::time::Millis;

const SESSIONS: u64 = 19_000;
const TTL: Duration = Duration::from_secs(120);

/// With a user, claims and a channel name of each session's own; of a crowd in one room, the last would cost nothing.
#[test]
fn an_idle_session_with_one_subscription_costs_less_than_500_bytes_in_both_stores() {
    let clock = ManualClock::new(Millis::new(1_700_000_000_000));
    let sessions = MemorySessions::new(Default::default(), clock.clock());
    let directory = MemoryDirectory::new(Default::default(), clock.clock());
    let node = NodeName::parse("gateway-0").unwrap();
    let _ = now(directory.announce(record(&node), TTL));

    let cost = measure(|| {
        for number in 0..SESSIONS {
            fill(&sessions, &directory, &node, number);
        }
    });

    let bytes = cost.bytes_current / i64::try_from(SESSIONS).unwrap();
    println!("{bytes} bytes a session");
    assert!((200..500).contains(&bytes), "{bytes} bytes a session");
    assert_eq!(sessions.stats().attached as u64, SESSIONS);
    assert_eq!(directory.stats().routes as u64, SESSIONS);
}

#[test]
fn a_position_that_moves_allocates_nothing_that_stays() {
    let clock = ManualClock::new(Millis::new(1_700_000_000_000));
    let sessions = MemorySessions::new(Default::default(), clock.clock());
    let directory = MemoryDirectory::new(Default::default(), clock.clock());
    let node = NodeName::parse("gateway-0").unwrap();
    let _ = now(directory.announce(record(&node), TTL));
    fill(&sessions, &directory, &node, 1);

    let cost = measure(|| {
        for offset in 0..1_000 {
            save(&sessions, id(1), channel(1), offset);
        }
    });
    assert_eq!(cost.bytes_current, 0);
}

fn fill(sessions: &MemorySessions, directory: &MemoryDirectory, node: &NodeName, number: u64) {
    let (session, user) = (id(number), Arc::<str>::from(format!("user-{number}")));
    let new = NewSession {
        session,
        secret: ResumeSecret::from_bytes([7; 16]),
        node: node.clone(),
        fence: Fence::FIRST,
        identity: Identity {
            user: Arc::clone(&user),
            claims: Arc::from(&br#"{"subscribe":["chat:*"],"publish":["chat:*"]}"#[..]),
            token_id: None,
            token_expires_at: Some(Millis::new(1_800_000_000_000)),
        },
        ttl: TTL,
    };
    assert_eq!(now(sessions.create(new)), Created::Owned(Fence::FIRST));
    save(sessions, session, channel(number), 1);
    let registration = Registration { session, user, node: node.clone(), fence: Fence::FIRST };
    assert_eq!(now(directory.register(registration)), Registered::Known);
}

fn save(sessions: &MemorySessions, session: SessionId, channel: ChannelName, offset: u64) {
    let position = Some(Position { epoch: Epoch::new(1), offset });
    let subscribed = vec![Subscription { channel, position }];
    let changes = Changes { subscribed, unsubscribed: Vec::new(), identity: None, ttl: TTL };
    let _ = now(sessions.save(session, Fence::FIRST, changes));
}

fn channel(number: u64) -> ChannelName {
    ChannelName::parse(&format!("chat:room-{number}")).expect("a good name")
}

/// As if random: the finalizer of SplitMix64.
fn id(number: u64) -> SessionId {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
    SessionId::from_bytes(bytes)
}

fn record(node: &NodeName) -> NodeRecord {
    NodeRecord {
        name: node.clone(),
        phase: "serving".into(),
        version: "0.1.0".into(),
        connections: 0,
        capacity: 20_000,
        load_permille: 0,
        started_at: Millis::ZERO,
        admin: None,
    }
}

fn now<T>(answer: Answer<T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.expect("nothing here is at its bound"),
        Poll::Pending => panic!("memory answers at once"),
    }
}
