//! Key sets from a real server that rotates, fails, hangs and is flooded; and from files.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use tidegate_protocol::error::ErrorCode;
use tidegate_protocol::time::Millis;
use tidegate_service::config::Choice;
use tokio::sync::Notify;

use super::*;
use crate::admission::outgoing::testing::{Server, never, pass, ready};
use crate::admission::token::testing::{Signer, jwt};
use crate::admission::token::{TokenError, Verifier};
use crate::config::auth::Algorithm;

const NOW: Millis = Millis::new(1_700_000_000_000);

fn key_set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.public_jwk()).collect::<Vec<_>>() }).to_string()
}

fn config(url: &str) -> Jwt {
    Jwt { jwks_url: Some(url.to_owned()), jwks_pause: Duration::ZERO, ..jwt(Vec::new()) }
}

fn keys(config: &Jwt) -> Arc<Keys> {
    Keys::from_config(config, &Client::new(None, &[]).unwrap()).unwrap().unwrap()
}

fn verifier(config: &Jwt) -> (Verifier, Arc<Keys>) {
    let keys = keys(config);
    (Verifier::new(config, Some(Arc::clone(&keys))).unwrap(), keys)
}

/// As a gateway does it: with the keys at hand, and once more with new ones if they are not enough.
async fn verify(verifier: &Verifier, token: &str) -> Result<Arc<str>, TokenError> {
    let verified = match verifier.verify(token, NOW) {
        Err(TokenError::NeedKeys) => verifier.verify_with_new_keys(token, NOW).await,
        judged => judged,
    };
    verified.map(|verified| verified.user)
}

fn token(signer: &Signer) -> String {
    signer.sign(&json!({ "sub": "ann" }))
}

#[tokio::test]
async fn every_kind_of_public_key_is_taken_from_a_set() {
    let public = Algorithm::ALL.iter().filter(|(algorithm, _)| !algorithm.is_symmetric());
    let signers: Vec<_> = public.map(|(algorithm, name)| Signer::new(*algorithm).named(name)).collect();
    let set = key_set(&signers.iter().collect::<Vec<_>>());
    let server = Server::start(move |_| ready(200, set.clone())).await;
    let (verifier, _) = verifier(&config(&server.url));

    for signer in &signers {
        assert_eq!(&*verify(&verifier, &token(signer)).await.unwrap(), "ann");
    }
    assert_eq!(server.asked(), 1, "one fetch brings all of them");
}

#[tokio::test]
async fn a_key_that_rotates_in_is_fetched_when_its_first_token_comes() {
    let (old, new) = (Signer::new(Algorithm::Es256).named("1"), Signer::new(Algorithm::Es256).named("2"));
    let set = Arc::new(StdMutex::new(key_set(&[&old])));
    let served = Arc::clone(&set);
    let server = Server::start(move |_| ready(200, served.lock().unwrap().clone())).await;
    let (verifier, _) = verifier(&config(&server.url));
    assert!(verify(&verifier, &token(&old)).await.is_ok());

    *set.lock().unwrap() = key_set(&[&new]);

    assert!(verify(&verifier, &token(&new)).await.is_ok());
    assert_eq!(server.asked(), 2);
    assert_eq!(verify(&verifier, &token(&old)).await.unwrap_err(), TokenError::NoKey, "it rotated out");
}

