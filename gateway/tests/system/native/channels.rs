//! Subscribe, unsubscribe and publish: who may, how often, and what is answered.

use serde_json::{Value, json};

use super::{
    connect, connect_as, connect_with, expect_data, expect_mixed, native, publish, publish_mixed, subscriber,
    token_with,
};

#[test]
fn subscribers_get_what_is_published_with_its_user_and_nobody_else_does() {
    let gateway = native().start();
    let (mut tea, mut coffee) = (subscriber(&gateway, "talk:tea"), subscriber(&gateway, "talk:coffee"));
    let mut ann = connect_as(&gateway, "ann");

    assert_eq!(publish(&mut ann, "talk:tea", json!({ "milk": [1, 2] })), json!({}));

    let message = tea.expect("message");
    assert_eq!(message, json!({ "channel": "talk:tea", "data": { "milk": [1, 2] }, "from": "ann" }));
    publish(&mut connect(&gateway), "talk:tea", "anonymous");
    assert_eq!(tea.expect("message"), json!({ "channel": "talk:tea", "data": "anonymous" }));
    assert!(coffee.hears_nothing());
}

#[test]
fn commands_without_id_get_no_reply_but_errors() {
    let gateway = native().start();
    let mut client = connect(&gateway);

    client.say_all(&[
        json!({ "subscribe": { "channel": "talk:tea" } }),
        json!({ "publish": { "channel": "talk:tea", "data": 1 } }),
    ]);
    assert_eq!(client.next_object(), json!({ "message": { "channel": "talk:tea", "data": 1 } }));
    client.say_all(&[
        json!({ "publish": { "channel": "news:today", "data": 1 } }),
        json!({ "unsubscribe": { "channel": "talk:tea" } }),
        json!({ "unsubscribe": { "channel": "talk:tea" } }),
    ]);

    let (forbidden, not_subscribed) = (client.next_object(), client.next_object());
    assert_eq!(forbidden["error"]["code"], "forbidden");
    assert_eq!(not_subscribed["error"]["code"], "not_subscribed");
    assert!(forbidden.get("id").is_none() && not_subscribed.get("id").is_none());
    assert!(client.hears_nothing());
}

#[test]
fn the_reply_to_a_subscribe_comes_before_its_messages() {
    let gateway = native().start();
    let mut client = connect(&gateway);

    for channel in ["talk:tea", "log:tea"] {
        client.say_all(&[
            json!({ "id": 901, "subscribe": { "channel": channel } }),
            json!({ "publish": { "channel": channel, "data": 1 } }),
        ]);
        assert_eq!(client.next_object()["id"], 901, "{channel}");
        expect_data(&mut client, channel, 1);
    }
}

#[test]
fn without_history_publications_of_a_client_come_in_its_order_whether_they_have_keys_or_not() {
    for workers in ["1", "2"] {
        let gateway = native().set("node.workers", workers).start();
        let mut readers = [(); 3].map(|()| subscriber(&gateway, "talk:tea"));
        publish_mixed(&mut connect(&gateway), "talk:tea");
        readers.iter_mut().for_each(|reader| expect_mixed(reader, "talk:tea"));
    }
}

#[test]
fn no_message_overtakes_the_reply_to_its_subscribe_whatever_follows_in_the_same_turn() {
    let gateway = native().start();
    for second in ["talk:milk", "log:milk"] {
        let mut client = connect(&gateway);
        client.say_all(&[
            json!({ "id": 901, "subscribe": { "channel": "talk:tea" } }),
            json!({ "publish": { "channel": "talk:tea", "data": 1 } }),
            json!({ "id": 902, "subscribe": { "channel": second } }),
        ]);

        assert_eq!(client.next_object()["id"], 901, "before the message, with {second}");
        client.answer(902);
        expect_data(&mut client, "talk:tea", 1);
    }
    let mut client = connect(&gateway);
    let large = "x".repeat(300_000);
    client.say_all(&[
        json!({ "id": 901, "subscribe": { "channel": "talk:tea" } }),
        json!({ "publish": { "channel": "talk:tea", "data": large } }),
        json!({ "publish": { "channel": "talk:tea", "data": large } }),
    ]);
    assert_eq!(client.next_object()["id"], 901);
}

