use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::http::raw_path::RawPath;
use crate::net::tls::testing::{PATIENCE, connect, read_to_end, test_client, test_pair, test_server};
use crate::net::transport::Transport;

/// The HTTP side as the gateway runs it, with this thread in the part of a worker.
struct Fixture {
    runtime: Runtime,
    door: HttpDoor,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    listener: TcpListener,
    address: SocketAddr,
}

/// Deadlines that no test is meant to reach, unless it says so.
fn patient() -> HttpDeadlines {
    HttpDeadlines { exchange: PATIENCE, linger: PATIENCE, stop: PATIENCE }
}

fn pages(demo_page: bool) -> Pages {
    let upgrade_only = ["/echo", "/raw/{channel}"].map(|path| RawPath::parse(path).unwrap()).to_vec();
    Pages { demo_page, upgrade_only }
}

fn start(pages: Pages, connections_max: usize, deadlines: HttpDeadlines) -> Fixture {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (door, server) = HttpServer::new(pages, connections_max, deadlines);
    let (stop, stopped) = oneshot::channel();
    let serving = runtime.spawn(server.run(async { drop(stopped.await) }));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    Fixture { runtime, door, stop, serving, listener, address }
}

impl Fixture {
    /// Connects a client and accepts it as a worker would.
    fn connect(&self) -> (TcpStream, mio::net::TcpStream) {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        (client, self.accept())
    }

    fn accept(&self) -> mio::net::TcpStream {
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        mio::net::TcpStream::from_std(socket)
    }

    fn hand_over(&self, socket: mio::net::TcpStream, prefix: &str) -> Result<(), Handover> {
        let (transport, prefix) = (Transport::Plain(socket), prefix.as_bytes().to_vec());
        self.door.try_handover(Handover { transport, prefix, peer: self.address })
    }

    /// Sends one request whose head a worker has read; returns the answer's head, in lower case, and its body.
    fn ask(&self, request: &str) -> (String, String) {
        let (mut client, socket) = self.connect();
        self.hand_over(socket, request).unwrap();
        split(&read_to_end(&mut client))
    }

    /// Stops the server and waits for its end.
    fn stop(self) {
        self.stop.send(()).unwrap();
        self.runtime.block_on(async { timeout(PATIENCE, self.serving).await.unwrap().unwrap() });
    }
}

fn split(answer: &[u8]) -> (String, String) {
    let answer = std::str::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.to_lowercase(), body.to_owned())
}

