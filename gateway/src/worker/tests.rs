//! A worker driven turn by turn over real sockets, without a thread of its own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use mio::{Events, Poll};
use tidegate_cluster::Fence;
use tidegate_protocol::id::SessionId;
use tidegate_wire::frame::{self, OpCode};

use super::driver::Driver;
use super::evict::Eviction;
use super::mail::{Close, Order};
use super::*;
use crate::broker::roster::Seat;
use crate::drain::machine::Manner;
use crate::net::listener::{SocketBuffers, bind};
use crate::node::testing;

const REQUEST: &str = "Host: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Workers of one node, each turned by hand.
struct Rig {
    node: Arc<Node>,
    workers: Vec<(Poll, Worker)>,
    addresses: Vec<SocketAddr>,
}

impl Rig {
    /// A node whose workers listen on ports of their own, so that a test chooses which one it talks to.
    fn new(workers: usize, settings: &[&str]) -> Self {
        let node = testing::node(workers, settings);
        let (mut drivers, mut posts, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..workers {
            let mut listeners =
                bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1, SocketBuffers::default()).unwrap();
            let (driver, post) = Driver::new(listeners.sockets.remove(0)).unwrap();
            drivers.push(driver);
            posts.push(post);
            addresses.push(listeners.address);
        }
        assert!(node.posts.set(posts).is_ok());
        let workers = drivers
            .into_iter()
            .enumerate()
            .map(|(index, driver)| driver.into_worker(index, Arc::clone(&node)).unwrap())
            .collect();
        Self { node, workers, addresses }
    }

    /// Turns one worker until `done` says so.
    fn turn_until(&mut self, worker: usize, mut done: impl FnMut(&Worker) -> bool) {
        let runtime = self.node.runtime.clone();
        let _runtime = runtime.enter();
        let (poll, worker) = &mut self.workers[worker];
        let mut events = Events::with_capacity(TURN);
        for _ in 0..10_000 {
            if done(worker) {
                return;
            }
            poll.poll(&mut events, Some(worker.patience().min(Duration::from_millis(100)))).unwrap();
            worker.turn(&events);
        }
        panic!("10,000 turns were not enough");
    }

    /// A client of this worker, upgraded.
    fn connect(&mut self, worker: usize, path: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.addresses[worker]).unwrap();
        client.write_all(format!("GET {path} HTTP/1.1\r\n{REQUEST}").as_bytes()).unwrap();
        let open = self.open(worker);
        self.turn_until(worker, |worker| worker.stats.open_plain.get() > open);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        client
    }

    fn open(&self, worker: usize) -> u64 {
        self.node.stats[worker].open_plain.get()
    }
}

fn masked(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::append_masked(&mut out, OpCode::Binary, [1, 2, 3, 4], payload);
    out
}

fn read_message(client: &mut TcpStream, payload_len: usize) -> Vec<u8> {
    let mut expected = Vec::new();
    frame::append(&mut expected, OpCode::Binary, &vec![0; payload_len]);
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).unwrap();
    got.split_off(expected.len() - payload_len)
}

#[test]
fn as_many_sockets_as_a_turn_takes_and_one_more_are_all_answered() {
    for sockets in [TURN - 1, TURN, TURN + 1] {
        let mut rig = Rig::new(1, &[]);
        let mut clients: Vec<_> = (0..sockets).map(|_| rig.connect(0, "/echo")).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(&masked(&number.to_be_bytes())).unwrap();
        }
        rig.turn_until(0, |worker| worker.stats.messages_out.get() == sockets as u64);
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(read_message(client, 8), number.to_be_bytes());
        }
    }
}

#[test]
fn a_message_larger_than_the_read_buffer_comes_back_whole_and_leaves_no_buffer_behind() {
    let mut rig = Rig::new(1, &["limits.read_buffer_bytes=16KiB"]);
    let mut client = rig.connect(0, "/echo");
    let payload: Vec<u8> = (0..200_000u32).map(|index| (index % 251) as u8).collect();
    let bytes = masked(&payload);
    let mut reader = client.try_clone().unwrap();
    let length = payload.len();
    let echo = std::thread::spawn(move || read_message(&mut reader, length));
    let sender = std::thread::spawn(move || client.write_all(&bytes).map(|()| client));
    rig.turn_until(0, |worker| worker.stats.messages_out.get() == 1 && worker.stats.outbox_bytes.get() == 0);
    assert!(echo.join().unwrap() == payload);
    assert!(sender.join().unwrap().is_ok());
    let (_, worker) = &rig.workers[0];
    assert_eq!(worker.pool.stats().in_use_bytes, 0);
}

