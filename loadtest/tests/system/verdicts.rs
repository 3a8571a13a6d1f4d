//! Servers that do something wrong: the exit code and the words say what.

use std::net::TcpListener;

use crate::program::run_on;
use crate::scripted::{Reply, Then, answer, impatient_echo, refuse, serve};

#[test]
fn a_damaged_echo_fails_the_run() {
    let server = serve(|| {
        |index, payload: &[u8]| {
            let mut damaged = payload.to_vec();
            if index == 3 {
                damaged[100] ^= 1;
            }
            answer(&damaged)
        }
    });
    let outcome = run_on(server, "/", "echo --connections 1 --count 10 --warmup 0s");

    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(outcome.report["verdict"], "failed");
    assert_eq!(outcome.report["faults"]["count"], 1);
    assert_eq!(
        outcome.report["faults"]["first"][0],
        "connection 0, message 3: wrong content from byte 100 on"
    );
}

#[test]
fn echoes_out_of_order_cut_short_or_unasked_are_faults() {
    let server = serve(|| {
        |index, payload: &[u8]| match index {
            0 => Reply { answers: Vec::new(), then: Then::GoOn },
            1 => Reply { answers: vec![payload.to_vec(), payload[1..].to_vec()], then: Then::GoOn },
            2 => answer(payload),
            // The last message of the run: the second answer to it belongs to nothing.
            _ => Reply { answers: vec![payload.to_vec(); 2], then: Then::GoOn },
        }
    });
    let outcome = run_on(server, "/", "echo --connections 1 --depth 2 --count 4 --warmup 0s");

    assert_eq!(outcome.code, 1);
    let faults = outcome.report["faults"]["first"].to_string();
    assert!(faults.contains("message 0: another message than the one that was due"), "{faults}");
    assert!(faults.contains("message 1: 124 bytes instead of 125"), "{faults}");
    assert!(faults.contains("a message that was never sent"), "{faults}");
}

#[test]
fn a_connection_that_the_server_ends_fails_the_run() {
    let server = serve(|| {
        |index, payload: &[u8]| Reply {
            answers: vec![payload.to_vec()],
            then: if index == 5 { Then::HangUp } else { Then::GoOn },
        }
    });
    let outcome = run_on(server, "/", "echo --connections 2 --count 1000 --warmup 0s");

    assert_eq!(outcome.code, 1);
    assert_eq!(outcome.report["counts"]["received"], 12);
    let faults = outcome.report["faults"]["first"].to_string();
    assert!(faults.contains("connection 0: ") && faults.contains("connection 1: "), "{faults}");
}

/// The server answers nothing until message 39 has come, which is due 390 ms after message 0. A load generator that waited for
/// answers before it sends, or counted from the time of sending, would see no latency near that.
#[test]
fn a_stall_is_counted_from_when_messages_were_due() {
    let server = serve(|| {
        let mut held = Vec::new();
        move |index, payload: &[u8]| {
            held.push(payload.to_vec());
            let answers = if index >= 39 { std::mem::take(&mut held) } else { Vec::new() };
            Reply { answers, then: Then::GoOn }
        }
    });
    let outcome = run_on(server, "/", "echo --connections 1 --rate 100 --count 40 --warmup 0s");

    assert_eq!(outcome.code, 0, "{outcome:?}");
    let latency = &outcome.report["latencies"][0];
    assert_eq!(latency["count"], 40);
    // Message k waited for (39 - k) intervals of 10 ms at least; the histogram is exact to 0.1 %.
    assert!(latency["p50_us"].as_f64().unwrap() >= 190_000.0 * 0.999, "{latency}");
    assert!(latency["max_us"].as_f64().unwrap() >= 390_000.0 * 0.999, "{latency}");
}

#[test]
fn publications_that_come_twice_or_not_to_all_are_faults() {
    let twice = serve(|| |_, payload: &[u8]| Reply { answers: vec![payload.to_vec(); 2], then: Then::GoOn });
    let outcome = run_on(twice, "/", "fanout --subscribers 1 --count 3 --warmup 0s");
    assert_eq!(outcome.code, 1);
    assert!(outcome.report["faults"]["first"].to_string().contains("twice or out of order"), "{outcome:?}");

    let only_to_the_sender = serve(|| |_, payload: &[u8]| answer(payload));
    let outcome =
        run_on(only_to_the_sender, "/", "fanout --subscribers 2 --count 1 --warmup 0s --duration 200ms");
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.report["faults"]["first"].to_string().contains("1 deliveries are missing"),
        "{outcome:?}"
    );
}

#[test]
fn offenders_that_are_answered_408_are_counted_as_such() {
    let line = "slowloris --connections 10 --byte-interval 20ms --duration 20s \
        --well-behaved 2 --rate 200 --baseline 200ms --warmup 0s";
    let outcome = run_on(impatient_echo(), "/", line);

    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.report["endings"]["answered with status 408"], 10);
    let seconds = outcome.report["measured_seconds"].as_f64().unwrap();
    assert!(seconds < 20.0, "the run ends when all offenders have: {seconds}");
}

#[test]
fn a_bound_on_p99_that_is_exceeded_fails_the_run() {
    let line = "slowloris --connections 2 --duration 200ms --well-behaved 2 --rate 200 --baseline 200ms \
        --warmup 0s --p99-ratio-max 0.000001";
    let outcome = run_on(impatient_echo(), "/", line);
    assert_eq!(outcome.code, 1);
    assert!(outcome.report["faults"]["first"].to_string().contains("p99 beside offenders"), "{outcome:?}");
}

#[test]
fn a_server_that_refuses_makes_the_run_impossible_and_is_quoted() {
    let server = refuse("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    for scenario in ["echo", "fanout", "handshake", "idle --connections 3", "slowloris", "slow-readers"] {
        let outcome = run_on(server, "/echo", scenario);
        assert_eq!(outcome.code, 2, "{scenario}: {outcome:?}");
        assert!(outcome.stderr.contains("refused with status 503"), "{scenario}: {}", outcome.stderr);
    }
}

#[test]
fn an_answer_that_is_no_acceptance_is_told_from_a_refusal() {
    let server =
        refuse("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    let outcome = run_on(server, "/", "echo");
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("no WebSocket"), "{}", outcome.stderr);
}

#[test]
fn nobody_listening_makes_the_run_impossible() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = run_on(address, "/echo", "echo");
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("Connection refused"), "{}", outcome.stderr);
}

#[test]
fn what_cannot_be_measured_is_refused_before_connecting() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (line, words) in [
        ("fanout --size 8", "--size must be at least 16"),
        ("fanout --subscribers 2 --publishers 3", "--publishers are subscribers too"),
        ("echo --connections 1000000", "limit of open files"),
        ("slow-readers --offender-size 3", "--offender-size"),
    ] {
        let outcome = run_on(address, "/", line);
        let is_this_machine = words == "limit of open files";
        assert_eq!(outcome.code, if is_this_machine { 2 } else { 64 }, "{line}");
        assert!(outcome.stderr.contains(words), "{line}: {}", outcome.stderr);
    }
}

#[test]
fn a_pid_that_does_not_exist_is_named() {
    let server = serve(|| |_, payload: &[u8]| answer(payload));
    let outcome = run_on(server, "/", "echo --connections 1 --count 1 --warmup 0s --pid 4294967295");
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("/proc/4294967295"), "{}", outcome.stderr);
}
