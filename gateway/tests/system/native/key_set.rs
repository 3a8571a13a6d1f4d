//! Keys that an identity provider publishes at a URL: found, exchanged, and waited for no longer than allowed.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidegate_testkit::{Gateway, HttpServer, until};

use super::admission::refused_at_connect;
use super::token::Signer;
use super::{Bystanders, connect, connect_with, open, without_keys};

#[test]
fn keys_of_a_url_are_believed_and_a_new_one_is_fetched_when_the_first_token_names_it() {
    let (old, new) = (Signer::pair("EdDSA"), Signer::pair("EdDSA"));
    let published = Arc::new(Mutex::new(vec![old.jwk("old")]));
    let shown = Arc::clone(&published);
    let provider =
        HttpServer::start(move |_| Some((200, json!({ "keys": *shown.lock().unwrap() }).to_string())));
    let gateway = without_keys()
        .set("auth.jwt.jwks_url", provider.url())
        .set("auth.jwt.jwks_refresh", "1h")
        .set("auth.jwt.jwks_pause", "100ms")
        .start();
    let ann = json!({ "sub": "ann" });

    // Asked for by the token, if the set is not there yet.
    assert_eq!(connect_with(&gateway, json!({ "token": old.sign_as("old", &ann) })).1["user"], "ann");
    refused_at_connect(&gateway, &new.sign_as("old", &ann), "signature");
    *published.lock().unwrap() = vec![new.jwk("new")];
    until("the new key to be believed", || {
        let mut client = open(&gateway);
        let id = client.command("connect", json!({ "token": new.sign_as("new", &ann) }));
        (client.answer(id)["connect"]["user"] == "ann").then_some(())
    });

    refused_at_connect(&gateway, &old.sign_as("old", &ann), "no key");
}

#[test]
fn unknown_keys_however_many_cause_few_fetches() {
    let known = Signer::pair("EdDSA");
    let set = json!({ "keys": [known.jwk("known")] }).to_string();
    let provider = HttpServer::start(move |_| Some((200, set.clone())));
    let gateway = without_keys()
        .set("auth.jwt.jwks_url", provider.url())
        .set("auth.jwt.jwks_refresh", "1h")
        .set("auth.jwt.jwks_pause", "1h")
        .start();
    let stranger = Signer::pair("EdDSA");

    for number in 0..20 {
        let token = stranger.sign_as(&format!("key {number}"), &json!({ "sub": "eve" }));
        refused_at_connect(&gateway, &token, "no key");
    }

    assert_eq!(provider.asked(), 1);
    let token = known.sign_as("known", &json!({ "sub": "ann" }));
    assert_eq!(connect_with(&gateway, json!({ "token": token })).1["user"], "ann");
}

#[test]
fn a_provider_that_hangs_refuses_those_who_need_it_in_time_and_holds_up_nobody_else() {
    let provider = HttpServer::start(|_| None);
    let gateway =
        without_keys().set("auth.jwt.jwks_url", provider.url()).set("auth.jwt.jwks_timeout", "1s").start();
    let mut bystanders = Bystanders::of(&gateway);
    let token = Signer::pair("EdDSA").sign_as("key", &json!({ "sub": "ann" }));
    let mut waiting = open(&gateway);
    let id = waiting.command("connect", json!({ "token": token }));

    until("the provider to be asked", || (provider.asked() > 0).then_some(()));
    bystanders.are_not_affected();
    connect(&gateway).settle();

    unavailable(&waiting.answer(id));
    assert_eq!(waiting.expect_closing(), 4053);
    bystanders.are_not_affected();
}

#[test]
fn a_provider_that_answers_nonsense_or_is_not_there_is_no_reason_to_believe_anybody() {
    let huge = format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(1 << 20));
    for (status, body) in [(200, "nonsense"), (200, "{}"), (500, "{\"keys\":[]}"), (200, &*huge)] {
        let body = body.to_owned();
        let provider = HttpServer::start(move |_| Some((status, body.clone())));
        refuses_everybody(&without_keys().set("auth.jwt.jwks_url", provider.url()).start());
    }
    // Nothing listens on the discard port.
    refuses_everybody(&without_keys().set("auth.jwt.jwks_url", "http://127.0.0.1:9/").start());
}

#[track_caller]
fn refuses_everybody(gateway: &Gateway) {
    let mut bystanders = Bystanders::of(gateway);
    let mut client = open(gateway);
    let token = Signer::pair("EdDSA").sign_as("key", &json!({ "sub": "ann" }));
    let id = client.command("connect", json!({ "token": token }));
    unavailable(&client.answer(id));
    bystanders.are_not_affected();
}

#[track_caller]
fn unavailable(answer: &Value) {
    let error = &answer["error"];
    assert_eq!((&error["code"], &error["retry"]), (&json!("unavailable"), &json!(true)), "{answer}");
    let message = error["message"].as_str();
    assert!(message.is_some_and(|message| message.contains("cannot be fetched")), "{answer}");
}
