//! The hook against a real server: what it is asked, what it answers, and what happens when it does not.

use std::sync::Mutex as StdMutex;

use serde_json::{Value, json};
use tidegate_protocol::id::SessionId;
use tidegate_protocol::json::RawJson;
use tokio::sync::Notify;

use super::*;
use crate::admission::outgoing::testing::{Reply, Server, never, pass, ready};

const NOW: Millis = Millis::new(1_700_000_000_000);

fn hook_with(url: &str, change: impl FnOnce(&mut auth::Hook)) -> Arc<Hook> {
    let mut config = auth::Hook {
        connect_url: Some(url.to_owned()),
        subscribe_url: Some(url.to_owned()),
        publish_url: None,
        timeout: Duration::from_secs(10),
        concurrent_max: 4,
        breaker_failures: 3,
        breaker_open: Duration::from_secs(600),
    };
    change(&mut config);
    Hook::new(&config, Client::new(None, &[]).unwrap())
}

async fn server_and_hook(answer: impl Fn(String) -> Reply + Send + Sync + 'static) -> (Server, Arc<Hook>) {
    let server = Server::start(answer).await;
    let hook = hook_with(&server.url, |_| {});
    (server, hook)
}

fn connect() -> Question {
    let address = "10.0.0.7".parse().unwrap();
    Question::connect(&ConnectAsk { token: Some("t"), user: None, address, info: None })
}

