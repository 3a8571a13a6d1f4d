//! Who may come in: tokens of every algorithm, keys, headers; and the ways in which a token is no good.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidegate_testkit::{Gateway, NativeClient};

use super::token::Signer;
use super::{Bystanders, SECRET, connect_as, connect_with, native, open, request, token_of, token_with};

#[test]
fn a_token_of_every_algorithm_is_believed_with_its_own_key_and_no_other() {
    let public = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    let mut signers: Vec<_> =
        ["HS256", "HS384", "HS512"].map(|algorithm| Signer::secret(algorithm, SECRET)).into_iter().collect();
    let mut builder = native();
    for algorithm in ["HS384", "HS512"] {
        builder = builder.config(&format!("[[auth.jwt.keys]]\nalg = \"{algorithm}\"\nsecret = \"{SECRET}\""));
    }
    for (algorithm, signer) in public.into_iter().zip(Signer::pairs(public)) {
        let file = builder.folder().join(format!("{algorithm}.pem"));
        std::fs::write(&file, signer.public_pem()).unwrap();
        let key = format!("[[auth.jwt.keys]]\nalg = \"{algorithm}\"\npublic_key_file = {file:?}");
        builder = builder.config(&key);
        signers.push(signer);
    }
    let gateway = builder.start();

    for (number, signer) in signers.iter().enumerate() {
        let token = signer.sign(&json!({ "sub": format!("user {number}") }));
        let (_client, connected) = connect_with(&gateway, json!({ "token": token }));
        assert_eq!(connected["user"], format!("user {number}"));
    }
    for stranger in Signer::pairs(public) {
        refused_at_connect(&gateway, &stranger.sign(&json!({ "sub": "eve" })), "signature");
    }
}

#[test]
fn an_api_key_stands_for_its_user() {
    let gateway = native()
        .config("[[auth.api_keys]]\nname = \"robot\"\nsecret = \"sixteen bytes or more\"\nuser = \"robot\"")
        .config("publish = [\"claimed:*\"]")
        .start();

    let (mut robot, connected) = connect_with(&gateway, json!({ "token": "sixteen bytes or more" }));

    assert_eq!(connected["user"], "robot");
    super::publish(&mut robot, "claimed:tea", 1);
    assert_eq!(robot.refused("subscribe", json!({ "channel": "claimed:tea" })).code, "forbidden");
    let mut other = open(&gateway);
    assert_eq!(other.refused("connect", json!({ "token": "sixteen bytes or less" })).code, "unauthorized");
}

#[test]
fn a_good_token_in_the_request_stands_in_for_one_in_connect() {
    let gateway = native().set("auth.anonymous", "false").start();
    let authorization = format!("Bearer {}", token_of("ann"));
    let opened = request(&gateway).header("Authorization", &authorization).open();

    let connected = NativeClient::new(opened).ask("connect", json!({}));

    assert_eq!(connected["user"], "ann");
}

#[test]
fn a_bad_token_in_the_request_is_refused_there() {
    let gateway = native().start();
    let mut bystanders = Bystanders::of(&gateway);
    let long = token_with(&json!({ "sub": "ann", "pad": "x".repeat(64 << 10) }));

    for (token, status) in
        [("not.a.token", 401), (&*Signer::secret("HS256", "x").sign(&json!({})), 401), (&*long, 431)]
    {
        let authorization = format!("Bearer {token}");
        let response = request(&gateway).header("Authorization", &authorization).refused();
        assert_eq!(response.status, status, "{response:?}");
        assert!(!response.body.trim().is_empty() && !response.body.contains(token), "{response:?}");
    }

    bystanders.are_not_affected();
}

