//! What a session costs while nothing happens, and that the commands of every day allocate nothing in it.

use allocation_counter::measure;
use tidegate_protocol::command::{self, ParseLimits};
use tidegate_protocol::event::Objects;
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::position::{Epoch, Position};
use tidegate_protocol::time::Millis;
use tidegate_session::{Cx, Delivery, Effect, Identity, Opened, Policy, Session, Subscribed};

const NOW: Millis = Millis::new(1_000_000);

fn call<T>(
    session: &mut Session,
    out: &mut Objects,
    policy: &Policy,
    call: impl FnOnce(&mut Session, &mut Cx<'_>) -> T,
) -> T {
    call(session, &mut Cx { now: NOW, policy, out })
}

fn at(offset: u64) -> Position {
    Position { epoch: Epoch::new(1), offset }
}

/// A session that is connected and has one live subscription.
fn live_session(out: &mut Objects, policy: &Policy, identity: Identity, node: NodeName) -> Session {
    let mut session = Session::new(NOW, policy);
    let object = r#"{"id":1,"connect":{"subscribe":["room:1"]}}"#;
    let request = command::parse(object, &ParseLimits::default()).expect("a good command");
    call(&mut session, out, policy, |session, cx| {
        session.handle_command(request, object, cx);
        session.handle_authenticated(Ok(identity), cx);
        session.poll_effect();
        let (id, resume) = (SessionId::from_bytes([1; 16]), ResumeSecret::from_bytes([2; 16]));
        session.handle_opened(Ok(Opened::New { session: id, resume, node }), cx);
        let Some(Effect::Subscribe { channel, ask, .. }) = session.poll_effect() else {
            panic!("the subscription is asked for");
        };
        let answer = Subscribed { head: Some(at(4)), recovered: None, replay: Vec::new() };
        session.handle_subscribed(channel.as_str(), ask, Ok(answer), cx);
    });
    session
}

#[test]
fn an_idle_session_with_one_subscription_is_small_and_delivering_to_it_allocates_nothing() {
    let policy = Policy::default();
    let mut out = Objects::new();
    // Room for everything that will be told, so that only the session's own memory is counted.
    out.push_encoded(&[b' '; 8192]);
    out.clear();
    let (user, node) = ("ada".into(), NodeName::parse("node").unwrap());
    let identity = Identity { user, expires_at: None, channels: Vec::new() };
    let mut live = None;
    // The names of node and user are shared with the node and the token's claims.
    let (lent_identity, lent_node) = (identity.clone(), node.clone());
    let cost = measure(|| live = Some(live_session(&mut out, &policy, lent_identity, lent_node)));
    let mut session = live.unwrap();
    let total = size_of::<Session>() as i64 + cost.bytes_current;
    println!("{} bytes in place, {} on the heap", size_of::<Session>(), cost.bytes_current);
    assert!(total <= 400, "{total} bytes");

    let object = br#"{"message":{"channel":"room:1","data":1,"offset":5}}"#;
    let delivered = measure(|| {
        call(&mut session, &mut out, &policy, |session, cx| {
            assert_eq!(
                session.handle_live("room:1", Some(at(5)), object, cx),
                Some(Delivery::Live),
                "from here on the hub delivers"
            );
        });
    });
    assert_eq!(delivered.count_total, 0);
}

#[test]
fn a_publish_allocates_nothing_on_its_way_through_the_session() {
    let policy = Policy::default();
    let mut out = Objects::new();
    let identity = Identity { user: "ada".into(), expires_at: None, channels: Vec::new() };
    let mut session = live_session(&mut out, &policy, identity, NodeName::parse("node").unwrap());
    let object = r#"{"publish":{"channel":"room:1","data":{"text":"hello"}}}"#;
    let cost = measure(|| {
        let request = command::parse(object, &ParseLimits::default()).unwrap();
        call(&mut session, &mut out, &policy, |session, cx| {
            let Some(Effect::Publish { to, publish }) = session.handle_command(request, object, cx) else {
                panic!("a publish is an effect");
            };
            assert_eq!((to.id, publish.data.as_str()), (None, r#"{"text":"hello"}"#));
        });
    });

    assert_eq!(cost.count_total, 0);
}
