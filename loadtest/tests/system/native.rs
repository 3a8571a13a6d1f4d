//! The scenarios in the native dialect, against a hub that does nothing wrong, and against servers that do not speak it.

use crate::hub::{Flaw, Keeps, serve_hub};
use crate::program::{FloorServer, Outcome, run_on};
use crate::scripted::{answer, serve};

#[test]
fn a_client_gets_what_it_publishes_on_a_channel_of_its_own() {
    let hub = serve_hub(Keeps::Nothing, Flaw::None);
    let line = "echo --dialect native --connections 5 --depth 3 --count 200 --warmup 0s";
    let outcome = run_on(hub, "/ws", line);

    assert_passed(&outcome);
    assert_eq!(outcome.report["counts"]["received"], 200);
    assert_eq!(outcome.report["latencies"][0]["count"], 200);
}

#[test]
fn a_publication_reaches_every_subscriber_of_its_channel() {
    let hub = serve_hub(Keeps::All, Flaw::None);
    let line = "fanout --dialect native --subscribers 10 --publishers 2 --depth 4 --count 50 --warmup 0s";
    let outcome = run_on(hub, "/ws", line);

    assert_passed(&outcome);
    assert_eq!(outcome.report["counts"]["delivered"], 500);
}

#[test]
fn publications_are_due_on_a_clock_in_this_dialect_too() {
    let hub = serve_hub(Keeps::Nothing, Flaw::None);
    let line = "fanout --dialect native --subscribers 3 --rate 1000 --count 100 --warmup 0s";
    let outcome = run_on(hub, "/ws", line);

    assert_passed(&outcome);
    assert!(outcome.report["measured_seconds"].as_f64().unwrap() >= 0.099, "{}", outcome.report);
}

#[test]
fn a_handshake_ends_with_the_reply_to_connect() {
    let hub = serve_hub(Keeps::Nothing, Flaw::None);
    let secret = "--jwt-secret 0123456789abcdef0123456789abcdef";
    let line = format!("handshake --dialect native --concurrency 4 --count 40 --warmup 0s {secret}");
    let outcome = run_on(hub, "/ws", &line);

    assert_passed(&outcome);
    assert_eq!(outcome.report["latencies"][0]["count"], 40);
}

#[test]
fn idle_sessions_have_a_subscription_each() {
    let hub = serve_hub(Keeps::Nothing, Flaw::None);
    for channels in ["", "--own-channels"] {
        let line = format!("idle --dialect native --connections 20 --settle 10ms {channels}");
        let outcome = run_on(hub, "/ws", &line);
        assert_passed(&outcome);
        assert_eq!(outcome.report["counts"]["connections"], 20);
    }
}

#[test]
fn the_feeder_of_slow_readers_publishes_to_a_channel_by_name() {
    let hub = serve_hub(Keeps::Nothing, Flaw::None);
    let line = "slow-readers --dialect native --connections 3 --channel slow --offender-size 64 --well-behaved 2 \
        --rate 200 --baseline 200ms --duration 300ms --warmup 0s";
    let outcome = run_on(hub, "/ws", line);

    assert_passed(&outcome);
    assert_eq!(outcome.report["endings"]["still open"], 3);
    assert!(outcome.report["counts"]["unread messages sent"].as_u64().unwrap() > 1);
}

#[test]
fn what_comes_damaged_or_twice_is_a_fault_in_this_dialect_too() {
    for (flaw, words) in
        [(Flaw::Damages, "wrong content from byte"), (Flaw::Duplicates, "twice or out of order")]
    {
        let hub = serve_hub(Keeps::All, flaw);
        let line = "fanout --dialect native --subscribers 2 --count 30 --warmup 0s";
        let outcome = run_on(hub, "/ws", line);
        assert_eq!(outcome.code, 1, "{flaw:?}: {outcome:?}");
        assert!(outcome.report["faults"]["first"].to_string().contains(words), "{flaw:?}: {outcome:?}");
    }
}

#[test]
fn a_refused_connect_makes_the_run_impossible_and_is_quoted() {
    let hub = serve_hub(Keeps::All, Flaw::KnowsNobody);
    for scenario in ["burst", "echo", "fanout", "handshake", "idle", "slowloris", "slow-readers", "verify"] {
        let outcome = run_on(hub, "/ws", &format!("{scenario} --dialect native"));
        assert_eq!(outcome.code, 2, "{scenario}: {outcome:?}");
        let words = "rejected: unauthorized: who are you?";
        assert!(outcome.stderr.contains(words), "{scenario}: {}", outcome.stderr);
    }
}

#[test]
fn a_server_without_the_subprotocol_is_told_from_one_that_has_it() {
    let server = serve(|| |_, payload: &[u8]| answer(payload));
    for scenario in ["echo --dialect native", "verify"] {
        let outcome = run_on(server, "/", scenario);
        assert_eq!(outcome.code, 2, "{scenario}");
        assert!(outcome.stderr.contains("does not speak tidegate.v1.json"), "{}", outcome.stderr);
    }
}

#[test]
fn verify_needs_the_native_dialect() {
    let outcome = run_on(FloorServer::start().address, "/", "verify --dialect raw");
    assert_eq!(outcome.code, 64);
    assert!(outcome.stderr.contains("needs sessions"), "{}", outcome.stderr);
}

fn assert_passed(outcome: &Outcome) {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.report["verdict"], "passed", "{outcome:?}");
}