#[tokio::test]
async fn keys_without_ids_rotate_too() {
    let (old, new) = (Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::EdDsa));
    let set = Arc::new(StdMutex::new(key_set(&[&old])));
    let served = Arc::clone(&set);
    let server = Server::start(move |_| ready(200, served.lock().unwrap().clone())).await;
    let (verifier, _) = verifier(&config(&server.url));
    assert!(verify(&verifier, &token(&old)).await.is_ok());

    *set.lock().unwrap() = key_set(&[&new]);

    assert!(verify(&verifier, &token(&new)).await.is_ok());
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch_and_then_a_pause() {
    let known = Signer::new(Algorithm::Es256).named("known");
    let set = key_set(&[&known]);
    let server = Server::start(move |_| ready(200, set.clone())).await;
    let config = Jwt { jwks_pause: Duration::from_secs(600), ..config(&server.url) };
    let (verifier, keys) = verifier(&config);
    let verifier = Arc::new(verifier);
    let stranger = Signer::new(Algorithm::Es256);

    let floods: Vec<_> = (0..200)
        .map(|index| {
            let token =
                stranger.sign_parts(&json!({ "alg": "ES256", "kid": index.to_string() }).to_string(), "{}");
            let verifier = Arc::clone(&verifier);
            tokio::spawn(async move { verify(&verifier, &token).await })
        })
        .collect();
    for flood in floods {
        assert_eq!(flood.await.unwrap().unwrap_err(), TokenError::NoKey);
    }

    assert_eq!(server.asked(), 1);
    assert!(verify(&verifier, &token(&known)).await.is_ok(), "nobody else notices");
    verify(&verifier, &token(&stranger.named("late"))).await.unwrap_err();
    assert_eq!(server.asked(), 1, "the pause lasts");
    assert!(keys.stats().held_back.load(Ordering::Relaxed) >= 1);
}

