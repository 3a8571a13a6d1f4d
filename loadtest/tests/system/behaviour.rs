//! Each scenario against the floor: the counts add up.

use std::net::SocketAddr;

use crate::program::{FloorServer, Outcome, run, run_on};
use crate::scripted::tls_echo;

#[test]
fn every_echo_that_is_sent_comes_back_and_is_counted() {
    let floor = FloorServer::start();
    let outcome = run_on(floor.address, "/echo", "echo --connections 10 --count 1000 --warmup 0s --depth 3");

    assert_passed(&outcome);
    assert_eq!(outcome.report["counts"]["connections"], 10);
    assert_eq!(outcome.report["counts"]["sent"], 1000);
    assert_eq!(outcome.report["counts"]["received"], 1000);
    assert_eq!(outcome.report["units"], 1000);
    assert_eq!(outcome.report["latencies"][0]["count"], 1000);
}

#[test]
fn echoes_of_every_size_are_checked_also_those_that_come_in_parts() {
    let floor = FloorServer::start();
    for size in ["0", "1", "126", "65535", "65536", "200KiB"] {
        let line = format!("echo --connections 2 --count 20 --warmup 0s --text --size {size}");
        let outcome = run_on(floor.address, "/echo", &line);
        assert_passed(&outcome);
        assert_eq!(outcome.report["counts"]["received"], 20, "size {size}");
    }
}

#[test]
fn an_open_loop_sends_what_its_schedule_says() {
    let floor = FloorServer::start();
    let line = "echo --connections 3 --rate 2000 --count 300 --warmup 0s";
    let outcome = run_on(floor.address, "/echo", line);

    assert_passed(&outcome);
    assert_eq!(outcome.report["counts"]["received"], 300);
    let lag = &outcome.report["latencies"][1];
    assert_eq!((lag["name"].as_str(), lag["count"].as_u64()), (Some("sent after due"), Some(300)));
    // 300 messages at 2000 a second are due over 149.5 ms.
    assert!(outcome.report["measured_seconds"].as_f64().unwrap() >= 0.149, "{}", outcome.report);
}

#[test]
fn a_publication_reaches_every_member_once() {
    let floor = FloorServer::start();
    let line = "fanout --subscribers 20 --publishers 3 --depth 4 --count 50 --warmup 0s";
    let outcome = run_on(floor.address, "/raw/a", line);

    assert_passed(&outcome);
    assert_eq!(outcome.report["counts"]["published"], 50);
    assert_eq!(outcome.report["counts"]["delivered"], 1000);
    assert_eq!(outcome.report["units"], 1000);
    assert_eq!(outcome.report["latencies"][1]["count"], 50);
}

#[test]
fn publications_can_be_due_on_a_clock() {
    let floor = FloorServer::start();
    let outcome =
        run_on(floor.address, "/raw/a", "fanout --subscribers 5 --rate 1000 --count 60 --warmup 0s");
    assert_passed(&outcome);
    assert_eq!(outcome.report["counts"]["delivered"], 300);
}

#[test]
fn handshakes_end_in_the_way_that_was_asked_for() {
    let floor = FloorServer::start();
    for (goodbye, ending) in [
        ("frame", "closed with code 1000"),
        ("fin", "closed by this client"),
        ("reset", "closed by this client"),
    ] {
        let line = format!(
            "handshake --concurrency 4 --count 100 --warmup 0s --goodbye {goodbye} --source-ips 127.0.0.2-127.0.0.4"
        );
        let outcome = run_on(floor.address, "/echo", &line);
        assert_passed(&outcome);
        assert_eq!(outcome.report["counts"]["upgraded"], 100);
        assert_eq!(outcome.report["units"], 100);
        assert_eq!(outcome.report["endings"][ending], 100, "{goodbye}: {}", outcome.report);
    }
}

#[test]
fn handshakes_can_be_due_on_a_clock() {
    let floor = FloorServer::start();
    let outcome = run_on(floor.address, "/echo", "handshake --rate 500 --count 50 --warmup 0s");
    assert_passed(&outcome);
    assert_eq!(outcome.report["latencies"][0]["count"], 50);
    assert!(outcome.report["measured_seconds"].as_f64().unwrap() >= 0.097, "{}", outcome.report);
}

