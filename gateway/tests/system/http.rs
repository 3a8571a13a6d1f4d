//! Plain HTTP on the client port: the demo page, and words for everyone who came to the wrong door.

use tidegate_testkit::{HttpResponse, Request};

use crate::gateway;

#[test]
fn the_demo_page_is_at_the_root_and_may_load_nothing_from_elsewhere() {
    let gateway = gateway().start();

    let page = gateway.client_get("/");

    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.body.contains("<title>Tidegate demo</title>"));
}

#[test]
fn the_demo_page_can_be_switched_off() {
    let gateway = gateway().set("client.demo_page", "false").start();

    assert_eq!(gateway.client_get("/").status, 404);
}

#[test]
fn a_path_that_only_takes_an_upgrade_says_so() {
    let gateway = gateway().start();

    for path in ["/echo", "/raw/tea"] {
        let response = gateway.client_get(path);
        assert_eq!(response.status, 426, "{path}");
        assert_eq!(response.header("upgrade"), Some("websocket"), "{path}");
        assert_eq!(response.header("sec-websocket-version"), Some("13"), "{path}");
        assert_eq!(response.body.lines().count(), 1, "{response:?}");
    }
}

#[test]
fn other_paths_are_not_found_and_other_methods_are_told_the_right_one() {
    let gateway = gateway().start();

    assert_eq!(gateway.client_get("/nowhere").status, 404);
    let posted = gateway.client_call("POST", "/");
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    let head = gateway.client_call("HEAD", "/");
    assert_eq!((head.status, &head.body[..]), (200, ""));
}

#[test]
fn every_answer_ends_the_connection_so_that_an_upgrade_gets_a_fresh_one() {
    let gateway = gateway().start();
    let mut client = Request::to(gateway.client(), "").connect();

    client.send_bytes(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");

    // Only a connection that the server closes lets this come to an end.
    let response = HttpResponse::parse(&client.read_to_end());
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
}

#[test]
fn a_head_that_arrives_in_pieces_is_served_as_well() {
    let gateway = gateway().start();
    let mut client = Request::to(gateway.client(), "").connect();

    for byte in *b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" {
        client.send_bytes(&[byte]);
    }

    assert_eq!(HttpResponse::parse(&client.read_to_end()).status, 200);
}