#[test]
fn an_echo_is_right_wherever_reads_cut_header_and_payload_apart() {
    let mut rig = Rig::new(1, &[]);
    for payload_len in [0, 1, 125, 126, 200] {
        let bytes = [masked(&vec![7; payload_len]), masked(b"next")].concat();
        for cut in 1..bytes.len().min(20) {
            let mut client = rig.connect(0, "/echo");
            let stats = Arc::clone(&rig.node.stats[0]);
            let before = stats.messages_out.get();
            client.write_all(&bytes[..cut]).unwrap();
            rig.turn_until(0, |worker| {
                let connection = worker.connections.iter().next().map(|(_, connection)| connection);
                connection.is_some_and(|connection| connection.parser_state != State::Idle)
                    || stats.messages_out.get() > before
            });
            client.write_all(&bytes[cut..]).unwrap();
            rig.turn_until(0, |_| stats.messages_out.get() == before + 2);
            assert_eq!(read_message(&mut client, payload_len), vec![7; payload_len], "cut at {cut}");
            assert_eq!(read_message(&mut client, 4), b"next", "cut at {cut}");
            drop(client);
            rig.turn_until(0, |worker| worker.connections.is_empty());
        }
    }
}

#[test]
fn a_second_round_of_the_same_traffic_allocates_no_buffer() {
    let mut rig = Rig::new(1, &[]);
    let mut allocated = Vec::new();
    for round in 1..=2 {
        let mut clients: Vec<_> = (0..20).map(|_| rig.connect(0, "/echo")).collect();
        for client in &mut clients {
            let frame = masked(&[7; 3000]);
            client.write_all(&frame[..1000]).unwrap();
        }
        rig.turn_until(0, |worker| worker.pool.stats().in_use_bytes >= 20 * 1000);
        for client in &mut clients {
            client.write_all(&masked(&[7; 3000])[1000..]).unwrap();
        }
        rig.turn_until(0, |worker| worker.stats.messages_out.get() == 20 * round);
        drop(clients);
        rig.turn_until(0, |worker| worker.connections.is_empty());
        allocated.push(rig.workers[0].1.pool.stats().allocated_total);
    }
    assert!(allocated[0] > 0);
    assert_eq!(allocated[1], allocated[0]);
}

#[test]
fn the_end_of_a_stream_behind_its_last_bytes_is_noticed_without_another_event() {
    let mut rig = Rig::new(1, &[]);
    let mut client = rig.connect(0, "/echo");
    client.write_all(&masked(b"last words")).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    rig.turn_until(0, |worker| worker.connections.is_empty());
    assert_eq!(read_message(&mut client, 10), b"last words");
    assert_eq!(rig.node.stats[0].closed[CloseCause::ClientGone as usize].get(), 1);
}

#[test]
fn the_end_of_a_stream_behind_more_than_one_buffer_is_noticed_without_another_event() {
    let mut rig = Rig::new(1, &["limits.read_buffer_bytes=4KiB"]);
    let mut client = rig.connect(0, "/echo");
    // Both arrive before the worker looks: two full reads, a short one, and the FIN.
    client.write_all(&masked(&[1; 10_000])).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    rig.turn_until(0, |worker| worker.connections.is_empty());
    assert_eq!(read_message(&mut client, 10_000), [1; 10_000]);
    assert_eq!(rig.node.stats[0].closed[CloseCause::ClientGone as usize].get(), 1);
}

#[test]
fn a_message_crosses_to_the_members_on_another_worker_in_order() {
    let mut rig = Rig::new(2, &[]);
    let mut here = rig.connect(0, "/raw/room");
    let mut there = rig.connect(1, "/raw/room");
    let mut elsewhere = rig.connect(1, "/raw/other");
    here.write_all(&[masked(b"one"), masked(b"two")].concat()).unwrap();
    rig.turn_until(0, |worker| worker.stats.messages_out.get() == 2);
    rig.turn_until(1, |worker| worker.stats.messages_out.get() == 2);
    for client in [&mut here, &mut there] {
        assert_eq!(read_message(client, 3), b"one");
        assert_eq!(read_message(client, 3), b"two");
    }
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.read(&mut [0]).is_err(), "another channel's member gets nothing");
}