#[test]
fn idle_connections_are_charged_with_the_growth_of_the_server() {
    let floor = FloorServer::start();
    let line = format!("idle --connections 500 --settle 100ms --pid {}", floor.pid());
    let outcome = run_on(floor.address, "/echo", &line);

    assert_passed(&outcome);
    assert_eq!(outcome.report["counts"]["connections"], 500);
    let bytes = outcome.report["derived"]["private_bytes_per_connection"].as_f64().unwrap();
    // The floor holds next to nothing for a connection, and the kernel may take a page of its program back meanwhile.
    assert!(bytes.abs() < 4096.0, "{bytes} bytes a connection");
}

#[test]
fn the_members_of_a_fan_out_take_turns_over_all_nodes() {
    let (floor, other) = (FloorServer::start(), FloorServer::start());
    let fanout = |node: SocketAddr| {
        let line = format!(
            "fanout --other-url ws://{node}/room --subscribers 4 --count 1 --warmup 0s --duration 200ms"
        );
        run_on(floor.address, "/room", &line)
    };

    assert_passed(&fanout(floor.address));
    let apart = fanout(other.address);
    let faults = apart.report["faults"]["first"].to_string();
    assert!(
        faults.contains("2 deliveries are missing"),
        "two of four are at a server of their own: {faults}"
    );
}

#[test]
fn cpu_time_of_the_server_is_read_when_its_pid_is_given() {
    let floor = FloorServer::start();
    let line = format!("echo --count 20000 --warmup 0s --connections 4 --depth 8 --pid {}", floor.pid());
    let outcome = run_on(floor.address, "/echo", &line);
    assert_passed(&outcome);
    assert!(outcome.report["server"]["cpu_us_per_unit"].as_f64().unwrap() > 0.0, "{}", outcome.report);
}

#[test]
fn slow_readers_of_a_channel_are_dropped_by_the_floor_and_the_feeder_gets_everything() {
    let floor = FloorServer::start();
    let line = "slow-readers --channel /raw/slow --connections 8 --offender-rate 400 --duration 1500ms \
        --well-behaved 4 --rate 400 --baseline 300ms --warmup 0s";
    let outcome = run_on(floor.address, "/echo", line);

    assert_passed(&outcome);
    let endings = outcome.report["endings"].as_object().unwrap();
    assert_eq!(endings.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 8);
    assert!(!endings.contains_key("still open"), "{}", outcome.report);
    assert_two_latencies(&outcome);
}

#[test]
fn senders_that_do_not_read_are_dropped_by_the_floor() {
    let floor = FloorServer::start();
    let line = "slow-readers --connections 4 --offender-rate 2000 --duration 1500ms \
        --well-behaved 4 --rate 400 --baseline 300ms --warmup 0s";
    let outcome = run_on(floor.address, "/echo", line);

    assert_passed(&outcome);
    assert!(outcome.report["endings"].get("still open").is_none(), "{}", outcome.report);
    assert_two_latencies(&outcome);
}

#[test]
fn half_open_handshakes_stay_open_at_a_server_without_deadlines() {
    let floor = FloorServer::start();
    let line = "slowloris --connections 30 --byte-interval 50ms --duration 500ms \
        --well-behaved 4 --rate 400 --baseline 300ms --warmup 0s";
    let outcome = run_on(floor.address, "/echo", line);

    assert_passed(&outcome);
    assert_eq!(outcome.report["endings"]["still open"], 30);
    assert_two_latencies(&outcome);
}

#[test]
fn the_same_is_done_over_tls() {
    let server = tls_echo();
    for line in ["echo --connections 3 --depth 4", "handshake --concurrency 2"] {
        let (scenario, options) = line.split_once(' ').unwrap();
        let outcome =
            run(&format!("{scenario} --url wss://{server}/ --json --quiet --count 60 --warmup 0s {options}"));
        assert_passed(&outcome);
        assert_eq!(outcome.report["units"], 60);
    }
}

#[test]
fn a_table_is_printed_for_people() {
    let floor = FloorServer::start();
    let line = format!("echo --url ws://{}/echo --count 10 --warmup 0s --quiet", floor.address);
    let outcome = run(&line);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stdout.starts_with("echo on ws://") && outcome.stdout.ends_with("passed\n"));
    assert_eq!(outcome.stderr, "");
}

fn assert_two_latencies(outcome: &Outcome) {
    for index in [0, 1] {
        assert!(outcome.report["latencies"][index]["count"].as_u64().unwrap() > 0, "{}", outcome.report);
    }
    assert!(outcome.report["derived"]["p99_ratio"].as_f64().unwrap() > 0.0);
    assert!(outcome.report["counts"]["kernel packet drops"].is_u64());
}

fn assert_passed(outcome: &Outcome) {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.report["verdict"], "passed");
}
