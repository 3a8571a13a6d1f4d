use std::mem::size_of;

use tidegate_protocol::error::ErrorCode;

use crate::subscriptions::{Stage, Subscription};
use crate::testing::{Rig, at, name, recovered, refusal, resumed, subscribed_at};

use super::*;

#[test]
fn an_idle_session_is_small() {
    println!("a session has {} bytes, a subscription {}", size_of::<Session>(), size_of::<Subscription>());

    assert!(size_of::<Session>() <= 256);
    assert!(size_of::<Subscription>() <= 40);
    assert!(size_of::<Stage>() <= 24);
}

#[test]
fn a_session_that_is_ready_holds_no_memory_for_what_is_over() {
    let mut rig = Rig::ready(Policy::default());
    let ask = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    rig.answer("a", ask, Ok(subscribed_at(4)));
    rig.live("a", 5);
    rig.told();

    assert_eq!(rig.effects(), []);
    assert_eq!(rig.session.effects.capacity(), 0);
    assert!(rig.session.held.is_none());
    assert_eq!(rig.session.gated_bytes, 0);
    assert_eq!(rig.session.subscription("a"), Some(Delivery::Live));
}

#[test]
fn only_the_first_close_counts_and_nothing_follows_it() {
    let mut rig = Rig::ready(Policy::default());
    let ask = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    rig.call(|session, cx| session.close(CloseCause::Revoked, cx));
    rig.call(|session, cx| session.close(CloseCause::Drain, cx));
    rig.answer("a", ask, Ok(subscribed_at(4)));
    assert_eq!(rig.live("a", 5), None);
    assert_eq!(rig.command(r#"{"id":3,"presence":{"channel":"a"}}"#), None);
    rig.call(|session, cx| session.handle_drain(1, 2, CloseCause::Drain, cx));
    rig.call(|session, cx| session.handle_timeout(cx));

    assert_eq!(rig.told(), ["closing 4504 revoked stay away"]);
    assert_eq!(rig.effects(), [Effect::Close { cause: CloseCause::Revoked }]);
    assert_eq!(rig.session.closed(), Some(CloseCause::Revoked));
    assert_eq!(rig.session.deadline(), None);
}

#[test]
fn a_cause_without_a_close_frame_has_no_closing_object() {
    let mut rig = Rig::ready(Policy::default());
    rig.call(|session, cx| session.close(CloseCause::ConnectionLost, cx));

    assert_eq!(rig.told(), [""; 0]);
    assert_eq!(rig.effects(), [Effect::Close { cause: CloseCause::ConnectionLost }]);
}

#[test]
fn a_client_that_says_goodbye_ends_its_session_and_any_other_may_come_back() {
    let rig = Rig::ready(Policy::default());

    for code in [1000, 1001] {
        assert_eq!(rig.session.fate(Some(code)), Fate::End);
    }
    for code in [None, Some(1005), Some(1006), Some(4000)] {
        assert_eq!(rig.session.fate(code), Fate::Detach, "{code:?}");
    }
}

#[test]
fn a_close_of_ours_decides_what_becomes_of_the_session() {
    let fate = |cause| {
        let mut rig = Rig::ready(Policy::default());
        rig.call(|session, cx| session.close(cause, cx));
        rig.session.fate(Some(1000))
    };

    assert_eq!(fate(CloseCause::TakenOver), Fate::Nothing);
    assert_eq!(fate(CloseCause::Revoked), Fate::End);
    assert_eq!(fate(CloseCause::Drain), Fate::Detach);
    assert_eq!(fate(CloseCause::SlowConsumer), Fate::Detach);
}

#[test]
fn before_it_is_opened_there_is_no_session_to_decide_about() {
    let mut rig = Rig::new(Policy::default());
    assert_eq!(rig.session.fate(None), Fate::Nothing);
    rig.command(r#"{"connect":{}}"#);
    rig.call(|session, cx| session.handle_authenticated(Err(refusal(ErrorCode::Unauthorized)), cx));

    assert_eq!(rig.session.fate(None), Fate::Nothing);
    assert_eq!(rig.session.id(), None);
}

/// What would be saved of the session.
fn listed(rig: &Rig) -> Vec<(String, Delivery)> {
    rig.session.subscriptions().map(|(channel, delivery)| (channel.to_string(), delivery)).collect()
}

fn gated(channel: &str, offset: u64) -> (String, Delivery) {
    (channel.into(), Delivery::Gated { delivered: Some(at(offset)) })
}

#[test]
fn subscriptions_are_listed_when_they_are_granted_with_the_positions_that_the_hub_does_not_know() {
    let mut rig = Rig::ready(Policy::default());
    let ask_b = rig.subscribe(r#"{"subscribe":{"channel":"b"}}"#);
    let ask_a = rig.subscribe(r#"{"subscribe":{"channel":"a","position":{"epoch":"1","offset":2}}}"#);
    assert_eq!(listed(&rig), []);
    rig.answer("b", ask_b, Ok(subscribed_at(4)));
    assert_eq!(listed(&rig), [gated("b", 4)]);
    rig.answer("a", ask_a, Ok(recovered("a", 3, 3)));

    assert_eq!(listed(&rig), [gated("a", 3), gated("b", 4)]);
}

#[test]
fn a_resumed_session_keeps_what_it_had_when_it_is_lost_again_before_its_reply() {
    let mut rig = Rig::new(Policy::default());
    rig.command(
        r#"{"id":1,"connect":{"session":"BwcHBwcHBwcHBwcHBwcHBw","resume":"CQkJCQkJCQkJCQkJCQkJCQ","subscribe":["b"]}}"#,
    );
    rig.call(|session, cx| session.handle_opened(Ok(resumed("ada", vec![(name("a"), Some(at(5)))])), cx));
    assert_eq!(listed(&rig), [gated("a", 5)]);

    rig.call(|session, cx| session.close(CloseCause::Drain, cx));
    assert_eq!(listed(&rig), [gated("a", 5)]);
    assert_eq!(rig.session.fate(None), Fate::Detach);
}

#[test]
fn a_drain_notice_goes_out_at_once() {
    let mut rig = Rig::ready(Policy::default());
    rig.call(|session, cx| session.handle_drain(100, 5000, CloseCause::Drain, cx));

    assert_eq!(rig.told(), ["reconnect 100 5000 drain"]);
}
