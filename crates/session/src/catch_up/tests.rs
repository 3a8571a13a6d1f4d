use tidegate_protocol::position::Epoch;

use crate::Policy;
use crate::testing::{Rig, at, name, recovered, refusal, subscribed_at};

use super::*;

const FROM_THREE: &str = r#"{"id":2,"subscribe":{"channel":"a","position":{"epoch":"1","offset":3}}}"#;

fn gated(offset: u64) -> Option<Delivery> {
    Some(Delivery::Gated { delivered: Some(at(offset)) })
}

/// Asks for everything behind offset 3.
fn asking(policy: Policy) -> (Rig, Ask) {
    let mut rig = Rig::ready(policy);
    let ask = rig.subscribe(FROM_THREE);
    (rig, ask)
}

/// The one question that is asked again.
fn reread(rig: &mut Rig, from: u64) -> Ask {
    let asks = rig.asks();
    let [(channel, start, ask)] = &asks[..] else { panic!("{asks:?}") };
    assert_eq!((channel.as_str(), *start, ask.by), ("a", StartFrom::Position(at(from)), AskedBy::Gate));
    *ask
}

#[test]
fn live_messages_wait_for_the_reply_and_the_replay_and_come_once() {
    let (mut rig, ask) = asking(Policy::default());
    for offset in [5, 6, 7] {
        assert_eq!(rig.live("a", offset), gated(3));
    }
    assert_eq!(rig.told(), [""; 0]);
    rig.answer("a", ask, Ok(recovered("a", 4, 6)));

    assert_eq!(
        rig.told(),
        ["2 subscribe 1/3 recovered", "message a 4", "message a 5", "message a 6", "message a 7"]
    );
    assert_eq!(rig.session.subscription("a"), Some(Delivery::Live));
    assert_eq!(rig.session.gated_bytes, 0);
}

#[test]
fn a_history_ahead_of_the_hub_is_not_delivered_twice() {
    let (mut rig, ask) = asking(Policy::default());
    rig.answer("a", ask, Ok(recovered("a", 4, 6)));
    rig.told();
    assert_eq!(rig.live("a", 5), gated(6));
    assert_eq!(rig.live("a", 6), Some(Delivery::Live));
    assert_eq!(rig.told(), [""; 0]);

    let (mut rig, ask) = asking(Policy::default());
    rig.answer("a", ask, Ok(recovered("a", 4, 6)));
    rig.told();
    assert_eq!(rig.live("a", 7), Some(Delivery::Live));
    assert_eq!(rig.told(), ["message a 7"]);
}

#[test]
fn what_a_plain_subscribe_was_told_to_be_before_its_start_is_not_delivered() {
    let mut rig = Rig::ready(Policy::default());
    let ask = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    rig.live("a", 8);
    rig.live("a", 9);
    rig.live("a", 10);
    rig.answer("a", ask, Ok(subscribed_at(9)));

    assert_eq!(rig.told(), ["2 subscribe 1/9", "message a 10"]);
}

#[test]
fn the_newest_messages_are_replayed_behind_the_position_in_front_of_them() {
    let mut rig = Rig::ready(Policy::default());
    let ask = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a","last":2}}"#);
    rig.answer("a", ask, Ok(Subscribed { recovered: None, ..recovered("a", 8, 9) }));

    assert_eq!(rig.told(), ["2 subscribe 1/7", "message a 8", "message a 9"]);
}

#[test]
fn nothing_of_a_gap_that_cannot_be_filled_is_replayed() {
    let (mut rig, ask) = asking(Policy::default());
    rig.live("a", 9);
    rig.live("a", 10);
    rig.answer("a", ask, Ok(Subscribed { recovered: Some(false), ..recovered("a", 7, 9) }));

    assert_eq!(rig.told(), ["2 subscribe 1/9 not recovered", "message a 10"]);
}

#[test]
fn a_channel_without_history_keeps_the_order_of_arrival() {
    let mut rig = Rig::ready(Policy::default());
    let ask = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    assert_eq!(rig.passing("a"), Some(Delivery::Gated { delivered: None }));
    rig.answer("a", ask, Ok(Subscribed::default()));
    assert_eq!(rig.told(), ["2 subscribe", "message a"]);
    assert_eq!(rig.session.subscription("a"), Some(Delivery::Live));

    assert_eq!(rig.passing("a"), Some(Delivery::Live));
    assert_eq!(rig.told(), ["message a"]);
}

