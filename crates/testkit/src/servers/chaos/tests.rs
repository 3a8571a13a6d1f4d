use std::io::ErrorKind;

use super::*;
use crate::wait::until;

#[test]
fn a_whole_link_passes_bytes_on_and_counts_them() {
    let (proxy, mut client, mut server) = connected();
    client.write_all(b"hello").unwrap();
    assert_eq!(take(&server, 5), b"hello");
    server.write_all(b"hi").unwrap();
    assert_eq!(take(&client, 2), b"hi");

    until("the counts", || (proxy.upstream_bytes() == 5 && proxy.downstream_bytes() == 3).then_some(()));
}

#[test]
fn a_cut_link_holds_bytes_back_until_it_is_healed() {
    let (proxy, mut client, mut server) = connected();
    proxy.cut();
    client.write_all(b"hello").unwrap();
    server.write_all(b"hi").unwrap();

    assert!(is_silent(&mut server) && is_silent(&mut client));
    proxy.heal();
    assert_eq!(take(&server, 5), b"hello");
    assert_eq!(take(&client, 2), b"hi");
}

#[test]
fn a_link_can_be_cut_one_way() {
    let (proxy, mut client, mut server) = connected();
    proxy.cut_upstream();
    client.write_all(b"hello").unwrap();
    server.write_all(b"hi").unwrap();
    assert_eq!(take(&client, 2), b"hi");
    assert!(is_silent(&mut server));

    proxy.heal();
    assert_eq!(take(&server, 5), b"hello");
    proxy.cut_downstream();
    client.write_all(b"again").unwrap();
    server.write_all(b"hi").unwrap();
    assert_eq!(take(&server, 5), b"again");
    assert!(is_silent(&mut client));
}

#[test]
fn a_delayed_link_keeps_each_byte_but_not_those_behind_it() {
    let (proxy, mut client, server) = connected();
    let delay = Duration::from_millis(100);
    proxy.delay(delay);

    let sent_at = Instant::now();
    let count = 20;
    for _ in 0..count {
        client.write_all(b"x").unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    take(&server, count);
    // One after the other they would take two seconds.
    assert!(sent_at.elapsed() >= delay);
    assert!(sent_at.elapsed() < delay * 10, "{:?}", sent_at.elapsed());
}

#[test]
fn a_throttled_link_trickles() {
    let (proxy, mut client, server) = connected();
    proxy.throttle(200_000);

    let sent_at = Instant::now();
    client.write_all(&[0; 3 * CHUNK_BYTES]).unwrap();
    take(&server, 3 * CHUNK_BYTES);
    // The pause comes after each chunk, so there are two.
    assert!(sent_at.elapsed() >= Duration::from_millis(120), "{:?}", sent_at.elapsed());
}

#[test]
fn a_reset_ends_connections_and_new_ones_can_be_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = ChaosProxy::start(listener.local_addr().unwrap());
    let (mut client, mut server) = connect_through(&proxy, &listener);
    proxy.reset();
    assert_eq!((end(&mut client), end(&mut server)), (0, 0));

    let (mut client, mut server) = connect_through(&proxy, &listener);
    client.write_all(b"hello").unwrap();
    assert_eq!(take(&server, 5), b"hello");
    drop(proxy);
    assert_eq!((end(&mut client), end(&mut server)), (0, 0));
}

#[test]
fn an_end_is_passed_on() {
    let (_proxy, client, mut server) = connected();
    drop(client);
    assert_eq!(end(&mut server), 0);
}

fn connected() -> (ChaosProxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = ChaosProxy::before(listener.local_addr().unwrap().port());
    let (client, server) = connect_through(&proxy, &listener);
    (proxy, client, server)
}

fn connect_through(proxy: &ChaosProxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.address()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(crate::DEADLINE)).unwrap();
    }
    // The proxy is done with it when it passes something on.
    (&server).write_all(b"?").unwrap();
    assert_eq!(take(&client, 1), b"?");
    (client, server)
}

fn take(mut stream: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Bytes read at the end of a connection, which may be an error: a reset is one.
fn end(stream: &mut TcpStream) -> usize {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
        Err(error) => panic!("{error}"),
    }
}

fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let is_silent = match stream.read(&mut [0; 1]) {
        Ok(_) => false,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    };
    stream.set_read_timeout(Some(crate::DEADLINE)).unwrap();
    is_silent
}
