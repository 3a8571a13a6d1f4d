use std::num::NonZeroU32;
use std::time::Duration;

use tidegate_protocol::command;
use tidegate_protocol::event::Published;
use tidegate_protocol::quota::Rate;

use crate::Policy;
use crate::testing::{Rig, identity, name, new_session, refusal, subscribed_at};

use super::*;

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    Some(Rate::new(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap()))
}

#[test]
fn nothing_comes_before_connect_and_connect_comes_once() {
    let mut rig = Rig::new(Policy::default());
    assert_eq!(rig.command(r#"{"id":1,"subscribe":{"channel":"a"}}"#), None);
    assert_eq!(rig.command(r#"{"publish":{"channel":"a","data":1}}"#), None);
    assert_eq!(rig.command("{}"), None);
    assert!(rig.command(r#"{"id":2,"connect":{}}"#).is_some());
    assert_eq!(rig.command(r#"{"id":3,"connect":{}}"#), None);
    assert_eq!(rig.told(), ["1 error unauthorized", "error unauthorized", "3 error conflict"]);

    let mut rig = Rig::ready(Policy::default());
    assert_eq!(rig.command(r#"{"id":4,"connect":{}}"#), None);
    assert_eq!(rig.told(), ["4 error conflict"]);
}

#[test]
fn commands_behind_connect_wait_for_its_reply_and_keep_their_order() {
    let mut rig = Rig::new(Policy { messages: rate(1, 3), ..Policy::default() });
    rig.command(r#"{"id":1,"connect":{}}"#);
    assert_eq!(rig.command(r#"{"id":2,"subscribe":{"channel":"a"}}"#), None);
    assert_eq!(rig.command(r#"{"id":3,"presence":{"channel":"a"}}"#), None);
    assert_eq!(rig.session.poll_held(), None, "connect is not answered");
    rig.call(|session, cx| {
        session.handle_authenticated(Ok(identity("ada")), cx);
        session.handle_opened(Ok(new_session()), cx);
    });

    let mut given_back = Vec::new();
    while let Some(object) = rig.session.poll_held() {
        let request = command::parse(&object, &command::ParseLimits::default()).unwrap();
        given_back.push(request.id);
        let effect = rig.call(|session, cx| session.handle_command(request, &object, cx).is_some());
        assert!(effect, "its quota was paid when it came in");
    }
    assert_eq!(given_back, [Some(2), Some(3)]);
    assert_eq!(rig.command(r#"{"id":4,"presence":{"channel":"a"}}"#), None);
    assert_eq!(rig.told(), ["1 connect as ada", "4 error limit 1000"], "what comes new is not paid");
}

#[test]
fn commands_behind_connect_are_bounded_in_number_and_bytes() {
    const OBJECT: &str = r#"{"id":2,"presence":{"channel":"a"}}"#;
    for policy in [
        Policy { pending_max: 2, ..Policy::default() },
        Policy { held_bytes_max: 2 * OBJECT.len(), ..Policy::default() },
    ] {
        let mut rig = Rig::new(policy);
        rig.command(r#"{"id":1,"connect":{}}"#);
        rig.command(OBJECT);
        rig.command(OBJECT);
        assert_eq!(rig.told(), [""; 0]);
        rig.command(OBJECT);
        assert_eq!(rig.told(), ["2 error unavailable"]);
    }
}

#[test]
fn commands_that_waited_are_dropped_when_connect_is_refused() {
    let mut rig = Rig::new(Policy::default());
    rig.command(r#"{"id":1,"connect":{}}"#);
    rig.command(r#"{"id":2,"presence":{"channel":"a"}}"#);
    rig.call(|session, cx| session.handle_authenticated(Err(refusal(ErrorCode::Unauthorized)), cx));

    assert_eq!(rig.session.poll_held(), None);
}

#[test]
fn each_command_becomes_its_effect_with_its_id() {
    let mut rig = Rig::ready(Policy::default());
    let to = |id, command| ReplyTo { id, command };

    let publish = rig.command(r#"{"id":2,"publish":{"channel":"a","data":{"x":1}}}"#);
    let Some(Effect::Publish { to: publish_to, publish }) = publish else { panic!("{publish:?}") };
    assert_eq!((publish_to, publish.data.as_str()), (to(Some(2), CommandName::Publish), r#"{"x":1}"#));
    let send = rig.command(r#"{"send":{"user":"bob","data":1}}"#);
    let Some(Effect::Send { to: send_to, .. }) = send else { panic!("{send:?}") };
    assert_eq!(send_to, to(None, CommandName::Send));
    let presence = rig.command(r#"{"id":3,"presence":{"channel":"a"}}"#);
    let Some(Effect::Presence { to: presence_to, channel }) = presence else { panic!("{presence:?}") };
    assert_eq!((presence_to, channel.as_str()), (to(Some(3), CommandName::Presence), "a"));
    let history = rig.command(r#"{"id":4,"history":{"channel":"a","limit":5}}"#);
    let Some(Effect::History { to: history_to, history }) = history else { panic!("{history:?}") };
    assert_eq!((history_to, history.limit), (to(Some(4), CommandName::History), 5));
    assert_eq!(rig.told(), [""; 0]);
}

#[test]
fn an_answer_goes_to_its_command_and_without_an_id_only_an_error_is_told() {
    let mut rig = Rig::ready(Policy::default());
    let to = |id| ReplyTo { id, command: CommandName::Publish };
    rig.replied(to(Some(2)), Ok(Reply::Publish(Published::default())));
    rig.replied(to(None), Ok(Reply::Publish(Published::default())));
    rig.replied(to(Some(3)), Err(refusal(ErrorCode::Forbidden)));
    rig.replied(to(None), Err(refusal(ErrorCode::TooLarge)));

    assert_eq!(rig.told(), ["2 publish", "3 error forbidden", "error too_large"]);
}

#[test]
fn outstanding_commands_are_bounded_and_an_answer_makes_room() {
    let mut rig = Rig::ready(Policy { pending_max: 1, ..Policy::default() });
    let effect = rig.command(r#"{"id":2,"presence":{"channel":"a"}}"#);
    let Some(Effect::Presence { to, .. }) = effect else { panic!("{effect:?}") };
    assert_eq!(rig.command(r#"{"id":3,"publish":{"channel":"a","data":1}}"#), None);
    assert_eq!(rig.told(), ["3 error unavailable"]);

    rig.replied(to, Ok(Reply::Presence { members: Vec::new() }));
    assert!(rig.command(r#"{"id":4,"publish":{"channel":"a","data":1}}"#).is_some());
}

#[test]
fn a_subscription_is_asked_for_answered_and_ended() {
    let mut rig = Rig::ready(Policy::default());
    let ask = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a","last":3}}"#);
    assert_eq!(ask.by, AskedBy::Client);
    assert_eq!(rig.command(r#"{"id":3,"subscribe":{"channel":"a"}}"#), None);
    rig.answer("a", ask, Ok(subscribed_at(4)));
    assert_eq!(rig.command(r#"{"id":4,"subscribe":{"channel":"a"}}"#), None);
    let effect = rig.command(r#"{"id":5,"unsubscribe":{"channel":"a"}}"#);
    assert_eq!(effect, Some(Effect::Unsubscribe { channel: name("a") }));
    assert_eq!(rig.command(r#"{"id":6,"unsubscribe":{"channel":"a"}}"#), None);

    assert_eq!(
        rig.told(),
        [
            "3 error already_subscribed",
            "2 subscribe 1/4",
            "4 error already_subscribed",
            "5 unsubscribe",
            "6 error not_subscribed"
        ]
    );
}

#[test]
fn an_unsubscribe_overtakes_a_subscribe_and_a_late_answer_is_not_taken_for_the_next_one() {
    let mut rig = Rig::ready(Policy::default());
    let first = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    rig.command(r#"{"id":3,"unsubscribe":{"channel":"a"}}"#);
    let second = rig.subscribe(r#"{"id":4,"subscribe":{"channel":"a"}}"#);
    rig.answer("a", first, Ok(subscribed_at(4)));
    assert_eq!(rig.told(), ["2 error conflict", "3 unsubscribe"]);

    rig.answer("a", second, Ok(subscribed_at(5)));
    assert_eq!(rig.told(), ["4 subscribe 1/5"]);
}

#[test]
fn a_refused_subscribe_leaves_nothing_behind() {
    let mut rig = Rig::ready(Policy::default());
    let ask = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    rig.live("a", 1);
    rig.answer("a", ask, Err(refusal(ErrorCode::Forbidden)));

    assert_eq!(rig.told(), ["2 error forbidden"]);
    assert_eq!((rig.session.subscription("a"), rig.session.gated_bytes), (None, 0));
}

#[test]
fn subscriptions_are_bounded() {
    let mut policy = Policy::default();
    policy.limits.subscriptions = 1;
    let mut rig = Rig::ready(policy);
    rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    assert_eq!(rig.command(r#"{"id":3,"subscribe":{"channel":"b"}}"#), None);
    let forced = rig.call(|session, cx| session.handle_forced_subscribe(name("b"), cx));

    assert_eq!(forced.unwrap_err().code, ErrorCode::Limit);
    assert_eq!(rig.told(), ["3 error limit"]);
}

#[test]
fn too_many_messages_are_deferred_first_and_the_stubborn_are_closed() {
    let policy = Policy { messages: rate(10, 2), limit_strikes_max: 2, ..Policy::default() };
    let mut rig = Rig::ready(policy);
    const OBJECT: &str = r#"{"id":2,"presence":{"channel":"a"}}"#;
    assert!(rig.command(OBJECT).is_some(), "connect was the first of two");
    rig.command(OBJECT);
    rig.pass(Duration::from_millis(100));
    assert!(rig.command(OBJECT).is_some(), "the advice was true");
    rig.command(OBJECT);
    rig.command(OBJECT);

    assert_eq!(
        rig.told(),
        [
            "2 error limit 100",
            "2 error limit 100",
            "2 error limit 100",
            "closing 4506 rate_limited stay away"
        ]
    );
}

#[test]
fn strikes_are_forgotten_when_their_window_is_over() {
    let policy = Policy { messages: rate(1, 1), limit_strikes_max: 1, ..Policy::default() };
    let mut rig = Rig::ready(policy);
    for _ in 0..5 {
        assert_eq!(rig.command("{}"), None);
        assert_eq!(rig.told().len(), 1);
        rig.pass(rig.policy.strikes_window);
        rig.command("{}");
    }

    assert_eq!(rig.session.closed(), None);
}

#[test]
fn bytes_have_a_quota_of_their_own() {
    let mut rig = Rig::ready(Policy { bytes: rate(1000, 1), ..Policy::default() });
    rig.pass(Duration::from_secs(1));
    // 50 bytes, which takes 50 ms at this rate.
    assert!(rig.command(r#"{"id":2,"publish":{"channel":"a","data":"123456"}}"#).is_some());
    assert_eq!(rig.command("{}"), None);

    assert_eq!(rig.told(), ["error limit 50"]);
}

#[test]
fn malformed_commands_are_answered_until_there_are_too_many() {
    let mut rig = Rig::ready(Policy { bad_messages_max: 2, ..Policy::default() });
    rig.command("nonsense");
    rig.command(r#"{"id":2,"fly":{}}"#);
    assert_eq!(rig.told(), ["error bad_request", "2 error bad_request"]);
    rig.command(r#"{"id":3,"publish":7}"#);

    assert_eq!(rig.told(), ["3 error bad_request", "closing 4502 bad_message stay away"]);
    assert_eq!(rig.effects(), [Effect::Close { cause: CloseCause::BadMessage }]);
}

#[test]
fn a_quota_that_is_shared_with_others_is_answered_and_counted_like_the_sessions_own() {
    let policy = Policy { messages: rate(1, 1), limit_strikes_max: 2, ..Policy::default() };
    let mut rig = Rig::ready(policy);
    let wait = Duration::from_millis(70);
    rig.call(|session, cx| session.handle_over_quota(Some(2), "your other connections", wait, cx));
    assert_eq!(rig.command(r#"{"id":3,"presence":{"channel":"a"}}"#), None);
    assert_eq!(rig.told(), ["2 error limit 70", "3 error limit 1000"]);
    assert!(rig.session.is_ready());

    rig.call(|session, cx| session.handle_over_quota(None, "your other connections", wait, cx));
    assert_eq!(rig.session.closed(), Some(CloseCause::RateLimited));
    assert_eq!(rig.told(), ["error limit 70", "closing 4506 rate_limited stay away"]);
    rig.call(|session, cx| session.handle_over_quota(None, "your other connections", wait, cx));
    assert!(rig.told().is_empty(), "nothing is said behind closing");
}