#[test]
fn a_gate_of_a_channel_without_history_that_ran_over_says_that_something_is_lost() {
    let mut rig = Rig::ready(Policy { gate_messages_max: 1, ..Policy::default() });
    let ask = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    rig.passing("a");
    rig.passing("a");
    rig.answer("a", ask, Ok(Subscribed::default()));

    assert_eq!(rig.told(), ["2 subscribe", "gap a", "message a"]);
}

#[test]
fn a_hole_between_the_replay_and_the_gate_is_read_again() {
    let (mut rig, ask) = asking(Policy::default());
    rig.live("a", 7);
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));
    assert_eq!(rig.told(), ["2 subscribe 1/3 recovered", "message a 4", "message a 5"]);
    let ask = reread(&mut rig, 5);
    rig.live("a", 8);
    rig.answer("a", ask, Ok(recovered("a", 6, 7)));

    assert_eq!(rig.told(), ["message a 6", "message a 7", "message a 8"]);
    assert_eq!(rig.session.subscription("a"), Some(Delivery::Live));
}

#[test]
fn a_hole_in_front_of_the_first_live_message_is_read_again() {
    let (mut rig, ask) = asking(Policy::default());
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));
    rig.told();
    assert_eq!(rig.live("a", 7), gated(5));
    let ask = reread(&mut rig, 5);
    assert_eq!(rig.told(), [""; 0]);
    rig.answer("a", ask, Ok(recovered("a", 6, 6)));

    assert_eq!(rig.told(), ["message a 6", "message a 7"]);
    assert_eq!(rig.session.subscription("a"), Some(Delivery::Live));
}

#[test]
fn a_gate_that_ran_over_is_read_again_and_nothing_is_lost() {
    let (mut rig, ask) = asking(Policy { gate_messages_max: 2, ..Policy::default() });
    for offset in 4..=9 {
        rig.live("a", offset);
    }
    assert_eq!(rig.session.gated_bytes, 0);
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));
    rig.told();
    let ask = reread(&mut rig, 5);
    rig.live("a", 10);
    rig.answer("a", ask, Ok(recovered("a", 6, 9)));

    assert_eq!(rig.told(), ["message a 6", "message a 7", "message a 8", "message a 9", "message a 10"]);
}

#[test]
fn all_gates_of_a_session_share_one_bound_in_bytes() {
    let mut rig = Rig::ready(Policy::default());
    let ask_a = rig.subscribe(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    let ask_b = rig.subscribe(r#"{"id":3,"subscribe":{"channel":"b"}}"#);
    rig.live("a", 1);
    rig.policy.gate_bytes_max = rig.session.gated_bytes;
    rig.live("b", 1);
    rig.answer("a", ask_a, Ok(subscribed_at(0)));
    assert_eq!(rig.told(), ["2 subscribe 1/0", "message a 1"]);

    rig.answer("b", ask_b, Ok(subscribed_at(0)));
    assert_eq!(rig.told(), ["3 subscribe 1/0"]);
    assert_eq!(rig.asks().len(), 1);
}

#[test]
fn a_hole_that_stays_is_told_after_some_readings() {
    let (mut rig, ask) = asking(Policy { gate_reads_max: 2, ..Policy::default() });
    rig.live("a", 8);
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));
    rig.told();
    let ask = reread(&mut rig, 5);
    rig.answer("a", ask, Err(refusal(ErrorCode::Unavailable)));
    let ask = reread(&mut rig, 5);
    rig.answer("a", ask, Ok(subscribed_at(5)));

    assert_eq!(rig.told(), ["gap a 1/8", "message a 8"]);
    assert_eq!(rig.effects(), []);
    assert_eq!(rig.session.subscription("a"), Some(Delivery::Live));
}

#[test]
fn a_reading_that_finds_the_missing_ones_gone_is_told_as_a_gap() {
    let (mut rig, ask) = asking(Policy::default());
    rig.live("a", 7);
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));
    rig.told();
    let ask = reread(&mut rig, 5);
    rig.live("a", 8);
    rig.answer("a", ask, Ok(Subscribed { recovered: Some(false), ..subscribed_at(7) }));

    assert_eq!(rig.told(), ["gap a 1/8", "message a 8"]);
}

