//! Every limit, at it and one above.

use serde_json::json;

use super::*;

fn publish(channel: &str, data: &Value) -> String {
    json!({ "channel": channel, "data": data }).to_string()
}

#[test]
fn data_may_be_as_long_as_a_message() {
    let api = Running::with(ApiLimits { data_bytes_max: 100, ..limits() });
    let longest = publish("live", &"x".repeat(98).into());
    let longer = publish("live", &"x".repeat(99).into());

    api.post("/v1/publish", &longest).ok();
    let (path, message) = api.post("/v1/publish", &longer).fault(413, "too_large");
    assert_eq!(path, "/data");
    assert!(message.contains("101") && message.contains("limits.message_bytes"), "{message}");

    let batch = format!(r#"{{"commands":[{{"publish":{longest}}},{{"publish":{longer}}}]}}"#);
    let results = api.post("/v1/batch", &batch).ok();
    assert_eq!(results["results"][0], json!({ "publish": {} }));
    assert_eq!(results["results"][1]["error"]["errors"][0]["path"], "/commands/1/publish/data");
}

#[test]
fn a_body_may_be_so_long_whether_it_says_so_or_not() {
    let api = Running::with(ApiLimits { body_bytes_max: 100, ..limits() });
    let longest = format!("{:<100}", publish("live", &1.into()));
    let chunked = |body: &str| {
        api.send(&format!(
            "POST /v1/publish HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{}Content-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            bearer(ALL_RIGHTS),
            body.len(),
        ))
    };

    api.post("/v1/publish", &longest).ok();
    chunked(&longest).ok();
    let longer = longest + " ";
    for answer in [api.post("/v1/publish", &longer), chunked(&longer)] {
        let problem = answer.problem(413, "too_large");
        assert!(problem["detail"].as_str().unwrap().contains("100 bytes"), "{problem}");
    }
}

#[test]
fn a_body_that_is_announced_too_long_is_not_waited_for() {
    let api = Running::start();
    let answer = api.send(&format!(
        "POST /v1/publish HTTP/1.1\r\nHost: t\r\n{}Content-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n{{",
        bearer(ALL_RIGHTS)
    ));
    answer.problem(413, "too_large");
}

#[test]
fn a_long_body_that_is_refused_gets_its_answer_through() {
    let api = Running::with(ApiLimits { body_bytes_max: 1000, ..limits() });
    let answer = api.post("/v1/publish", &" ".repeat(512 << 10));
    answer.problem(413, "too_large");
}

#[test]
fn strings_lists_and_nesting_have_their_limits() {
    let api = Running::start();
    let nested = |depth| publish("live", &(0..depth).fold(json!(1), |inner, _| json!([inner])));
    let keyed = |bytes| json!({ "channel": "live", "data": 1, "key": "k".repeat(bytes) }).to_string();
    let conflated =
        |bytes| json!({ "channel": "live", "data": 1, "conflate": "k".repeat(bytes) }).to_string();
    let channel = |bytes| publish(&"c".repeat(bytes), &1.into());
    let reason = |bytes| json!({ "user": "ann", "reason": "r".repeat(bytes) }).to_string();
    let user = |bytes| json!({ "user": "u".repeat(bytes), "data": 1 }).to_string();
    let code = |code: usize| json!({ "user": "ann", "code": code }).to_string();
    let channels = |count| json!({ "channels": vec!["live"; count], "data": 1 }).to_string();
    let commands = |count| {
        let command = json!({ "publish": { "channel": "live", "data": 1 } });
        json!({ "commands": vec![command; count] }).to_string()
    };
    type Make<'m> = &'m dyn Fn(usize) -> String;
    let cases: [(&str, Make<'_>, usize, &str); 9] = [
        ("publish", &nested, 32, "/data"),
        ("publish", &keyed, 64, "/key"),
        ("publish", &conflated, 64, "/conflate"),
        ("publish", &channel, 255, "/channel"),
        ("disconnect", &reason, 123, "/reason"),
        ("disconnect", &code, 4999, "/code"),
        ("send", &user, 255, "/user"),
        ("broadcast", &channels, 1000, "/channels"),
        ("batch", &commands, 1000, "/commands"),
    ];
    for (call, make, limit, at) in cases {
        let path = format!("/v1/{call}");
        api.post(&path, &make(limit)).ok();
        let (found, message) = api.post(&path, &make(limit + 1)).fault(422, "bad_request");
        assert_eq!(found, at, "{message}");
    }
}

#[test]
fn pages_have_their_limits() {
    let api = Running::start();
    for (path, limit) in [
        ("/v1/channels", 1000),
        ("/v1/channels/live/presence", 1000),
        ("/v1/channels/live/history", 1000),
        ("/v1/sessions", 200),
    ] {
        api.get(&format!("{path}?limit={limit}")).ok();
        for wrong in [0, limit + 1] {
            let (at, message) = api.get(&format!("{path}?limit={wrong}")).fault(422, "bad_request");
            assert_eq!(at, "?limit");
            assert!(message.contains(&limit.to_string()), "{message}");
        }
    }
}

#[test]
fn what_is_quoted_of_a_bad_body_is_cut_short() {
    let api = Running::start();
    let body = json!({ "é".repeat(20_000): 1 }).to_string();
    let answer = api.post("/v1/publish", &body);
    let (path, message) = answer.fault(422, "bad_request");
    assert!(path.len() <= 500 && message.len() <= 500, "{} {}", path.len(), message.len());
    assert!(answer.body.len() < 3000, "{}", answer.body.len());
}

#[test]
fn more_requests_at_once_than_may_be_are_told_to_come_back() {
    let api = Running::with(ApiLimits { requests_max: 1, ..limits() });
    let waiting = api.fake.hold_slow();
    let (answer, go) = std::thread::scope(|scope| {
        let first = scope.spawn(|| api.post("/v1/publish", &publish("slow", &1.into())));
        let go = waiting.recv_timeout(PATIENCE).unwrap();

        let refused = api.get("/v1/nodes");
        refused.problem(503, "unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));

        go.send(()).unwrap();
        (first.join().unwrap(), ())
    });
    let () = go;
    answer.ok();
    api.get("/v1/nodes").ok();
    assert_eq!(api.stats.requests(Call::Nodes, Outcome::ServerError), 1);
    assert_eq!(api.stats.requests(Call::Publish, Outcome::Ok), 1);
}

#[test]
fn bodies_of_requests_in_progress_share_their_memory() {
    let slow = publish("slow", &1.into());
    let api = Running::with(ApiLimits { bodies_bytes_max: slow.len() + 30, ..limits() });
    let waiting = api.fake.hold_slow();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| api.post("/v1/publish", &slow));
        let go = waiting.recv_timeout(PATIENCE).unwrap();

        let fits = format!("{:<30}", publish("live", &1.into()));
        api.post("/v1/publish", &fits).ok();
        let refused = api.post("/v1/publish", &(fits + " "));
        refused.problem(503, "unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));

        go.send(()).unwrap();
        first.join().unwrap().ok();
    });
    api.post("/v1/publish", &slow.replace("slow", "live")).ok();
}

#[test]
fn a_node_that_does_not_answer_in_time_is_not_waited_for() {
    let api = Running::with(ApiLimits { answer_timeout: Duration::from_millis(50), ..limits() });
    let waiting = api.fake.hold_slow();
    let answer = api.post("/v1/publish", &publish("slow", &1.into()));

    let problem = answer.problem(503, "unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("may have been done"), "{problem}");
    assert!(waiting.try_recv().unwrap().is_closed(), "the call was dropped");
}

#[test]
fn a_connection_is_kept_for_further_requests() {
    let api = Running::start();
    let mut socket = api.connect();
    let get = format!("GET /v1/nodes HTTP/1.1\r\nHost: t\r\n{}\r\n", bearer(ALL_RIGHTS));
    let last = get.replace("Host", "Connection: close\r\nHost");
    socket.write_all(format!("{get}{get}{last}").as_bytes()).unwrap();
    let mut answers = String::new();
    socket.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
}

#[test]
fn a_caller_that_leaves_is_counted_and_makes_room() {
    let api = Running::with(ApiLimits { requests_max: 1, ..limits() });
    let waiting = api.fake.hold_slow();
    let mut socket = api.connect();
    let body = publish("slow", &1.into());
    let head = format!("POST /v1/publish HTTP/1.1\r\nHost: t\r\n{}", bearer(ALL_RIGHTS));
    let length = body.len();
    let rest = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    socket.write_all((head + &rest).as_bytes()).unwrap();
    let mut go = waiting.recv_timeout(PATIENCE).unwrap();
    drop(socket);

    let closed = async { tokio::time::timeout(PATIENCE, go.closed()).await };
    api.runtime.block_on(closed).expect("the call is dropped with its caller");
    api.get("/v1/nodes").ok();
    assert_eq!(api.stats.requests(Call::Publish, Outcome::Abandoned), 1);
}

#[test]
fn a_stop_answers_what_has_begun_and_ends_quiet_connections() {
    let mut api = Running::start();
    let waiting = api.fake.hold_slow();
    let mut quiet = api.connect();
    quiet
        .write_all(format!("GET /v1/nodes HTTP/1.1\r\nHost: t\r\n{}\r\n", bearer(ALL_RIGHTS)).as_bytes())
        .unwrap();
    let mut begun = [0; 12];
    quiet.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");

    let socket = api.connect();
    let body = publish("slow", &1.into());
    let length = body.len();
    let head = format!("POST /v1/publish HTTP/1.1\r\nHost: t\r\n{}", bearer(ALL_RIGHTS));
    let rest = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    (&socket).write_all((head + &rest).as_bytes()).unwrap();
    let go = waiting.recv_timeout(PATIENCE).unwrap();
    api.stop.take().unwrap().send(()).unwrap();

    // The end of the quiet connection shows that the stop has begun.
    quiet.read_to_end(&mut Vec::new()).unwrap();
    go.send(()).unwrap();
    receive(socket).ok();
    api.await_end();
    assert!(TcpStream::connect(api.address).is_err(), "nobody listens any more");
}
