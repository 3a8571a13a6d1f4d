//! The application's own server, asked at connect, subscribe and publish: its word counts, its silence is a no.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidegate_testkit::{HttpServer, until};

use super::{Bystanders, connect, connect_with, expect_data, native, open, publish, token_of};

const ASKED: &str = r#"
[namespaces.asked]
subscribe = "hook"
publish = "hook"
history_size = 10
"#;

#[test]
fn the_hook_says_who_a_client_is() {
    let questions = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&questions);
    let hook = HttpServer::start(move |question| {
        let question: Value = serde_json::from_str(question).unwrap();
        let asked = question["connect"].clone();
        heard.lock().unwrap().push(asked.clone());
        let answer = match asked["token"].as_str() {
            Some("ticket of ann") => json!({
                "allow": true, "user": "ann", "expires_in_s": 3600,
                "tidegate": { "subscribe": ["claimed:*"], "channels": ["talk:tea"] },
            }),
            Some(_) => json!({ "allow": false, "message": "this ticket was used before" }),
            None => json!({ "allow": true, "user": asked["user"] }),
        };
        Some((200, answer.to_string()))
    });
    let gateway = native().set("auth.hook.connect_url", hook.url()).start();

    let (mut ann, told) = connect_with(&gateway, json!({ "token": "ticket of ann" }));
    assert_eq!((&told["user"], &told["channels"]), (&json!("ann"), &json!({ "talk:tea": {} })));
    assert!(told["token_expires_in_ms"].as_u64().is_some_and(|ms| ms <= 3_600_000), "{told}");
    ann.ask("subscribe", json!({ "channel": "claimed:tea" }));
    let mut used = open(&gateway);
    let refusal = used.refused("connect", json!({ "token": "another ticket" }));
    assert_eq!(refusal.code, "forbidden");
    assert!(refusal.message.contains("this ticket was used before"), "{refusal:?}");
    assert_eq!(used.expect_closing(), 4501);
    let (_bob, told) = connect_with(&gateway, json!({ "token": token_of("bob") }));
    assert_eq!(told["user"], "bob", "a token of ours was found good before");

    let questions = questions.lock().unwrap();
    assert_eq!(questions.len(), 3);
    assert_eq!(questions[0], json!({ "token": "ticket of ann", "address": "127.0.0.1" }));
    assert_eq!(questions[2], json!({ "user": "bob", "address": "127.0.0.1" }), "its token stays here");
}

#[test]
fn the_hook_says_who_may_subscribe_and_publish() {
    let hook = HttpServer::start(|question| {
        let question: Value = serde_json::from_str(question).unwrap();
        let allow = match (question.get("subscribe"), question.get("publish")) {
            (Some(asked), None) => asked["channel"] == "asked:tea" && asked["session"].is_string(),
            (None, Some(asked)) => asked["data"] == json!({ "polite": true }),
            _ => false,
        };
        Some((200, json!({ "allow": allow, "message": "not like this" }).to_string()))
    });
    let gateway = native()
        .config(ASKED)
        .set("auth.hook.subscribe_url", hook.url())
        .set("auth.hook.publish_url", hook.url())
        .start();
    let mut client = connect(&gateway);
    let polite = json!({ "polite": true });

    client.ask("subscribe", json!({ "channel": "asked:tea" }));
    publish(&mut client, "asked:tea", polite.clone());
    expect_data(&mut client, "asked:tea", polite);
    for (command, body) in [
        ("subscribe", json!({ "channel": "asked:milk" })),
        ("publish", json!({ "channel": "asked:tea", "data": "rude" })),
    ] {
        let refusal = client.refused(command, body);
        assert_eq!(refusal.code, "forbidden");
        assert!(refusal.message.contains("not like this"), "{refusal:?}");
    }
    // Who was not allowed to subscribe may not read either.
    assert_eq!(client.refused("history", json!({ "channel": "asked:milk" })).code, "not_subscribed");
    let page = client.ask("history", json!({ "channel": "asked:tea" }));
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1), "the rude one is in no history");
    assert!(client.hears_nothing());
}

