use std::net::TcpStream;

use super::*;

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn accept(listener: &TcpListener) -> Option<mio::net::TcpStream> {
    match listener.accept() {
        Ok((stream, _)) => Some(stream),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
        Err(e) => panic!("accept: {e}"),
    }
}

/// Loopback connects complete in the kernel before `connect` returns, so exactly one listener has it queued.
fn accept_any(listeners: &Listeners) -> mio::net::TcpStream {
    listeners.sockets.iter().find_map(accept).expect("a listener has the connection queued")
}

#[test]
fn port_zero_gives_every_worker_the_same_port() {
    let listeners = bind(loopback(0), 4, SocketBuffers::default()).unwrap();
    assert_eq!(listeners.sockets.len(), 4);
    assert_ne!(listeners.address.port(), 0);
    for socket in &listeners.sockets {
        assert_eq!(socket.local_addr().unwrap(), listeners.address);
    }
}

#[test]
fn every_worker_gets_a_share_of_the_connections() {
    let listeners = bind(loopback(0), 2, SocketBuffers::default()).unwrap();
    let _clients: Vec<_> = (0..64).map(|_| TcpStream::connect(listeners.address).unwrap()).collect();
    let counts: Vec<usize> =
        listeners.sockets.iter().map(|l| std::iter::from_fn(|| accept(l)).count()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 64);
    // The kernel's spread is random: 2^-63 for one listener to get none.
    assert!(counts.iter().all(|&n| n > 0), "{counts:?}");
}

#[test]
fn a_second_gateway_is_told_that_the_address_is_in_use() {
    for (first, second) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let held = bind(loopback(0), first, SocketBuffers::default()).unwrap();
        let error = bind(held.address, second, SocketBuffers::default()).unwrap_err();
        assert!(matches!(error, ListenError::AddressInUse { address } if address == held.address));
        assert!(error.to_string().starts_with("client.listen = 127.0.0.1:"), "{error}");
    }
}

#[test]
fn the_port_can_be_bound_again_after_a_stop_with_clients_connected() {
    let first = bind(loopback(0), 2, SocketBuffers::default()).unwrap();
    let client = TcpStream::connect(first.address).unwrap();
    let address = first.address;
    // Accepted and closed by the server first: its end goes to TIME_WAIT, as in a restart.
    drop(accept_any(&first));
    drop(first);
    drop(client);
    assert_eq!(bind(address, 2, SocketBuffers::default()).unwrap().address, address);
}

#[test]
fn an_address_of_another_machine_is_named_as_such() {
    let error = bind("192.0.2.1:0".parse().unwrap(), 1, SocketBuffers::default()).unwrap_err();
    assert!(matches!(error, ListenError::AddressNotAvailable { .. }), "{error}");
}

#[test]
fn accepted_sockets_inherit_nodelay_from_the_listener() {
    for workers in [1, 2] {
        let listeners = bind(loopback(0), workers, SocketBuffers::default()).unwrap();
        let _client = TcpStream::connect(listeners.address).unwrap();
        assert!(accept_any(&listeners).nodelay().unwrap());
    }
}

#[test]
fn accept_errors_are_sorted_by_what_is_broken() {
    let fault = |errno: Errno| AcceptFault::of(&io::Error::from_raw_os_error(errno.raw_os_error()));
    assert_eq!(fault(Errno::AGAIN), AcceptFault::Empty);
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
        assert_eq!(fault(errno), AcceptFault::Exhausted, "{errno:?}");
    }
    for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::FAULT] {
        assert_eq!(fault(errno), AcceptFault::Listener, "{errno:?}");
    }
    for errno in
        [Errno::CONNABORTED, Errno::INTR, Errno::PROTO, Errno::NETDOWN, Errno::OPNOTSUPP, Errno::PERM]
    {
        assert_eq!(fault(errno), AcceptFault::Connection, "{errno:?}");
    }
}

#[test]
fn the_pause_doubles_from_5_ms_to_1_s_and_a_success_resets_it() {
    let start = Instant::now();
    let mut backoff = AcceptBackoff::new();
    assert!(!backoff.is_paused(start));

    let mut now = start;
    let mut pauses_ms = Vec::new();
    for _ in 0..10 {
        let resume_at = backoff.handle_exhausted(now);
        pauses_ms.push((resume_at - now).as_millis());
        assert!(backoff.is_paused(resume_at - Duration::from_nanos(1)));
        assert!(!backoff.is_paused(resume_at));
        now = resume_at;
    }
    assert_eq!(pauses_ms, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);

    backoff.handle_accepted();
    assert!(!backoff.is_paused(now));
    assert_eq!(backoff.handle_exhausted(now) - now, Duration::from_millis(5));
}

#[test]
fn a_pause_owes_exactly_one_accept() {
    let start = Instant::now();
    let mut backoff = AcceptBackoff::new();
    assert!(!backoff.try_resume(start), "nothing is owed without trouble");

    let resume_at = backoff.handle_exhausted(start);
    assert!(!backoff.try_resume(start));
    assert!(backoff.try_resume(resume_at));
    assert!(!backoff.try_resume(resume_at));

    let second = backoff.handle_exhausted(resume_at);
    assert_eq!(second - resume_at, Duration::from_millis(10), "resuming is no success yet");
}

#[test]
fn accepted_sockets_inherit_the_configured_buffers() {
    let buffers = SocketBuffers { send_bytes: 64 << 10, receive_bytes: 32 << 10 };
    let listeners = bind(loopback(0), 1, buffers).unwrap();
    let _client = TcpStream::connect(listeners.address).unwrap();
    let accepted = accept_any(&listeners);
    let accepted = socket2::SockRef::from(&accepted);
    // Linux reserves as much again for its bookkeeping (socket(7)).
    assert_eq!(accepted.send_buffer_size().unwrap(), 2 * buffers.send_bytes);
    assert_eq!(accepted.recv_buffer_size().unwrap(), 2 * buffers.receive_bytes);
}
