//! Keys, rights, paths, methods and bodies that are wrong.

use super::*;
use crate::http::api::call::Access;

/// A request of each call that would be answered if the key were right.
fn requests() -> Vec<(Call, &'static str, String, &'static str)> {
    let calls = Call::ALL.into_iter().filter_map(|call| Some((call, call.row().path?)));
    let session = fake::SESSION.to_string();
    calls
        .map(|(call, path)| {
            let path = path.replace("{channel}", "live").replace("{session}", &session);
            let (method, body) = match call {
                Call::Publish => ("POST", r#"{"channel":"live","data":1}"#),
                Call::Broadcast => ("POST", r#"{"channels":["live"],"data":1}"#),
                Call::Batch => ("POST", r#"{"commands":[]}"#),
                Call::Send => ("POST", r#"{"user":"ann","data":1}"#),
                Call::Subscribe | Call::Unsubscribe => ("POST", r#"{"user":"ann","channel":"live"}"#),
                Call::Disconnect => ("POST", r#"{"user":"ann"}"#),
                Call::Channels
                | Call::Channel
                | Call::Presence
                | Call::History
                | Call::Sessions
                | Call::Session
                | Call::Nodes => ("GET", ""),
                Call::Docs | Call::Other => unreachable!("these have no path"),
            };
            (call, method, path, body)
        })
        .collect()
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn every_call_needs_a_key_that_is_known() {
    let api = Running::start();
    for (_, method, path, body) in requests() {
        let answer = api.ask(method, &path, JSON, body);
        answer.problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some(r#"bearer realm="tidegate""#));

        let answer = api.ask(method, &path, &(bearer(&secret_of("nobody")) + JSON), body);
        let problem = answer.problem(401, "unauthorized");
        assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"), "{}", answer.head);
        assert!(!problem.to_string().contains(&secret_of("nobody")), "{problem}");
    }
    assert_eq!(api.fake.asked(), []);
}

#[test]
fn credentials_that_are_no_single_bearer_key_are_none() {
    let api = Running::start();
    for credentials in [
        "Authorization: Basic a2V5LW9mLWFsbDo=\r\n".to_owned(),
        format!("Authorization: {ALL_RIGHTS}\r\n"),
        "Authorization: Bearer\r\n".to_owned(),
        bearer(ALL_RIGHTS) + &bearer(ALL_RIGHTS),
        bearer(&"x".repeat(5000)),
    ] {
        api.ask("GET", "/v1/nodes", &credentials, "").problem(401, "unauthorized");
    }
    let answer = api.ask("GET", "/v1/nodes", &format!("authorization: bearer {ALL_RIGHTS}\r\n"), "");
    assert_eq!(answer.status, 200, "names and the scheme have no case");
}

#[test]
fn every_call_needs_its_own_right_and_no_other() {
    let api = Running::start();
    for (call, method, path, body) in requests() {
        for &(right, name) in Right::ALL {
            let key = bearer(&secret_of(name)) + JSON;
            let answer = api.ask(method, &path, &key, body);
            if call.row().access == Access::AnyKey || call.row().access == Access::Key(right) {
                answer.ok();
                continue;
            }
            let problem = answer.problem(403, "forbidden");
            let Access::Key(needed) = call.row().access else { panic!("{call:?} is open") };
            assert!(problem["detail"].as_str().unwrap().contains(needed.name()), "{problem}");
        }
    }
}

#[test]
fn a_key_is_asked_for_before_a_body() {
    let api = Running::start();
    // The body never comes: an answer shows that nobody waits for it.
    let answer =
        api.send(&format!("POST /v1/publish HTTP/1.1\r\nHost: t\r\n{JSON}Content-Length: 100\r\n\r\n"));
    answer.problem(401, "unauthorized");
}

#[test]
fn a_path_that_is_no_call_is_not_found_with_or_without_key() {
    let api = Running::start();
    for path in ["/", "/v1", "/v1/publish/", "/v2/publish", "/v1/channels/a/b", "/v1/channels/"] {
        let problem = api.get(path).problem(404, "not_found");
        assert!(problem["detail"].as_str().unwrap().contains("/docs"), "{problem}");
    }
    api.ask("GET", "/nothing", "", "").problem(404, "not_found");
    assert_eq!(api.stats.requests(Call::Other, Outcome::ClientError), 7);
}

#[test]
fn a_method_that_a_call_does_not_take_is_told_which_it_does() {
    let api = Running::start();
    for (method, path, allow) in
        [("GET", "/v1/publish", "post"), ("DELETE", "/v1/nodes", "get,head"), ("PUT", "/docs", "get,head")]
    {
        let answer = api.ask(method, path, &bearer(ALL_RIGHTS), "");
        answer.problem(405, "bad_request");
        assert_eq!(answer.header("allow"), Some(allow));
    }
}

#[test]
fn a_body_has_to_say_that_it_is_json() {
    let api = Running::start();
    let body = r#"{"channel":"live","data":1}"#;
    for content_type in
        ["", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: text/json\r\n"]
    {
        let answer = api.ask("POST", "/v1/publish", &(bearer(ALL_RIGHTS) + content_type), body);
        let problem = answer.problem(415, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains("application/json"), "{problem}");
    }
    for content_type in ["application/JSON; charset=utf-8", "application/cloudevents+json"] {
        let headers = format!("{}Content-Type: {content_type}\r\n", bearer(ALL_RIGHTS));
        api.ask("POST", "/v1/publish", &headers, body).ok();
    }
}

#[test]
fn a_body_that_is_not_json_is_told_where_it_stops_being_it() {
    let api = Running::start();
    for (body, said) in [
        ("", "EOF"),
        ("{", "EOF"),
        (r#"{"channel":"live","data":}"#, "line 1 column 26"),
        (r#"{"channel":"live","data":1} x"#, "trailing"),
        ("channel=live", "expected value"),
    ] {
        let problem = api.post("/v1/publish", body).problem(400, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{body}: {problem}");
    }

    let mut request = format!(
        "POST /v1/publish HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{}{JSON}Content-Length: 11\r\n\r\n{{\"channel\"",
        bearer(ALL_RIGHTS)
    )
    .into_bytes();
    request.push(0xFF);
    let problem = api.send_bytes(&request).problem(400, "bad_request");
    assert!(problem["detail"].as_str().unwrap().contains("byte 10"), "{problem}");
}

#[test]
fn what_is_wrong_in_a_body_is_pointed_at() {
    let api = Running::start();
    for (path, body, at, said) in [
        ("publish", r#"["live",1]"#, "", "expected an object"),
        ("publish", r#"{"data":1}"#, "/channel", "missing field"),
        ("publish", r#"{"channel":"live"}"#, "/data", "missing field"),
        ("publish", r#"{"channel":5,"data":1}"#, "/channel", "expected a string"),
        ("publish", r#"{"channel":"","data":1}"#, "/channel", "must not be empty"),
        ("publish", r#"{"channel":"a b","data":1}"#, "/channel", "white space"),
        ("publish", r#"{"channel":"a","data":1,"channel":"b"}"#, "/channel", "duplicate field"),
        ("publish", r#"{"chanel":"live","data":1}"#, "/chanel", "expected one of `channel`"),
        ("publish", r#"{"channel":"a","data":1,"x~/y":1}"#, "/x~0~1y", "unknown field"),
        ("publish", r#"{"channel":"a","data":1,"key":""}"#, "/key", "between 1 and 64"),
        ("broadcast", r#"{"channels":"live","data":1}"#, "/channels", "an array"),
        ("broadcast", r#"{"channels":["live",7],"data":1}"#, "/channels/1", "expected a string"),
        ("batch", r#"{"commands":{}}"#, "/commands", "an array"),
        ("batch", r#"{"command":[]}"#, "/command", "unknown field"),
        ("send", r#"{"data":1}"#, "", "`user` and `session`"),
        ("send", r#"{"user":"a","session":"AAAAAAAAAAAAAAAAAAAAAA","data":1}"#, "", "exclude each other"),
        ("send", r#"{"session":"short","data":1}"#, "/session", "22 characters"),
        ("subscribe", r#"{"user":"ann"}"#, "/channel", "missing field"),
        ("subscribe", r#"{"user":"","channel":"live"}"#, "/user", "between 1 and 255"),
        ("unsubscribe", r#"{"channel":"live"}"#, "", "name one of"),
        ("disconnect", r#"{}"#, "", "`token_id`"),
        ("disconnect", r#"{"user":"a","token_id":"t"}"#, "", "exclude each other"),
        ("disconnect", r#"{"user":"a","code":1000}"#, "/code", "between 4000 and 4999"),
        ("disconnect", r#"{"user":"a","revoke":"yes"}"#, "/revoke", "expected a boolean"),
    ] {
        let (found, message) = api.post(&format!("/v1/{path}"), body).fault(422, "bad_request");
        assert_eq!(found, at, "{body}: {message}");
        assert!(message.contains(said) && !message.contains("line 1"), "{body}: {message}");
    }
    assert_eq!(api.fake.asked(), [], "nothing of this was asked");
}

#[test]
fn answers_are_kept_by_no_cache_and_taken_for_no_page() {
    let api = Running::start();
    for answer in [api.get("/v1/nodes"), api.get("/nothing"), api.ask("GET", "/v1/nodes", "", "")] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}
