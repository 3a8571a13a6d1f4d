//! Coming back: to the same session, with what was missed; and when there is nothing to come back to.

use std::thread;

use serde_json::{Value, json};
use tidegate_testkit::{Gateway, NativeClient};
use tidegate_wire::close::CloseCode;

use super::{
    connect, connect_with, expect_data, native, open, publish, resume, resume_at, subscriber, token_of,
    token_with,
};

#[test]
fn who_comes_back_finds_user_rights_and_subscriptions_and_gets_what_it_missed_in_order() {
    let gateway = native().start();
    let claims = json!({ "sub": "ann", "tidegate": { "subscribe": ["claimed:*"] } });
    let (mut ann, told) = connect_with(
        &gateway,
        json!({ "token": token_with(&claims), "subscribe": ["talk:tea", "log:tea", "claimed:tea"] }),
    );
    ann.ask("unsubscribe", json!({ "channel": "claimed:tea" }));
    let mut other = connect(&gateway);
    publish(&mut other, "log:tea", 1);
    expect_data(&mut ann, "log:tea", 1);

    cut(&gateway, ann, 1);
    (2..=20).for_each(|number| drop(publish(&mut other, "log:tea", number)));
    publish(&mut other, "talk:tea", "nobody hears this");
    let (mut ann, back) = resume_at(&gateway, &told, "log:tea", &at(&told["channels"]["log:tea"], 1));

    assert_eq!((&back["resumed"], &back["user"]), (&json!(true), &json!("ann")));
    assert_eq!(back["session"], told["session"]);
    let epoch = &told["channels"]["log:tea"]["epoch"];
    let channels = json!({ "talk:tea": {}, "log:tea": { "epoch": epoch, "offset": 1, "recovered": true } });
    assert_eq!(back["channels"], channels);
    publish(&mut other, "log:tea", 21);
    for number in 2..=21 {
        assert_eq!(expect_data(&mut ann, "log:tea", number)["offset"], number);
    }
    publish(&mut other, "talk:tea", "this is heard");
    expect_data(&mut ann, "talk:tea", "this is heard");
    assert!(ann.hears_nothing());
    ann.ask("subscribe", json!({ "channel": "claimed:milk" }));
}

#[test]
fn what_the_history_no_longer_has_is_told_and_none_of_it_is_replayed() {
    let gateway = native().start();
    let mut other = connect(&gateway);
    // Three are kept: who has missed three gets them, who has missed four gets nothing but word of it.
    for (missed, recovered) in [(3, true), (4, false)] {
        let channel = format!("short:{missed}");
        let (ann, told) = connect_with(&gateway, json!({ "subscribe": [channel] }));
        cut(&gateway, ann, 1);
        (1..=missed).for_each(|number| drop(publish(&mut other, &channel, number)));

        let (mut ann, back) = resume_at(&gateway, &told, &channel, &told["channels"][&channel]);

        let subscribed = &back["channels"][&channel];
        assert_eq!((&back["resumed"], &subscribed["recovered"]), (&json!(true), &json!(recovered)));
        if recovered {
            (1..=3).for_each(|number| drop(expect_data(&mut ann, &channel, number)));
        } else {
            assert_eq!(subscribed["offset"], 4, "where it goes on");
        }
        publish(&mut other, &channel, "live");
        expect_data(&mut ann, &channel, "live");
        ann.close(CloseCode::NORMAL);
    }
}

#[test]
fn a_history_that_made_room_for_another_cannot_be_continued_and_its_subscribers_are_told() {
    let gateway = native().set("store.history_channels", "1").start();
    let (mut stays, told) = connect_with(&gateway, json!({ "subscribe": ["log:tea"] }));
    let (leaves, away) = connect_with(&gateway, json!({ "subscribe": ["log:tea"] }));
    let mut other = connect(&gateway);
    publish(&mut other, "log:tea", 1);
    expect_data(&mut stays, "log:tea", 1);
    cut(&gateway, leaves, 2);

    publish(&mut other, "log:milk", "takes the place");
    let anew = publish(&mut other, "log:tea", 2);
    let position = at(&told["channels"]["log:tea"], 1);
    let (mut back, resumed) = resume_at(&gateway, &away, "log:tea", &position);

    assert_ne!(anew["epoch"], position["epoch"]);
    assert_eq!(anew["offset"], 1, "the history began anew");
    assert_eq!(resumed["channels"]["log:tea"]["recovered"], false);
    let gap = json!({ "channel": "log:tea", "epoch": anew["epoch"], "offset": anew["offset"] });
    assert_eq!(stays.expect("gap"), gap, "the first that is not lost");
    assert_eq!(expect_data(&mut stays, "log:tea", 2)["offset"], 1);
    publish(&mut other, "log:tea", 3);
    assert_eq!(expect_data(&mut back, "log:tea", 3)["offset"], 2);
}