#[test]
fn a_hook_that_hangs_is_a_no_in_time_and_holds_up_nobody_else() {
    let hook = HttpServer::start(|_| None);
    let gateway = native()
        .config(ASKED)
        .set("auth.hook.subscribe_url", hook.url())
        .set("auth.hook.publish_url", hook.url())
        .set("auth.hook.timeout", "1s")
        .start();
    let mut bystanders = Bystanders::of(&gateway);
    let mut client = connect(&gateway);

    let waiting = client.command("subscribe", json!({ "channel": "asked:tea" }));
    until("the hook to be asked", || (hook.asked() > 0).then_some(()));
    bystanders.are_not_affected();
    // Not even itself.
    client.ask("subscribe", json!({ "channel": "talk:tea" }));

    let error = client.answer(waiting)["error"].clone();
    assert_eq!((&error["code"], &error["retry"]), (&json!("unavailable"), &json!(true)), "{error}");
    assert_eq!(client.refused("publish", json!({ "channel": "asked:tea", "data": 1 })).code, "unavailable");
    client.settle();
    bystanders.are_not_affected();
}

#[test]
fn who_connects_while_the_hook_hangs_is_told_to_try_later() {
    let hook = HttpServer::start(|_| None);
    let gateway = native().set("auth.hook.connect_url", hook.url()).set("auth.hook.timeout", "500ms").start();
    let mut client = open(&gateway);

    let refusal = client.refused("connect", json!({ "token": token_of("ann") }));

    assert_eq!((&*refusal.code, refusal.retry), ("unavailable", true));
    assert_eq!(client.expect_closing(), 4053);
}

#[test]
fn a_hook_that_fails_again_and_again_is_left_alone() {
    let hook = HttpServer::start(|_| Some((500, "on fire".to_owned())));
    let gateway = native()
        .config(ASKED)
        .set("auth.hook.subscribe_url", hook.url())
        .set("auth.hook.publish_url", hook.url())
        .set("auth.hook.breaker_failures", "3")
        .set("auth.hook.breaker_open", "10m")
        .start();
    let mut client = connect(&gateway);

    for _ in 0..10 {
        let refusal = client.refused("subscribe", json!({ "channel": "asked:tea" }));
        assert_eq!((&*refusal.code, refusal.retry), ("unavailable", true), "{refusal:?}");
    }

    assert_eq!(hook.asked(), 3);
}

#[test]
fn who_leaves_a_channel_while_the_hook_is_asked_stays_out() {
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let hook = HttpServer::start(move |_| {
        held.lock().unwrap().recv().ok()?;
        Some((200, json!({ "allow": true }).to_string()))
    });
    let gateway = native()
        .config(ASKED)
        .set("auth.hook.subscribe_url", hook.url())
        .set("auth.hook.publish_url", hook.url())
        .start();
    let mut client = connect(&gateway);

    let asked = client.command("subscribe", json!({ "channel": "asked:tea" }));
    until("the hook to be asked", || (hook.asked() > 0).then_some(()));
    let left = client.command("unsubscribe", json!({ "channel": "asked:tea" }));
    assert_eq!(client.answer(asked)["error"]["code"], "conflict", "every command is answered");
    assert_eq!(client.answer(left)["unsubscribe"], json!({}));
    let_go.send(()).unwrap();
    let_go.send(()).unwrap();
    publish(&mut connect(&gateway), "asked:tea", 1);

    assert!(client.hears_nothing());
    gateway.await_metric("tidegate_channels", &[], 0.0);
}

#[test]
fn one_command_more_than_may_wait_is_refused_until_another_one_is_answered() {
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let hook = HttpServer::start(move |_| {
        held.lock().unwrap().recv().ok()?;
        Some((200, json!({ "allow": true }).to_string()))
    });
    let gateway = native()
        .config(ASKED)
        .set("auth.hook.subscribe_url", hook.url())
        .set("auth.hook.publish_url", hook.url())
        .set("auth.hook.timeout", "60s")
        .set("session.pending", "3")
        .start();
    let mut client = connect(&gateway);
    let asked = json!({ "channel": "asked:tea", "data": 1 });
    let waiting = [(); 3].map(|()| client.command("publish", asked.clone()));

    let refusal = client.refused("publish", asked.clone());
    assert_eq!((&*refusal.code, refusal.retry), ("unavailable", true));
    let_go.send(()).unwrap();
    let first = client.next_object();
    assert!(waiting.iter().any(|&id| first["id"] == id), "{first}");
    let again = client.command("publish", asked);
    (0..3).for_each(|_| let_go.send(()).unwrap());

    for id in waiting.into_iter().chain([again]).filter(|&id| first["id"] != id) {
        assert!(client.answer(id).get("publish").is_some());
    }
}