#[test]
fn while_another_worker_does_not_keep_up_clients_are_not_read_and_nothing_is_lost() {
    const MESSAGES: u64 = 1_100;
    let mut rig = Rig::new(2, &[]);
    let mut publisher = rig.connect(0, "/raw/room");
    let mut there = rig.connect(1, "/raw/room");
    // One message a turn, each a letter, until the other worker's mailbox is full and one letter waits.
    let mut sent = 0;
    while !rig.workers[0].1.is_congested() {
        publisher.write_all(&masked(&u64::to_be_bytes(sent))).unwrap();
        sent += 1;
        rig.turn_until(0, |worker| worker.stats.messages_in.get() == sent);
    }
    for number in sent..MESSAGES {
        publisher.write_all(&masked(&number.to_be_bytes())).unwrap();
    }
    let mut turns = 0;
    rig.turn_until(0, |_| {
        turns += 1;
        turns > 20
    });
    assert_eq!(rig.node.stats[0].messages_in.get(), sent, "a congested worker reads nobody");

    while rig.node.stats[1].messages_out.get() < MESSAGES {
        for worker in [1, 0] {
            let mut turns = 0;
            rig.turn_until(worker, |_| {
                turns += 1;
                turns > 2
            });
        }
    }
    for number in 0..MESSAGES {
        assert_eq!(read_message(&mut there, 8), number.to_be_bytes());
    }
}

#[test]
fn a_large_fan_out_leaves_room_for_others_between_its_parts() {
    const MEMBERS: usize = 2 * publish::DELIVERY_UNITS_A_TURN + 100;
    let mut rig = Rig::new(1, &[]);
    let mut members: Vec<_> = (0..MEMBERS).map(|_| rig.connect(0, "/raw/room")).collect();
    let mut echo = rig.connect(0, "/echo");
    members[0].write_all(&[masked(b"one"), masked(b"two")].concat()).unwrap();
    rig.turn_until(0, |worker| worker.hub.has_backlog());
    echo.write_all(&masked(b"hello")).unwrap();
    // Two who have the first part or not leave meanwhile, and nobody else notices.
    drop(members.remove(MEMBERS - 1));
    drop(members.remove(1));
    rig.turn_until(0, |worker| worker.stats.message_bytes_in.get() >= 11);
    assert!(rig.workers[0].1.hub.has_backlog(), "the echo came between two parts");
    assert_eq!(read_message(&mut echo, 5), b"hello");

    rig.turn_until(0, |worker| !worker.hub.has_backlog());
    for member in &mut members {
        assert_eq!(read_message(member, 3), b"one");
        assert_eq!(read_message(member, 3), b"two");
    }
}

#[test]
fn a_fan_out_beside_other_traffic_goes_in_smaller_parts() {
    const MEMBERS: u64 = 400;
    // Those of the turn, and an echo.
    const MOST: u64 = 32 + 2 * 4 + 1;
    let mut rig = Rig::new(1, &[]);
    let mut members: Vec<_> = (0..MEMBERS).map(|_| rig.connect(0, "/raw/room")).collect();
    let mut echo = rig.connect(0, "/echo");
    members[0].write_all(&masked(b"news")).unwrap();
    rig.turn_until(0, |worker| worker.hub.has_backlog());
    for _ in 0..4 {
        let before = rig.node.stats[0].messages_out.get();
        assert!(before < MEMBERS, "it is under way");
        echo.write_all(&masked(b"hello")).unwrap();
        let bytes_in = rig.node.stats[0].message_bytes_in.get();
        rig.turn_until(0, |worker| worker.stats.message_bytes_in.get() > bytes_in);
        let delivered = rig.node.stats[0].messages_out.get() - before;
        assert!((1..=MOST).contains(&delivered), "{delivered} in a turn with an event");
        assert_eq!(read_message(&mut echo, 5), b"hello");
    }
    rig.turn_until(0, |worker| !worker.hub.has_backlog());
    for member in &mut members {
        assert_eq!(read_message(member, 4), b"news");
    }
}

#[test]
fn a_client_sent_away_in_the_middle_of_a_fan_out_still_gets_its_part() {
    const MEMBERS: usize = publish::DELIVERY_UNITS_A_TURN + 10;
    let mut rig = Rig::new(1, &[]);
    let mut members: Vec<_> = (0..MEMBERS).map(|_| rig.connect(0, "/raw/room")).collect();
    members[0].write_all(&masked(b"last words")).unwrap();
    rig.turn_until(0, |worker| worker.hub.has_backlog());
    let last = rig.workers[0].1.connections.iter().map(|(slot, _)| slot).max().unwrap();
    rig.workers[0].1.end(last, CloseCause::Shutdown);
    assert_eq!(read_message(&mut members[MEMBERS - 1], 10), b"last words");
}