#[test]
fn without_a_position_of_the_client_the_servers_own_counts() {
    let gateway = native().start();
    let (mut ann, told) = connect_with(&gateway, json!({ "subscribe": ["log:tea"] }));
    let mut other = connect(&gateway);
    publish(&mut other, "log:tea", 1);
    expect_data(&mut ann, "log:tea", 1);
    cut(&gateway, ann, 1);
    publish(&mut other, "log:tea", 2);

    let (mut ann, back) = resume(&gateway, &told);

    assert_eq!(back["channels"]["log:tea"]["recovered"], true);
    assert_eq!(expect_data(&mut ann, "log:tea", 2)["offset"], 2);
    assert!(ann.hears_nothing());
}

#[test]
fn a_session_that_still_has_a_connection_is_taken_over_and_the_old_one_closed() {
    for workers in ["1", "2"] {
        let gateway = native().set("node.workers", workers).start();
        let mut room = subscriber(&gateway, "room:tea");
        room.expect("join");
        let body = json!({ "token": token_of("ann"), "subscribe": ["room:tea", "log:tea"] });
        let (mut old, told) = connect_with(&gateway, body);
        room.expect("join");

        // Many times, so that with two workers the old one is sometimes on the other.
        for round in 1..=8 {
            let (mut new, back) = resume(&gateway, &told);
            assert_eq!(back["resumed"], true, "round {round}");
            let (_, closing) = old.read_to_closing();
            assert_eq!(closing, json!({ "code": 4503, "name": "taken_over", "reconnect": false }));
            publish(&mut room, "log:tea", round);
            while new.expect("message")["data"] != round {}
            old = new;
        }

        let members = room.ask("presence", json!({ "channel": "room:tea" }))["members"].clone();
        assert_eq!(members.as_array().map(Vec::len), Some(2), "{members}");
        old.ask("unsubscribe", json!({ "channel": "room:tea" }));
        assert_eq!(room.expect("leave")["user"], "ann", "no one came or went in between");
    }
}

#[test]
fn of_many_who_take_a_session_over_at_the_same_time_one_has_it() {
    let gateway = native().set("node.workers", "2").start();
    let (old, told) = connect_with(&gateway, json!({ "subscribe": ["log:tea"] }));
    let body = json!({ "session": told["session"], "resume": told["resume"] });
    let mut rivals: Vec<_> = (0..16).map(|_| open(&gateway)).collect();
    let ids: Vec<_> = rivals.iter_mut().map(|rival| rival.command("connect", body.clone())).collect();

    let taken_over: Vec<NativeClient> = thread::scope(|scope| {
        let closings: Vec<_> = rivals
            .into_iter()
            .chain([old])
            .enumerate()
            .map(|(number, mut rival)| {
                let id = ids.get(number);
                let gateway = &gateway;
                scope.spawn(move || {
                    if let Some(&id) = id {
                        assert_eq!(rival.answer(id)["connect"]["resumed"], true);
                    }
                    // All but one: who is left gets this instead of an end.
                    gateway.await_metric("tidegate_connections_active", &[], 1.0);
                    rival
                })
            })
            .collect();
        closings.into_iter().map(|closing| closing.join().unwrap()).collect()
    });

    let mut other = connect(&gateway);
    publish(&mut other, "log:tea", "to the one");
    let winners = taken_over.into_iter().filter_map(|mut rival| match rival.next_object() {
        closing if closing["closing"]["code"] == 4503 => None,
        message => Some(message["message"]["data"].clone()),
    });
    assert_eq!(winners.collect::<Vec<_>>(), ["to the one"]);
}