fn subscribe() -> Question {
    let session = SessionId::from_bytes([7; 16]);
    Question::subscribe(ChannelAsk { channel: "chat:1", user: "ann", session })
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[test]
fn a_question_says_everything_that_there_is_to_know() {
    let json = |question: Question| serde_json::from_slice::<Value>(&question.body).unwrap();
    let info = RawJson::parse(r#"{"a":1}"#, 8).unwrap();
    let session = SessionId::from_bytes([7; 16]);

    let address = "2001:db8::7".parse().unwrap();
    let ask = ConnectAsk { token: None, user: Some("ann"), address, info: Some(info) };
    assert_eq!(
        json(Question::connect(&ask)),
        json!({ "connect": { "user": "ann", "address": "2001:db8::7", "info": { "a": 1 } } })
    );
    let ask = ChannelAsk { channel: "chat:1", user: "ann", session };
    assert_eq!(
        json(Question::publish(ask, info)),
        json!({ "publish": {
            "channel": "chat:1", "user": "ann", "session": session.to_string(), "data": { "a": 1 },
        } })
    );
    assert_eq!(
        json(Question::subscribe(ask)),
        json!({ "subscribe": { "channel": "chat:1", "user": "ann", "session": session.to_string() } })
    );
}

#[tokio::test]
async fn a_client_is_whom_the_hook_says() {
    let answer = json!({
        "allow": true, "user": "ann", "expires_in_s": 60,
        "tidegate": { "publish": ["chat:*"], "channels": ["news"], "info": { "name": "Ann" } },
    });
    let (server, hook) = server_and_hook(move |_| ready(200, answer.to_string())).await;

    let Ok(Allowed::Connect(identity)) = Arc::clone(&hook).ask(connect(), NOW).await else {
        panic!("it is allowed")
    };

    assert_eq!(&*identity.user, "ann");
    assert_eq!(identity.expires_at, Some(NOW + Duration::from_secs(60)));
    assert!(identity.permissions.publish[0].matches("chat:1"));
    assert_eq!(identity.channels[0].as_str(), "news");
    assert_eq!(identity.info.unwrap().as_str(), r#"{"name":"Ann"}"#);
    assert_eq!((server.asked(), count(&hook.stats().allowed)), (1, 1));
}

#[tokio::test]
async fn a_no_is_passed_on_with_its_words_and_is_no_failure() {
    let (_server, hook) =
        server_and_hook(|_| ready(200, r#"{"allow":false,"message":"the room\n is full"}"#)).await;

    for _ in 0..10 {
        let error = Arc::clone(&hook).ask(subscribe(), NOW).await.unwrap_err();
        let body = error.body("subscribe to chat:1");
        assert_eq!(body.code, ErrorCode::Forbidden);
        assert_eq!(body.message, "subscribe to chat:1: the room is full");
    }
    assert_eq!(hook.breaker_state(), BreakerState::Closed);
    assert_eq!(count(&hook.stats().refused), 10);
}

#[tokio::test]
async fn a_bare_no_still_says_something() {
    let (_server, hook) = server_and_hook(|_| ready(200, r#"{"allow":false}"#)).await;

    let body = hook.ask(connect(), NOW).await.unwrap_err().body("connect");

    assert_eq!(body.message, "connect: the application does not allow it");
}

#[tokio::test]
async fn whatever_is_no_answer_is_no_leave() {
    let cases = [
        (500, r#"{"allow":true}"#.to_owned()),
        (204, String::new()),
        (302, r#"{"allow":true}"#.to_owned()),
        (200, String::new()),
        (200, "yes".to_owned()),
        (200, "{}".to_owned()),
        (200, r#"{"allow":"true"}"#.to_owned()),
        (200, r#"{"allow":true,"user":5}"#.to_owned()),
        (200, r#"{"allow":true,"tidegate":{"publish":"*"}}"#.to_owned()),
        (200, format!(r#"{{"allow":true}}{}"#, " ".repeat(ANSWER_BYTES_MAX))),
    ];
    let expected = cases.len() as u64;
    let answers = StdMutex::new(cases.into_iter());
    let server = Server::start(move |_| {
        let (status, text) = answers.lock().unwrap().next().unwrap();
        ready(status, text)
    })
    .await;
    let hook = hook_with(&server.url, |config| config.breaker_failures = 1000);

    for _ in 0..expected {
        let error = Arc::clone(&hook).ask(connect(), NOW).await.unwrap_err();
        assert_eq!(error.body("connect").code, ErrorCode::Unavailable, "{error}");
    }
    assert_eq!(count(&hook.stats().failed), expected);
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_and_asked_again_later() {
    let is_well = Arc::new(StdMutex::new(false));
    let now_well = Arc::clone(&is_well);
    let server = Server::start(move |_| {
        if *now_well.lock().unwrap() { ready(200, r#"{"allow":true}"#) } else { ready(503, "") }
    })
    .await;
    let hook = hook_with(&server.url, |_| {});
    for _ in 0..3 {
        hook.clone().ask(subscribe(), NOW).await.unwrap_err();
    }

    let error = hook.clone().ask(subscribe(), NOW).await.unwrap_err();
    let HookError::BreakerOpen { retry_after } = error else { panic!("{error}") };
    let body = error.body("subscribe to chat:1");
    assert_eq!(body.code, ErrorCode::Unavailable);
    assert_eq!(body.retry_after_ms, Some(whole_ms(retry_after).max(1)));
    assert_eq!((server.asked(), count(&hook.stats().broken)), (3, 1));

    *is_well.lock().unwrap() = true;
    pass(retry_after).await;
    assert!(hook.clone().ask(subscribe(), NOW).await.is_ok());
    assert_eq!(hook.breaker_state(), BreakerState::Closed);
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_timeout() {
    let asked = Arc::new(Notify::new());
    let was_asked = Arc::clone(&asked);
    let (_server, hook) = server_and_hook(move |_| {
        was_asked.notify_one();
        never()
    })
    .await;
    let waiter = tokio::spawn(hook.clone().ask(connect(), NOW));
    asked.notified().await;

    pass(Duration::from_secs(10)).await;

    let error = waiter.await.unwrap().unwrap_err();
    assert!(matches!(error, HookError::Timeout(_)), "{error}");
    assert_eq!(count(&hook.stats().timed_out), 1);
}

#[tokio::test]
async fn questions_above_the_bound_wait_for_a_place() {
    let (server, hook) = server_and_hook(|_| ready(200, r#"{"allow":true}"#)).await;
    let places = hook.places.acquire_many(4).await.unwrap();
    let waiter = tokio::spawn(hook.clone().ask(subscribe(), NOW));
    tokio::task::yield_now().await;
    assert_eq!(server.asked(), 0);

    drop(places);

    assert!(waiter.await.unwrap().is_ok());
    assert_eq!(hook.places.available_permits(), 4);
}

#[tokio::test]
async fn a_question_that_finds_no_place_in_time_is_not_asked_and_no_failure_of_the_server() {
    let server = Server::start(|_| ready(200, r#"{"allow":true}"#)).await;
    let hook = hook_with(&server.url, |config| config.breaker_failures = 1);
    let _places = hook.places.acquire_many(4).await.unwrap();
    let waiter = tokio::spawn(hook.clone().ask(subscribe(), NOW));
    tokio::task::yield_now().await;

    pass(Duration::from_secs(10)).await;

    let error = waiter.await.unwrap().unwrap_err();
    assert!(matches!(error, HookError::Busy(_)), "{error}");
    assert_eq!((server.asked(), count(&hook.stats().busy)), (0, 1));
    assert_eq!(hook.breaker_state(), BreakerState::Closed);
}

#[tokio::test]
async fn a_question_without_an_address_is_refused() {
    let hook = hook_with("http://127.0.0.1:1/", |_| {});
    let session = SessionId::from_bytes([7; 16]);
    let ask = ChannelAsk { channel: "chat:1", user: "ann", session };

    assert!(hook.decides_connects());
    let error = hook.ask(Question::publish(ask, RawJson::NULL), NOW).await.unwrap_err();

    assert!(matches!(error, HookError::NotConfigured));
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let hook = hook_with("http://127.0.0.1:1/", |_| {});

    let error = hook.clone().ask(connect(), NOW).await.unwrap_err();

    assert!(matches!(error, HookError::Request(_)), "{error}");
    assert!(error.to_string().contains("onnection refused"), "it says why: {error}");
    assert_eq!(
        error.body("connect").message,
        "connect: the server that decides about it does not answer at the moment"
    );
}