#[test]
fn a_channel_is_subscribed_to_once_and_left_once() {
    let gateway = native().start();
    let mut client = subscriber(&gateway, "talk:tea");

    assert_eq!(client.refused("subscribe", json!({ "channel": "talk:tea" })).code, "already_subscribed");
    publish(&mut client, "talk:tea", 1);
    expect_data(&mut client, "talk:tea", 1);
    assert_eq!(client.ask("unsubscribe", json!({ "channel": "talk:tea" })), json!({}));
    assert_eq!(client.refused("unsubscribe", json!({ "channel": "talk:tea" })).code, "not_subscribed");
    publish(&mut connect(&gateway), "talk:tea", 2);
    assert!(client.hears_nothing());
    gateway.await_metric("tidegate_channels", &[], 0.0);
}

#[test]
fn a_publication_goes_to_a_publisher_that_is_subscribed_too_and_needs_no_subscription() {
    let gateway = native().start();
    let mut both = subscriber(&gateway, "talk:tea");
    let mut publisher = connect(&gateway);

    publish(&mut publisher, "talk:tea", 1);
    expect_data(&mut both, "talk:tea", 1);
    publish(&mut both, "talk:tea", 2);
    expect_data(&mut both, "talk:tea", 2);
    assert!(publisher.hears_nothing());
}

#[test]
fn each_namespace_says_who_may_do_what() {
    let gateway = native().start();
    let claims =
        json!({ "sub": "ann", "tidegate": { "subscribe": ["claimed:*"], "publish": ["claimed:tea"] } });
    let mut nobody = connect(&gateway);
    let mut bob = connect_as(&gateway, "bob");
    let (mut ann, _) = connect_with(&gateway, json!({ "token": token_with(&claims) }));

    // Channel, whether one without user, a user, and a user with a claim may subscribe; the same for publish.
    let rules = [
        ("lobby", [false, true, true], [false, true, true]),
        ("default:lobby", [false, true, true], [false, true, true]),
        ("talk:tea", [true, true, true], [true, true, true]),
        ("claimed:tea", [false, false, true], [false, false, true]),
        ("claimed:milk", [false, false, true], [false, false, false]),
        ("news:today", [true, true, true], [false, false, false]),
        ("closed:door", [false, false, false], [true, true, true]),
    ];
    for (channel, subscribe, publish) in rules {
        let clients = [&mut nobody, &mut bob, &mut ann];
        for ((client, may_subscribe), may_publish) in clients.into_iter().zip(subscribe).zip(publish) {
            let commands = [
                ("subscribe", json!({ "channel": channel }), may_subscribe),
                ("publish", json!({ "channel": channel, "data": 1 }), may_publish),
            ];
            for (command, body, may) in commands {
                if may {
                    client.ask(command, body);
                } else {
                    let refusal = client.refused(command, body);
                    assert_eq!(refusal.code, "forbidden", "{command} {channel}");
                    assert!(refusal.message.contains(&format!("{channel} needs")), "{refusal:?}");
                }
            }
        }
    }
}

#[test]
fn channels_of_an_unknown_namespace_do_not_exist() {
    let gateway = native().start();
    let mut client = connect_as(&gateway, "ann");

    for (command, body) in [
        ("subscribe", json!({ "channel": "nowhere:tea" })),
        ("publish", json!({ "channel": "nowhere:tea", "data": 1 })),
        ("history", json!({ "channel": "nowhere:tea", "limit": 1 })),
        ("presence", json!({ "channel": "nowhere:tea" })),
    ] {
        let refusal = client.refused(command, body);
        assert_eq!(refusal.code, "unknown_channel", "{command}");
        assert!(refusal.message.contains("nowhere"), "{refusal:?}");
    }
}