#[test]
fn a_token_that_is_no_good_is_refused_with_its_fault_and_touches_no_other_session() {
    let gateway = native().set("auth.jwt.audience", r#"["tidegate"]"#).start();
    let mut bystanders = Bystanders::of(&gateway);
    let ours = Signer::secret("HS256", SECRET);
    let good = json!({ "sub": "ann", "aud": "tidegate" });
    assert_eq!(connect_with(&gateway, json!({ "token": ours.sign(&good) })).1["user"], "ann");
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        ours.sign(&claims)
    };
    let signed = ours.sign(&good);
    let (head, _) = signed.rsplit_once('.').unwrap();
    let unsigned = ours.sign_with_header(&json!({ "alg": "none" }), &good);
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();

    let faults = [
        (format!("{unsigned}."), "alg: none"),
        (ours.sign_with_header(&json!({ "alg": "None" }), &good), "alg: none"),
        (ours.sign_with_header(&json!({ "alg": "XS256" }), &good), "algorithm"),
        (ours.sign_with_header(&json!({ "alg": "RS256" }), &good), "no key"),
        (Signer::secret("HS256", "another secret, which is long enough").sign(&good), "signature"),
        (format!("{head}."), "signature"),
        (format!("{head}.AAAA"), "signature"),
        (with("exp", json!(now_s() - 3600)), "expired"),
        (with("nbf", json!(now_s() + 3600)), "not valid before"),
        (with("aud", json!("another service")), "aud"),
        (ours.sign(&json!({ "sub": "ann" })), "aud"),
        (with("exp", json!("tomorrow")), "exp"),
        (with("sub", json!(["ann"])), "sub"),
        (with("sub", json!("x".repeat(256))), "sub"),
        (with("tidegate", json!({ "subscribe": "all" })), "tidegate"),
        ("no token".to_owned(), "token"),
        ("..".to_owned(), "token"),
    ];
    for (token, fault) in &faults {
        refused_at_connect(&gateway, token, fault);
        bystanders.are_not_affected();
    }
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    let signer = Signer::pair("RS256");
    let builder = native();
    let file = builder.folder().join("rsa.pem");
    std::fs::write(&file, signer.public_pem()).unwrap();
    let key = format!("[[auth.jwt.keys]]\nalg = \"RS256\"\npublic_key_file = {file:?}");
    let gateway = builder.config(&key).start();

    let forged = Signer::secret("HS256", &signer.public_pem()).sign(&json!({ "sub": "eve" }));

    refused_at_connect(&gateway, &forged, "signature");
}

#[test]
fn a_token_that_names_a_key_is_checked_with_that_one_only() {
    let other = "another secret of the same gateway, of 32 bytes or more";
    let key = |kid: &str, secret: &str| {
        format!("[[auth.jwt.keys]]\nalg = \"HS256\"\nkid = \"{kid}\"\nsecret = \"{secret}\"")
    };
    let gateway = super::without_keys().config(&key("one", SECRET)).config(&key("two", other)).start();
    let ann = json!({ "sub": "ann" });
    let ours = Signer::secret("HS256", SECRET);

    assert_eq!(connect_with(&gateway, json!({ "token": ours.sign_as("one", &ann) })).1["user"], "ann");
    refused_at_connect(&gateway, &ours.sign_as("two", &ann), "signature");
    refused_at_connect(&gateway, &ours.sign_as("three", &ann), "no key");
    // Without `kid` each key of the algorithm is tried.
    assert_eq!(
        connect_as(&gateway, "ann").ask("presence", json!({ "channel": "room:tea" }))["members"],
        json!([])
    );
}

#[test]
fn sixty_four_kib_of_claims_are_too_many_and_cost_nobody_else_anything() {
    let gateway = native().start();
    let mut bystanders = Bystanders::of(&gateway);
    let long = token_with(&json!({ "sub": "ann", "pad": "x".repeat(64 << 10) }));
    let mut ann = connect_as(&gateway, "ann");
    let mut late = open(&gateway);

    let at_connect = late.refused("connect", json!({ "token": long }));
    let at_refresh = ann.refused("refresh", json!({ "token": long }));

    for refusal in [at_connect, at_refresh] {
        assert_eq!(refusal.code, "bad_request");
        assert!(refusal.message.contains("token") && refusal.message.len() < 300, "{refusal:?}");
    }
    bystanders.are_not_affected();
    late.ask("connect", json!({ "token": token_of("late") }));
    ann.settle();
}

#[track_caller]
pub(super) fn refused_at_connect(gateway: &Gateway, token: &str, fault: &str) {
    let mut client = open(gateway);
    let refusal = client.refused("connect", json!({ "token": token }));
    assert_eq!(refusal.code, "unauthorized", "{fault}: {refusal:?}");
    assert!(refusal.message.contains(fault), "{fault}: {refusal:?}");
    assert_eq!(client.expect_closing(), 4500);
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs()
}