#[tokio::test]
async fn many_tokens_at_once_wait_for_the_same_fetch() {
    let signer = Signer::new(Algorithm::Es256).named("k");
    let set = key_set(&[&signer]);
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (was_asked, may_answer) = (Arc::clone(&asked), Arc::clone(&go));
    let server = Server::start(move |_| {
        let (set, asked, go) = (set.clone(), Arc::clone(&was_asked), Arc::clone(&may_answer));
        Box::pin(async move {
            asked.notify_one();
            go.notified().await;
            (200, set)
        })
    })
    .await;
    let (verifier, _) = verifier(&config(&server.url));
    let verifier = Arc::new(verifier);
    let verify_one = || {
        let (verifier, token) = (Arc::clone(&verifier), token(&signer));
        tokio::spawn(async move { verify(&verifier, &token).await })
    };

    let first = verify_one();
    asked.notified().await;
    let others: Vec<_> = (0..20).map(|_| verify_one()).collect();
    // They have all asked and wait once this task had its turn after theirs.
    tokio::task::yield_now().await;
    go.notify_one();

    assert!(first.await.unwrap().is_ok());
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_take_the_fetch_of_others_with_it() {
    let signer = Signer::new(Algorithm::Es256).named("k");
    let set = key_set(&[&signer]);
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (was_asked, may_answer) = (Arc::clone(&asked), Arc::clone(&go));
    let server = Server::start(move |_| {
        let (set, asked, go) = (set.clone(), Arc::clone(&was_asked), Arc::clone(&may_answer));
        Box::pin(async move {
            asked.notify_one();
            go.notified().await;
            (200, set)
        })
    })
    .await;
    let (verifier, keys) = verifier(&Jwt { jwks_pause: Duration::from_secs(600), ..config(&server.url) });
    let leaver = tokio::spawn(async move { keys.refresh().await });
    asked.notified().await;

    leaver.abort();
    go.notify_one();

    assert!(leaver.await.unwrap_err().is_cancelled());
    assert!(verify(&verifier, &token(&signer)).await.is_ok());
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_timeout_and_the_old_keys_stay() {
    let signer = Signer::new(Algorithm::Es256).named("k");
    let set = key_set(&[&signer]);
    let (hangs, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (now_hangs, was_asked) = (Arc::clone(&hangs), Arc::clone(&asked));
    let server = Server::start(move |_| {
        was_asked.notify_one();
        if now_hangs.load(Ordering::SeqCst) { never() } else { ready(200, set.clone()) }
    })
    .await;
    let config = Jwt { jwks_timeout: Duration::from_secs(600), ..config(&server.url) };
    let (verifier, keys) = verifier(&config);
    let verifier = Arc::new(verifier);
    assert!(verify(&verifier, &token(&signer)).await.is_ok());
    asked.notified().await;

    hangs.store(true, Ordering::SeqCst);
    let stranger = token(&Signer::new(Algorithm::Es256).named("other"));
    let (waiting, others) = (Arc::clone(&verifier), token(&signer));
    let waiter = tokio::spawn(async move { verify(&waiting, &stranger).await });
    asked.notified().await;

    assert!(verifier.verify(&others, NOW).is_ok(), "others are served while it hangs");
    pass(Duration::from_secs(600)).await;
    assert_eq!(waiter.await.unwrap().unwrap_err(), TokenError::NoKey);
    assert_eq!(keys.stats().failures.load(Ordering::Relaxed), 1);
    assert!(verify(&verifier, &others).await.is_ok());
}

#[tokio::test]
async fn whatever_a_server_answers_the_old_keys_stay() {
    let signer = Signer::new(Algorithm::Es256).named("k");
    let good = key_set(&[&signer]);
    let secret = Signer::new(Algorithm::Hs256);
    let too_many: Vec<Value> = (0..129).map(|_| signer.public_jwk()).collect();
    let bad = [
        (500, good.clone()),
        (302, good.clone()),
        (200, String::new()),
        (200, "<html>".to_owned()),
        (200, "[]".to_owned()),
        (200, json!({ "keys": 5 }).to_string()),
        (200, json!({ "keys": [] }).to_string()),
        (200, json!({ "keys": too_many }).to_string()),
        (200, key_set(&[&secret])),
        (200, format!("{}{}", good, " ".repeat(SET_BYTES_MAX))),
    ];
    let count = bad.len();
    let answers = StdMutex::new(std::iter::once((200, good)).chain(bad));
    let server = Server::start(move |_| {
        let (status, text) = answers.lock().unwrap().next().unwrap();
        ready(status, text)
    })
    .await;
    let (verifier, keys) = verifier(&config(&server.url));
    keys.refresh().await;

    for failures in 1..=count {
        keys.refresh().await;
        assert_eq!(keys.stats().failures.load(Ordering::Relaxed), failures as u64);
        assert!(verify(&verifier, &token(&signer)).await.is_ok());
    }
    assert_eq!(server.asked(), count + 1);
}

#[tokio::test]
async fn before_the_first_set_a_token_is_asked_to_come_back() {
    let config = config("http://127.0.0.1:1/keys");
    let (verifier, keys) = verifier(&config);

    let error = verify(&verifier, &token(&Signer::new(Algorithm::Es256))).await.unwrap_err();

    assert_eq!(error, TokenError::KeysUnavailable);
    assert_eq!(error.body().code, ErrorCode::Unavailable);
    assert!(error.body().is_retryable());
    assert!(!keys.has_keys());
}

#[tokio::test]
async fn a_shared_secret_never_asks_for_published_keys() {
    let server = Server::start(|_| ready(200, "{}")).await;
    let (verifier, _) = verifier(&config(&server.url));

    let error = verify(&verifier, &token(&Signer::new(Algorithm::Hs256).named("k"))).await.unwrap_err();

    assert_eq!(error, TokenError::NoKey);
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_public_key_of_a_set_is_used_with_its_own_algorithm_only() {
    let signer = Signer::new(Algorithm::Rs256).named("k");
    let set = key_set(&[&signer]);
    let server = Server::start(move |_| ready(200, set.clone())).await;
    let (verifier, _) = verifier(&config(&server.url));
    assert!(verify(&verifier, &token(&signer)).await.is_ok());

    let other = signer.sign_parts(r#"{"alg":"RS512","kid":"k"}"#, "{}");
    assert_eq!(verify(&verifier, &other).await.unwrap_err(), TokenError::OtherAlgorithm);
    let forger = Signer::with_secret(Algorithm::Hs256, signer.public_pem().as_bytes()).named("k");
    assert_eq!(verify(&verifier, &token(&forger)).await.unwrap_err(), TokenError::NoKey);
}

#[test]
fn keys_of_no_use_are_passed_over_and_the_rest_is_taken() {
    let (ec, rsa) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Rs256));
    let changed = |signer: &Signer, change: fn(&mut Value)| {
        let mut jwk = signer.public_jwk();
        change(&mut jwk);
        jwk
    };
    let useless = [
        changed(&ec, |jwk| jwk["use"] = json!("enc")),
        changed(&ec, |jwk| jwk["key_ops"] = json!(["sign"])),
        changed(&ec, |jwk| jwk["crv"] = json!("P-521")),
        changed(&ec, |jwk| jwk["alg"] = json!("ES384")),
        changed(&ec, |jwk| jwk["alg"] = json!("HS256")),
        changed(&ec, |jwk| jwk["x"] = json!("AA")),
        changed(&ec, |jwk| jwk["x"] = jwk["y"].clone()),
        changed(&ec, |jwk| jwk["kty"] = json!("unknown")),
        changed(&ec, |jwk| jwk["kid"] = json!(5)),
        changed(&rsa, |jwk| jwk["n"] = json!("not base64url!")),
        changed(&rsa, |jwk| jwk["e"] = json!("")),
        changed(&rsa, |jwk| jwk["alg"] = json!("ES256")),
        json!("text"),
        json!({}),
    ];
    for jwk in &useless {
        assert!(set::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).is_err(), "{jwk}");
    }
    let with_good = useless.iter().cloned().chain([ec.public_jwk()]).collect::<Vec<_>>();
    let set = set::parse(json!({ "keys": with_good }).to_string().as_bytes()).unwrap();

    assert_eq!(set.len(), 1);
}

#[test]
fn a_key_that_names_no_algorithm_has_the_usual_one_of_its_kind() {
    let signers = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa].map(Signer::new);
    for signer in signers {
        let mut jwk = signer.public_jwk();
        jwk.as_object_mut().unwrap().remove("alg");
        jwk.as_object_mut().unwrap().remove("use");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        std::fs::write(&path, json!({ "keys": [jwk] }).to_string()).unwrap();
        let config = Jwt { jwks_file: Some(path), ..jwt(Vec::new()) };
        let (verifier, _) = verifier(&config);

        assert!(verifier.verify(&token(&signer), NOW).is_ok(), "{:?}", signer.algorithm);
    }
}

#[tokio::test]
async fn a_file_is_read_at_the_start_and_again_when_a_token_needs_it() {
    let (old, new) = (Signer::new(Algorithm::Es256).named("1"), Signer::new(Algorithm::Es256).named("2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, key_set(&[&old])).unwrap();
    let config = Jwt { jwks_file: Some(path.clone()), jwks_pause: Duration::ZERO, ..jwt(Vec::new()) };
    let (verifier, _) = verifier(&config);
    assert!(verifier.verify(&token(&old), NOW).is_ok());

    std::fs::write(&path, key_set(&[&old, &new])).unwrap();

    assert!(verify(&verifier, &token(&new)).await.is_ok());
}

#[test]
fn a_faulty_file_ends_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = |path: &std::path::Path| Jwt { jwks_file: Some(path.to_owned()), ..jwt(Vec::new()) };
    let client = Client::new(None, &[]).unwrap();

    let error = Keys::from_config(&config(file.path()), &client).unwrap_err();
    assert!(error.to_string().contains("not a key set"), "{error}");
    let error = Keys::from_config(&config("/does/not/exist".as_ref()), &client).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn left_alone_it_reads_again_at_the_interval_and_sooner_after_failures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, key_set(&[&Signer::new(Algorithm::Es256)])).unwrap();
    let config = Jwt {
        jwks_file: Some(path.clone()),
        jwks_refresh: Duration::from_secs(100),
        jwks_pause: Duration::from_secs(1),
        ..jwt(Vec::new())
    };
    let keys = keys(&config);
    let counts =
        || (keys.stats().fetches.load(Ordering::Relaxed), keys.stats().failures.load(Ordering::Relaxed));
    let task = tokio::spawn(Arc::clone(&keys).run());

    time::sleep(Duration::from_secs(250)).await;
    assert_eq!(counts(), (3, 0));
    std::fs::write(&path, "broken").unwrap();
    // At 300, and then after 1, 2, 4 and 8 seconds.
    time::sleep(Duration::from_secs(50 + 16)).await;
    assert_eq!(counts(), (8, 5));
    task.abort();
}