fn head(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[test]
fn the_demo_page_comes_whole_and_locked_down() {
    let fixture = start(pages(true), 8, patient());
    let (answer, body) = fixture.ask(&head("GET", "/"));
    assert!(answer.starts_with("http/1.1 200 ok\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-type: text/html; charset=utf-8"), "{answer}");
    assert!(answer.contains("\r\ncache-control: no-store"), "{answer}");
    assert!(answer.contains("\r\nx-content-type-options: nosniff"), "{answer}");
    assert!(answer.contains("\r\nreferrer-policy: no-referrer"), "{answer}");
    assert!(answer.contains("default-src 'none'") && answer.contains("connect-src 'self';"), "{answer}");
    assert_eq!(body, include_str!("../demo/chat.html"));
}

#[test]
fn everything_that_the_demo_page_names_is_there() {
    let fixture = start(pages(true), 8, patient());
    let files = ["chat.css", "chat.js"].into_iter().chain(imports(include_str!("../demo/chat.js")));
    let named: Vec<_> = files.map(|file| format!("/demo/{file}")).collect();
    assert!(named.len() > 3, "{named:?}");
    for path in &named {
        let kind = if path.ends_with(".css") { "css" } else { "javascript" };
        let (answer, body) = fixture.ask(&head("GET", path));
        assert!(answer.starts_with("http/1.1 200 ok\r\n"), "{path}: {answer}");
        assert!(
            answer.contains(&format!("\r\ncontent-type: text/{kind}; charset=utf-8")),
            "{path}: {answer}"
        );
        assert!(answer.contains(&format!("\r\ncontent-length: {}", body.len())), "{path}: {answer}");
        assert!(!body.is_empty(), "{path}");
    }
}

/// The files beside a script that it loads.
fn imports(script: &str) -> impl Iterator<Item = &str> {
    script.lines().filter_map(|line| line.split_once("from \"./")?.1.split('"').next())
}

#[test]
fn a_query_does_not_hide_the_page_and_head_has_no_body() {
    let fixture = start(pages(true), 8, patient());
    let (get, body) = fixture.ask(&head("GET", "/?room=1"));
    let (head, nothing) = fixture.ask(&head("HEAD", "/"));
    assert!(get.starts_with("http/1.1 200"), "{get}");
    assert_eq!(nothing, "");
    assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{head}");
}

#[test]
fn a_switched_off_demo_page_is_not_found() {
    let fixture = start(pages(false), 8, patient());
    for path in ["/", "/demo/chat.js"] {
        let (answer, _) = fixture.ask(&head("GET", path));
        assert!(answer.starts_with("http/1.1 404"), "{path}: {answer}");
    }
}

#[test]
fn a_path_that_takes_an_upgrade_says_how() {
    let fixture = start(pages(true), 8, patient());
    for path in ["/echo", "/raw/room1", "/raw/caf%C3%A9?x=y"] {
        let (answer, body) = fixture.ask(&head("GET", path));
        assert!(answer.starts_with("http/1.1 426 upgrade required\r\n"), "{path}: {answer}");
        assert!(answer.contains("\r\nupgrade: websocket"), "{answer}");
        assert!(answer.contains("\r\nconnection: upgrade, close"), "{answer}");
        assert!(answer.contains("\r\nsec-websocket-version: 13"), "{answer}");
        assert!(answer.contains("\r\ncontent-type: text/plain"), "{answer}");
        assert!(body.contains("WebSocket") && body.ends_with('\n') && body.lines().count() == 1, "{body}");
    }
}

#[test]
fn an_unknown_path_is_not_found_whatever_the_method() {
    let fixture = start(pages(true), 8, patient());
    for (method, path) in
        [("GET", "/nothing"), ("GET", "/raw/"), ("GET", "/echo/"), ("OPTIONS", "/nothing"), ("OPTIONS", "*")]
    {
        let (answer, body) = fixture.ask(&head(method, path));
        assert!(answer.starts_with("http/1.1 404 not found\r\n"), "{method} {path}: {answer}");
        assert_eq!(body, "Nothing here.\n");
    }
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let fixture = start(pages(true), 8, patient());
    for (method, path, status, allow) in [
        ("POST", "/", "405", "get, head"),
        ("DELETE", "/echo", "405", "get"),
        ("OPTIONS", "/", "204", "get, head"),
        ("OPTIONS", "/raw/room1", "204", "get"),
    ] {
        let (answer, _) = fixture.ask(&head(method, path));
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{method} {path}: {answer}");
        assert!(answer.split("\r\n").any(|line| line == format!("allow: {allow}")), "{answer}");
    }
}

#[test]
fn every_answer_closes_the_connection_and_a_second_request_gets_none() {
    let fixture = start(pages(true), 8, patient());
    for path in ["/", "/echo", "/nothing"] {
        let (answer, rest) = fixture.ask(&(head("GET", path) + &head("GET", path)));
        let connection: Vec<_> =
            answer.split("\r\n").filter(|line| line.starts_with("connection:")).collect();
        assert!(matches!(connection[..], [one] if one.ends_with("close")), "{connection:?}");
        assert!(!rest.contains("HTTP/1.1"), "{rest}");
    }
}

#[test]
fn a_request_that_comes_in_pieces_is_put_together() {
    let fixture = start(pages(true), 8, patient());
    let request = head("GET", "/nothing");
    for cut in [0, 1, 10, request.len() - 1] {
        let (mut client, socket) = fixture.connect();
        fixture.hand_over(socket, &request[..cut]).unwrap();
        client.write_all(&request.as_bytes()[cut..]).unwrap();
        assert!(split(&read_to_end(&mut client)).0.starts_with("http/1.1 404"), "{cut}");
    }
}

#[test]
fn a_body_nobody_asked_for_is_read_until_the_client_has_sent_it() {
    let fixture = start(pages(true), 8, patient());
    let (mut client, socket) = fixture.connect();
    let piece = [b'x'; 1024];
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 49152\r\n\r\n";
    for _ in 0..16 {
        client.write_all(&piece).unwrap();
    }
    fixture.hand_over(socket, head).unwrap();
    assert!(split(&read_to_end(&mut client)).0.starts_with("http/1.1 405"));
    // The runtime has one thread: when this is answered, the first exchange has done all it does by itself.
    fixture.ask(&self::head("GET", "/"));
    // A closed socket would answer these with a reset, which could have overtaken the answer.
    for _ in 16..48 {
        client.write_all(&piece).unwrap();
    }
}

#[test]
fn a_tls_connection_is_taken_over_in_the_middle() {
    let fixture = start(pages(true), 8, patient());
    let pair = test_pair();
    let server = test_server(&pair);
    let address = fixture.address;
    let client = std::thread::spawn(move || {
        let mut client = connect(address, &Arc::new(test_client(&pair)));
        client.write_all(head("GET", "/").as_bytes()).unwrap();
        // Ends without an error only if a close_notify came.
        split(&read_to_end(&mut client))
    });
    let mut transport = Transport::with_tls(fixture.accept(), &server, &[]).unwrap();
    let mut poll = mio::Poll::new().unwrap();
    poll.registry().register(&mut transport, mio::Token(0), mio::Interest::READABLE).unwrap();
    let mut events = mio::Events::with_capacity(4);
    let mut buf = [0; 65_536];
    let read = loop {
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        match transport.try_read(&mut buf) {
            Ok(n) => break n,
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
        }
    };
    poll.registry().deregister(&mut transport).unwrap();
    let handover = Handover { transport, prefix: buf[..read].to_vec(), peer: address };
    fixture.door.try_handover(handover).unwrap();
    let (answer, body) = client.join().unwrap();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert_eq!(body, include_str!("../demo/chat.html"));
}

/// Waits until the server has given a slot back, which happens just after the client saw the end.
fn await_in_use(fixture: &Fixture, expected: usize) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while fixture.door.in_use() != expected {
        assert!(std::time::Instant::now() < deadline, "{} slots in use", fixture.door.in_use());
        std::thread::yield_now();
    }
}

