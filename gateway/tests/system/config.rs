//! Configuration from outside: every fault is told at once, and none lets a port be bound.

use tidegate_testkit::Gateway;

use crate::gateway;

#[test]
fn every_fault_is_reported_and_the_exit_code_is_64() {
    let (code, _, stderr) = gateway()
        .set("limits.handshake_timeout", "10")
        .set("client.lisen", "127.0.0.1:1")
        .config("[limits]\nmesage_bytes = \"1MiB\"\nconnections = \"many\"")
        .run_to_end(&[]);

    assert_eq!(code, Some(64), "{stderr}");
    for hint in [
        "limits.handshake_timeout",
        "10s",
        "TIDEGATE_CLIENT__LISEN",
        "TIDEGATE_CLIENT__LISTEN",
        "mesage_bytes",
        "message_bytes",
        "limits.connections",
        "gateway.toml:2",
    ] {
        assert!(stderr.contains(hint), "`{hint}` is not in:\n{stderr}");
    }
}

#[test]
fn a_check_says_yes_or_no_and_starts_nothing() {
    let (code, _, stderr) = gateway().run_to_end(&["--check-config"]);
    assert_eq!((code, &stderr[..]), (Some(0), ""));

    let (code, _, stderr) = gateway().set("limits.frame_bytes", "2MiB").run_to_end(&["--check-config"]);
    assert_eq!(code, Some(64), "{stderr}");
    assert!(stderr.contains("limits.frame_bytes") && stderr.contains("limits.message_bytes"), "{stderr}");
}

#[test]
fn what_is_printed_is_a_configuration_again_and_says_where_each_value_is_from() {
    let (code, printed, _) = gateway()
        .set("limits.message_bytes", "2MiB")
        .config("[drain]\nwindow = \"7s\"")
        .run_to_end(&["--print-config"]);
    assert_eq!(code, Some(0));
    assert!(printed.contains("TIDEGATE_LIMITS__MESSAGE_BYTES") && printed.contains("# default"), "{printed}");

    let (code, again, stderr) = gateway().config(&printed).run_to_end(&["--print-config"]);
    assert_eq!(code, Some(0), "{stderr}");
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned()).collect()
    };
    assert_eq!(values(&again), values(&printed));
}

#[test]
fn a_port_that_is_taken_is_named_with_its_key() {
    let first = gateway().start();

    let (code, stdout, stderr) = gateway().set("client.listen", &first.client().to_string()).run_to_end(&[]);

    assert_eq!(code, Some(69), "{stdout}{stderr}");
    assert!(format!("{stdout}{stderr}").contains("client.listen"), "{stdout}{stderr}");
}

#[test]
fn a_path_of_ones_own_replaces_the_defaults() {
    let gateway: Gateway = gateway().config("[[raw]]\npath = \"/mine\"\nmode = \"echo\"").start();

    gateway.open("/mine").check_echo("here");

    assert_eq!(gateway.request("/echo").refused().status, 404);
}
