//! TLS on the client port, and certificates that change under it.

use tidegate_testkit::{Builder, Certificate, HttpResponse, Request};

use crate::gateway;

#[test]
fn messages_of_all_sizes_come_back_over_tls() {
    let certificate = Certificate::generate();
    let gateway = with_certificate(&certificate).start();
    let mut client = gateway.request("/echo").tls(&certificate).open();

    for length in [0, 125, 65_536, 1024 * 1024] {
        let payload = vec![0x5a; length];
        client.send_binary(&payload);
        assert_eq!(client.read_frame().payload, payload, "{length} bytes");
    }
    gateway.await_metric("tidegate_connections_active", &[("transport", "tls")], 1.0);
}

#[test]
fn members_of_a_channel_share_it_over_tls() {
    let certificate = Certificate::generate();
    let gateway = with_certificate(&certificate).start();
    let mut members: Vec<_> = (0..3).map(|_| gateway.request("/raw/tea").tls(&certificate).open()).collect();

    members[1].send_text("milk?");

    members.iter_mut().for_each(|member| member.expect_text("milk?"));
}

#[test]
fn a_new_certificate_is_shown_to_new_clients_and_drops_none() {
    let (old, new) = (Certificate::generate(), Certificate::generate());
    let builder = with_certificate(&old).set("client.tls.reload_interval", "100ms");
    let folder = builder.folder().to_owned();
    let gateway = builder.start();
    let mut veteran = gateway.request("/echo").tls(&old).open();

    new.write_to(&folder);
    gateway.await_metric("tidegate_certificate_reloads_total", &[("outcome", "reloaded")], 1.0);

    let newcomer = gateway.request("/echo").tls(&new).open();
    assert!(newcomer.was_shown(&new));
    veteran.check_echo("the old session goes on");
}

#[test]
fn a_certificate_that_cannot_be_read_leaves_the_old_one_in_place() {
    let certificate = Certificate::generate();
    let builder = with_certificate(&certificate).set("client.tls.reload_interval", "100ms");
    let file = builder.folder().join("cert.pem");
    let gateway = builder.start();

    std::fs::write(&file, "no certificate\n").unwrap();
    tidegate_testkit::until("a failed reload", || {
        (gateway.metric("tidegate_certificate_reloads_total", &[("outcome", "failed")]) >= 1.0).then_some(())
    });

    gateway.request("/echo").tls(&certificate).open().check_echo("as before");
}

#[test]
fn plain_http_on_the_tls_port_does_no_harm() {
    let certificate = Certificate::generate();
    let gateway = with_certificate(&certificate).start();
    let mut plain = Request::to(gateway.client(), "").connect();

    plain.send_bytes(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    plain.expect_end_of_bytes();

    gateway.await_metric("tidegate_handshakes_total", &[("outcome", "tls")], 1.0);
    gateway.request("/echo").tls(&certificate).open().check_echo("as before");
}

#[test]
fn a_tls_handshake_that_never_goes_on_is_reaped_and_counted() {
    let certificate = Certificate::generate();
    let gateway = with_certificate(&certificate).set("limits.handshake_timeout", "1s").start();
    let mut silent = Request::to(gateway.client(), "").connect();

    silent.expect_end_of_bytes();

    gateway.await_metric("tidegate_handshakes_reaped_total", &[("stage", "tls")], 1.0);
}

#[test]
fn the_demo_page_is_served_over_tls() {
    let certificate = Certificate::generate();
    let gateway = with_certificate(&certificate).start();
    let mut client = gateway.request("/").tls(&certificate).connect();

    client.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");

    let page = HttpResponse::parse(&client.read_to_end());
    assert_eq!(page.status, 200);
    assert!(page.body.ends_with("</html>\n"), "the page is cut off after {} bytes", page.body.len());
}

#[test]
fn a_key_of_another_certificate_is_refused_at_the_start() {
    let (one, other) = (Certificate::generate(), Certificate::generate());
    let builder = with_certificate(&one);
    let elsewhere = tempfile::tempdir().unwrap();
    other.write_to(elsewhere.path());
    let key = elsewhere.path().join("key.pem");

    let (code, stdout, stderr) = builder.set("client.tls.key_file", key.to_str().unwrap()).run_to_end(&[]);

    assert_eq!(code, Some(64), "{stdout}{stderr}");
    assert!(format!("{stdout}{stderr}").contains("key"), "{stdout}{stderr}");
}

fn with_certificate(certificate: &Certificate) -> Builder {
    let builder = gateway();
    certificate.write_to(builder.folder());
    let file =
        |name| builder.folder().join(name).to_str().expect("temporary folders have plain names").to_owned();
    let (cert_file, key_file) = (file("cert.pem"), file("key.pem"));
    builder.set("client.tls.cert_file", &cert_file).set("client.tls.key_file", &key_file)
}