#[test]
fn a_new_epoch_is_read_again_and_told_as_a_gap() {
    let (mut rig, ask) = asking(Policy::default());
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));
    rig.told();
    let new = |offset| Position { epoch: Epoch::new(2), offset };
    rig.live_at("a", new(1));
    rig.live_at("a", new(2));
    let ask = reread(&mut rig, 5);
    let head = Some(new(1));
    rig.answer("a", ask, Ok(Subscribed { head, recovered: Some(false), replay: Vec::new() }));

    assert_eq!(rig.told(), ["gap a 2/2", "message a 2"]);
    assert_eq!(rig.session.subscription("a"), Some(Delivery::Live));
}

#[test]
fn a_message_of_an_epoch_that_history_does_not_know_is_dropped_in_the_end() {
    let (mut rig, ask) = asking(Policy { gate_reads_max: 1, ..Policy::default() });
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));
    rig.told();
    rig.live_at("a", Position { epoch: Epoch::new(7), offset: 1 });
    let ask = reread(&mut rig, 5);
    rig.live("a", 6);
    rig.answer("a", ask, Ok(subscribed_at(5)));

    assert_eq!(rig.told(), ["message a 6"]);
    assert_eq!(rig.session.subscription("a"), Some(Delivery::Live));
}

#[test]
fn what_the_server_subscribes_comes_without_a_reply_and_goes_with_a_notice() {
    let mut rig = Rig::ready(Policy::default());
    rig.call(|session, cx| session.handle_forced_subscribe(name("a"), cx)).unwrap();
    let twice = rig.call(|session, cx| session.handle_forced_subscribe(name("a"), cx));
    assert_eq!(twice.unwrap_err().code, ErrorCode::AlreadySubscribed);
    let asks = rig.asks();
    assert_eq!(asks[0].2.by, AskedBy::Server);
    rig.live("a", 5);
    rig.answer("a", asks[0].2, Ok(subscribed_at(4)));
    assert_eq!(rig.told(), ["message a 5"]);

    let error = ErrorBody::new(ErrorCode::Forbidden, "no longer");
    assert!(rig.call(|session, cx| session.handle_forced_unsubscribe("a", &error, cx)));
    assert!(!rig.call(|session, cx| session.handle_forced_unsubscribe("a", &error, cx)));
    assert_eq!(rig.told(), ["unsubscribed a forbidden"]);
    assert_eq!(rig.effects(), [Effect::Unsubscribe { channel: name("a") }]);
}

#[test]
fn a_subscribe_that_the_server_overrules_gets_one_answer() {
    let (mut rig, ask) = asking(Policy::default());
    let error = ErrorBody::new(ErrorCode::Forbidden, "no longer");
    assert!(rig.call(|session, cx| session.handle_forced_unsubscribe("a", &error, cx)));
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));

    assert_eq!(rig.told(), ["2 error forbidden"]);
}

#[test]
fn a_subscription_that_is_ahead_of_the_hub_is_told_when_the_hub_goes_on_elsewhere() {
    let (mut rig, ask) = asking(Policy::default());
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));
    rig.told();
    let hub_goes_on = |rig: &mut Rig, next| {
        rig.call(|session, cx| session.handle_gap("a", next, cx));
    };
    hub_goes_on(&mut rig, at(5));
    assert_eq!(rig.told(), Vec::<String>::new(), "it has got further");
    hub_goes_on(&mut rig, Position { epoch: Epoch::new(8), offset: 1 });
    assert_eq!(rig.told(), ["gap a 8/1"]);
}

#[test]
fn an_answer_from_before_the_hub_went_on_elsewhere_is_not_the_last_one() {
    let (mut rig, ask) = asking(Policy::default());
    rig.answer("a", ask, Ok(recovered("a", 4, 5)));
    rig.told();
    rig.live("a", 7);
    let ask = reread(&mut rig, 5);
    let next = Position { epoch: Epoch::new(8), offset: 1 };
    rig.call(|session, cx| session.handle_gap("a", next, cx));
    rig.answer("a", ask, Ok(recovered("a", 6, 7)));
    assert_eq!(rig.told(), ["message a 6", "message a 7"]);

    let ask = reread(&mut rig, 7);
    let head = Position { offset: 0, ..next };
    rig.answer("a", ask, Ok(Subscribed { head: Some(head), recovered: Some(false), replay: Vec::new() }));
    assert_eq!(rig.told(), ["gap a 8/1"]);
}