#[test]
fn closing_with_1000_or_1001_ends_the_session_and_any_other_ending_keeps_it() {
    let gateway = native().start();
    type End = fn(NativeClient);
    let endings: [(&str, End, bool); 7] = [
        ("1000", |client| client.close(CloseCode::NORMAL), false),
        ("1001", |client| client.close(CloseCode::new(1001)), false),
        ("4000", |client| client.close(CloseCode::new(4000)), true),
        ("3999", |client| client.close(CloseCode::new(3999)), true),
        ("a reset", NativeClient::cut, true),
        ("FIN", |mut client| client.socket().shutdown_write(), true),
        ("a broken frame", |mut client| client.socket().send_bytes(&[0xff; 4]), true),
    ];
    for (ending, end, resumed) in endings {
        let (client, told) = connect_with(&gateway, json!({ "token": token_of("ann") }));
        end(client);
        gateway.await_metric("tidegate_connections_active", &[], 0.0);

        let (client, back) = resume(&gateway, &told);

        assert_eq!(back["resumed"], resumed, "{ending}");
        assert_eq!(back["session"] == told["session"], resumed, "{ending}");
        client.close(CloseCode::NORMAL);
    }
}

#[test]
fn a_session_is_kept_for_its_time_and_no_longer() {
    let gateway = native()
        .set("session.ttl", "1s")
        .set("limits.ping_interval", "1s")
        .set("limits.pings_missed", "100")
        .start();
    let (client, told) = connect_with(&gateway, json!({}));
    assert_eq!(told["session_ttl_ms"], 1_000);
    let mut clock = connect(&gateway);
    cut(&gateway, client, 1);

    // The server's own clock: a question for a sign of life each second.
    (0..3).for_each(|_| assert_eq!(clock.next_object(), json!({})));

    let (_, back) = resume(&gateway, &told);
    assert_eq!(back["resumed"], false);
    assert_ne!(back["session"], told["session"]);
}

#[test]
fn a_session_with_a_connection_does_not_end_however_short_its_time() {
    let gateway = native()
        .set("session.ttl", "1s")
        .set("limits.ping_interval", "1s")
        .set("limits.pings_missed", "100")
        .start();
    let (mut client, told) = connect_with(&gateway, json!({ "subscribe": ["log:tea"] }));

    (0..3).for_each(|_| assert_eq!(client.next_object(), json!({})));
    cut(&gateway, client, 0);

    assert_eq!(resume(&gateway, &told).1["resumed"], true);
}

#[test]
fn positions_count_for_a_new_session_too() {
    let gateway = native().start();
    let (mut client, told) = connect_with(&gateway, json!({ "subscribe": ["log:tea"] }));
    (1..=3).for_each(|number| drop(publish(&mut client, "log:tea", number)));
    client.close(CloseCode::NORMAL);
    let position = at(&told["channels"]["log:tea"], 1);

    let (mut client, back) = connect_with(
        &gateway,
        json!({
            "session": told["session"], "resume": told["resume"],
            "positions": { "log:tea": position }, "subscribe": ["log:tea"],
        }),
    );

    assert_eq!((&back["resumed"], &back["channels"]["log:tea"]["recovered"]), (&json!(false), &json!(true)));
    expect_data(&mut client, "log:tea", 2);
    expect_data(&mut client, "log:tea", 3);
    assert!(client.hears_nothing());
}

#[test]
fn who_comes_back_may_name_further_channels() {
    let gateway = native().start();
    let (client, told) = connect_with(&gateway, json!({ "subscribe": ["talk:tea"] }));
    cut(&gateway, client, 0);

    let (mut client, back) = connect_with(
        &gateway,
        json!({ "session": told["session"], "resume": told["resume"], "subscribe": ["talk:tea", "talk:milk"] }),
    );

    assert_eq!(back["resumed"], true);
    assert_eq!(back["channels"], json!({ "talk:tea": {}, "talk:milk": {} }));
    publish(&mut client, "talk:milk", 1);
    expect_data(&mut client, "talk:milk", 1);
}

/// Loses a connection, and waits until the gateway has noticed and this many are left.
#[track_caller]
fn cut(gateway: &Gateway, client: NativeClient, left: u32) {
    client.cut();
    gateway.await_metric("tidegate_connections_active", &[], f64::from(left));
}

fn at(position: &Value, offset: u64) -> Value {
    json!({ "epoch": position["epoch"], "offset": offset })
}