#[test]
fn a_connection_beyond_the_limit_is_given_back() {
    let fixture = start(pages(true), 2, patient());
    // Two requests that do not end, for now.
    let mut held: Vec<_> = (0..2)
        .map(|_| {
            let (client, socket) = fixture.connect();
            fixture.hand_over(socket, "GET / HTTP/1.1\r\n").unwrap();
            client
        })
        .collect();
    let (_client, socket) = fixture.connect();
    let mut returned = fixture.hand_over(socket, "GET /echo").unwrap_err();
    assert_eq!(returned.prefix, b"GET /echo");
    assert_eq!(returned.transport.try_write(b"HTTP/1.1 503 ").unwrap(), 13);
    assert_eq!(fixture.door.in_use(), 2);

    let mut client = held.pop().unwrap();
    client.write_all(b"Host: localhost\r\n\r\n").unwrap();
    read_to_end(&mut client);
    drop(client);
    await_in_use(&fixture, 1);
    assert!(fixture.ask(&head("GET", "/")).0.starts_with("http/1.1 200"));
}

#[test]
fn a_client_that_stalls_is_closed_at_the_deadline() {
    let deadlines = HttpDeadlines { exchange: Duration::from_millis(50), ..patient() };
    let fixture = start(pages(true), 1, deadlines);
    let (mut client, socket) = fixture.connect();
    fixture.hand_over(socket, "GET / HTTP/1.1\r\n").unwrap();
    // An end or a reset; an error of the timeout kind would be the server's failure.
    let end = client.read(&mut [0; 1024]).map_err(|e| e.kind());
    assert!(!matches!(end, Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)), "{end:?}");
    await_in_use(&fixture, 0);
}

#[test]
fn a_client_that_does_not_close_is_left_after_lingering() {
    let deadlines = HttpDeadlines { linger: Duration::from_millis(50), ..patient() };
    let fixture = start(pages(true), 1, deadlines);
    let (mut client, socket) = fixture.connect();
    fixture.hand_over(socket, &head("GET", "/")).unwrap();
    assert!(split(&read_to_end(&mut client)).0.starts_with("http/1.1 200"));
    await_in_use(&fixture, 0);
    drop(client);
}

#[test]
fn what_was_handed_over_before_the_stop_is_answered() {
    let (door, server) = HttpServer::new(pages(true), 8, patient());
    let fixture = Fixture { door, ..start(pages(true), 8, patient()) };
    let mut clients: Vec<_> = (0..4)
        .map(|_| {
            let (client, socket) = fixture.connect();
            fixture.hand_over(socket, &head("GET", "/")).unwrap();
            client
        })
        .collect();
    // The stop has come before the server even starts.
    let serving = fixture.runtime.spawn(server.run(async {}));
    for client in &mut clients {
        assert!(split(&read_to_end(client)).0.starts_with("http/1.1 200"));
        client.shutdown(Shutdown::Both).unwrap();
    }
    fixture.runtime.block_on(async { timeout(PATIENCE, serving).await.unwrap().unwrap() });
}

#[test]
fn after_the_stop_connections_are_given_back() {
    let fixture = start(pages(true), 8, patient());
    let door = fixture.door.clone();
    let (_client, socket) = fixture.connect();
    let address = fixture.address;
    fixture.stop();
    let handover = Handover { transport: Transport::Plain(socket), prefix: Vec::new(), peer: address };
    door.try_handover(handover).unwrap_err();
    assert_eq!(door.in_use(), 0, "a refused handover keeps no slot");
}

#[test]
fn the_stop_does_not_wait_for_a_stalled_client() {
    let deadlines = HttpDeadlines { stop: Duration::from_millis(50), ..patient() };
    let fixture = start(pages(true), 8, deadlines);
    let (_client, socket) = fixture.connect();
    fixture.hand_over(socket, "GET / HTTP/1.1\r\n").unwrap();
    let started = std::time::Instant::now();
    fixture.stop();
    assert!(started.elapsed() < PATIENCE);
}
