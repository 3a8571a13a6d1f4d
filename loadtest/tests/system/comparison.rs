//! `compare` with a second floor in the place of another server: everything but the figures can be told in advance.

use std::os::unix::fs::PermissionsExt;

use crate::hub::{Flaw, Keeps, serve_hub};
use crate::program::{BINARY, run, run_words};

#[test]
fn servers_are_measured_in_turn_and_put_in_relation() {
    let peer = format!("twin={BINARY} floor");
    let outcome = run_words(&[
        "compare",
        "--peer",
        &peer,
        "--rows",
        "echo-16in,handshake",
        "--repetitions",
        "2",
        "--duration",
        "100ms",
        "--json",
    ]);

    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.report["servers"].to_string(), r#"["floor","twin"]"#);
    for (row, name) in outcome.report["rows"].as_array().unwrap().iter().zip(["echo-16in", "handshake"]) {
        assert_eq!(row["row"], name);
        assert_eq!(row["cells"][0]["ratio"]["median"], 1.0);
        assert_eq!(row["cells"][1]["samples"].as_array().unwrap().len(), 2);
        assert!(row["cells"][1]["ratio"]["median"].as_f64().unwrap() > 0.0);
    }
    let order: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("echo-16in"))
        .map(|line| if line.contains("twin") { "twin" } else { "floor" })
        .collect();
    assert_eq!(order, ["floor", "twin", "twin", "floor"], "the order is reversed each time");
}

#[test]
fn the_table_is_written_between_the_markers_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("performance.md");
    std::fs::write(&file, "# Before\n<!-- table:begin -->\n<!-- table:end -->\nafter\n").unwrap();
    let peer = format!("twin={BINARY} floor --listen 127.0.0.1:{{port}}");
    let outcome = run_words(&[
        "compare",
        "--peer",
        &peer,
        "--rows",
        "echo-16in",
        "--repetitions",
        "1",
        "--duration",
        "50ms",
        "--quiet",
        "--markdown",
        file.to_str().unwrap(),
    ]);

    assert_eq!(outcome.code, 0, "{outcome:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# Before\n") && text.ends_with("\nafter\n"), "{text}");
    assert!(text.contains("| Echo 125 B, 20 connections, 16 in flight |"), "{text}");
    assert!(text.contains("| twin |"), "{text}");
}

#[test]
fn a_server_that_does_not_start_is_named() {
    let outcome =
        run("compare --gateway /nonexistent/gateway --rows echo-125 --repetitions 1 --duration 50ms --quiet");
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("server gateway did not start"), "{}", outcome.stderr);
    assert_eq!(run("compare").code, 64);
}

/// The gateway here is a script that tells where the hub is: what `compare` gives it and does with it is real, its CPU time is not.
#[test]
fn rows_about_sessions_start_the_gateway_with_a_key_and_speak_its_dialect() {
    let hub = serve_hub(Keeps::Nothing, Flaw::None);
    let directory = tempfile::tempdir().unwrap();
    let gateway = directory.path().join("gateway");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --config ] && grep -q 'alg = \"HS256\"' \"$2\" && echo listening on {hub}\nexec sleep 60\n"
    );
    std::fs::write(&gateway, script).unwrap();
    std::fs::set_permissions(&gateway, std::fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = run_words(&[
        "compare",
        "--gateway",
        gateway.to_str().unwrap(),
        "--rows",
        "native-publish,native-connect",
        "--repetitions",
        "1",
        "--duration",
        "100ms",
        "--quiet",
        "--markdown",
    ]);

    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("| Publish 125 B to 1 subscriber, 100 sessions; floor: echo |"));
    assert!(outcome.stdout.contains("<= 2.50 x"), "{}", outcome.stdout);
}