#[test]
fn many_deadlines_at_once_are_handled_a_few_a_turn() {
    let mut rig = Rig::new(1, &["limits.handshake_timeout=1s"]);
    let clients = 3 * TIMERS_A_TURN as u64;
    let address = rig.addresses[0];
    let half_open: Vec<_> = (0..clients).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut reaped = 0;
    rig.turn_until(0, |worker| {
        let now = worker.stats.handshakes_reaped[crate::ending::Stage::Request as usize].get();
        assert!(now - reaped <= TIMERS_A_TURN as u64, "a turn stays short");
        reaped = now;
        now == clients
    });
    for mut client in half_open {
        let mut answer = [0; 12];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
    }
}

#[test]
fn a_drain_sends_everyone_away_a_few_a_turn_and_ends_when_they_are_gone() {
    let mut rig = Rig::new(1, &[]);
    let mut clients: Vec<_> = (0..2 * FAREWELLS_A_TURN + 1).map(|_| rig.connect(0, "/echo")).collect();
    assert!(rig.node.posts()[0].try_send(Mail::Drain).is_ok());
    let mut told = 0;
    rig.turn_until(0, |worker| {
        let now = worker.stats.closed[CloseCause::Shutdown as usize].get();
        assert!(now - told <= FAREWELLS_A_TURN as u64, "a turn stays short");
        told = now;
        !worker.is_sending_away() && worker.drain_cursor.is_some()
    });
    assert!(!rig.workers[0].1.is_finished(), "the clients have not answered");
    for client in &mut clients {
        let mut close = [0; 4];
        client.read_exact(&mut close).unwrap();
        assert_eq!(close[2..], 1012u16.to_be_bytes());
        let mut answer = Vec::new();
        tidegate_wire::close::append_masked(&mut answer, [0; 4], None, "");
        client.write_all(&answer).unwrap();
    }
    rig.turn_until(0, Worker::is_finished);
}

/// Tells the first worker to send so many away.
fn evict(rig: &Rig, count: u64) {
    rig.node.drain.evictions_given(count);
    let manner = Manner::Ask { grace: Duration::from_secs(1) };
    let eviction = Eviction { count, manner, cause: CloseCause::Drain, spread: Duration::ZERO };
    assert!(rig.node.posts()[0].try_send(Mail::Evict(eviction)).is_ok());
}

#[test]
fn as_many_as_a_drain_says_are_sent_away_the_oldest_first_and_a_few_a_turn() {
    let mut rig = Rig::new(1, &[]);
    let clients: Vec<_> = (0..2 * FAREWELLS_A_TURN + 2).map(|_| rig.connect(0, "/echo")).collect();
    let count = FAREWELLS_A_TURN as u64 + 1;
    evict(&rig, count);

    let mut told = 0;
    rig.turn_until(0, |worker| {
        let now = worker.stats.drain_closed.get();
        assert!(now - told <= FAREWELLS_A_TURN as u64, "a turn stays short");
        told = now;
        now == count && !worker.is_evicting()
    });

    for (number, mut client) in clients.into_iter().enumerate() {
        client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let is_closed = client.read_exact(&mut [0; 4]).is_ok();
        assert_eq!(is_closed, number < count as usize, "client {number}");
    }
    assert_eq!(rig.node.drain.outstanding(), 0);
}

#[test]
fn more_than_there_are_cannot_be_sent_away_and_nobody_waits_for_them() {
    let mut rig = Rig::new(1, &[]);
    let _client = rig.connect(0, "/echo");
    evict(&rig, 5);

    rig.turn_until(0, |worker| worker.stats.drain_moved.get() == 1 && !worker.is_evicting());

    assert_eq!(rig.node.drain.outstanding(), 0);
}

#[test]
fn the_more_of_the_pool_is_in_use_the_less_one_outbox_may_hold() {
    let rig =
        Rig::new(1, &["limits.pool_bytes=1MiB", "limits.message_bytes=64KiB", "limits.outbox_bytes=1MiB"]);
    let (_, worker) = &rig.workers[0];
    assert_eq!(worker.outbox_bytes_max(), 128 << 10);
    let _held = worker.pool.try_take(512 << 10).unwrap();
    assert!(worker.outbox_bytes_max() <= 64 << 10);
}

#[test]
fn an_order_for_an_older_connection_spares_the_one_in_its_seat() {
    let rig = Rig::new(1, &[]);
    let (broker, session) = (&rig.node.broker, SessionId::from_bytes([7; 16]));
    let seat = Seat { worker: 0, token: Token(1), fence: Fence::new(2) };
    assert_eq!(broker.roster.seat(session, seat), None);
    for (below, reaches) in [(1, false), (2, false), (3, true)] {
        let close = Order::Close(Close::taken_over(Fence::new(below)));
        assert_eq!(rig.node.runtime.block_on(broker.order(session, close)), reaches, "{below}");
    }
}