#[test]
fn one_subscription_over_the_limit_is_refused_until_another_one_ends() {
    let gateway = native().set("session.subscriptions", "3").start();
    let (mut client, connected) = connect_with(&gateway, json!({ "subscribe": ["talk:0"] }));
    assert_eq!(connected["limits"]["subscriptions"], 3);
    client.ask("subscribe", json!({ "channel": "log:1" }));
    client.ask("subscribe", json!({ "channel": "news:2" }));

    let refusal = client.refused("subscribe", json!({ "channel": "talk:3" }));
    assert_eq!(refusal.code, "limit");
    assert!(refusal.message.contains("at most 3"), "{refusal:?}");

    client.ask("unsubscribe", json!({ "channel": "log:1" }));
    client.ask("subscribe", json!({ "channel": "talk:3" }));
    publish(&mut client, "talk:3", 1);
    expect_data(&mut client, "talk:3", 1);
}

#[test]
fn connect_with_more_channels_than_the_limit_gets_those_that_fit() {
    let gateway = native().set("session.subscriptions", "2").start();

    let (mut client, connected) =
        connect_with(&gateway, json!({ "subscribe": ["talk:0", "talk:1", "talk:2"] }));

    assert_eq!(connected["channels"].as_object().map(|told| told.len()), Some(2));
    assert_eq!(client.expect("unsubscribed")["code"], "limit");
}

#[test]
fn the_same_key_is_published_once_on_channels_with_history_and_without() {
    let gateway = native().start();
    for channel in ["talk:tea", "log:tea"] {
        let mut reader = subscriber(&gateway, channel);
        let mut ann = connect_as(&gateway, "ann");
        let keyed = |data: Value| json!({ "channel": channel, "data": data, "key": "order 7" });

        let first = ann.ask("publish", keyed(json!("first")));
        let again = ann.ask("publish", keyed(json!("again")));
        let from_another_connection = connect_as(&gateway, "ann").ask("publish", keyed(json!("again")));
        let from_another_user = connect_as(&gateway, "bob").ask("publish", keyed(json!("bob's")));

        assert!(first.get("duplicate").is_none(), "{first}");
        for answer in [again, from_another_connection] {
            assert_eq!(answer["duplicate"], true, "{channel}");
            assert_eq!(answer.get("offset"), first.get("offset"), "{channel}");
        }
        assert!(from_another_user.get("duplicate").is_none(), "{channel}: keys are each user's own");
        expect_data(&mut reader, channel, "first");
        expect_data(&mut reader, channel, "bob's");
        assert!(reader.hears_nothing());
    }
}

#[test]
fn a_key_of_64_bytes_is_taken_and_one_of_65_is_not() {
    let gateway = native().start();
    let mut client = connect(&gateway);
    let keyed = |bytes: usize| json!({ "channel": "talk:tea", "data": 1, "key": "k".repeat(bytes) });

    client.ask("publish", keyed(64));
    assert_eq!(client.refused("publish", keyed(65)).code, "bad_request");
}

#[test]
fn a_trace_context_travels_with_its_message_and_a_malformed_one_does_not() {
    let gateway = native().start();
    let mut reader = subscriber(&gateway, "log:tea");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut client = connect(&gateway);

    for trace in [trace, "00-nonsense"] {
        client.ask("publish", json!({ "channel": "log:tea", "data": 1, "trace": trace }));
    }

    assert_eq!(reader.expect("message")["trace"], trace);
    assert!(reader.expect("message").get("trace").is_none());
}

#[test]
fn commands_of_one_message_are_answered_together_and_in_order() {
    let gateway = native().start();
    let mut client = connect(&gateway);
    let commands: Vec<_> =
        (1..=20).map(|id| json!({ "id": id, "publish": { "channel": "log:tea", "data": id } })).collect();

    client.say_all(&commands);

    assert_eq!(client.next_batch(), 20, "all replies are ready at the same time: one frame");
    for id in 1..=20 {
        let reply = client.next_object();
        assert_eq!((&reply["id"], &reply["publish"]["offset"]), (&json!(id), &json!(id)));
    }
}
