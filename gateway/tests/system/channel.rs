//! Channel paths: what one member sends reaches all on the path, in order, and nobody else.

use tidegate_testkit::Client;
use tidegate_wire::frame::OpCode;

use crate::gateway;

#[test]
fn every_member_gets_every_message_its_sender_too() {
    let gateway = gateway().start();
    let mut members: Vec<_> = (0..5).map(|_| gateway.open("/raw/tea")).collect();

    members[0].send_text("milk?");
    members.iter_mut().for_each(|member| member.expect_text("milk?"));
    members[3].send_binary(&[1, 2, 3]);

    for member in &mut members {
        let frame = member.read_frame();
        assert_eq!((frame.opcode, &frame.payload[..]), (OpCode::Binary, &[1, 2, 3][..]));
    }
}

#[test]
fn other_channels_hear_nothing() {
    let gateway = gateway().start();
    let (mut tea, mut coffee) = (gateway.open("/raw/tea"), gateway.open("/raw/coffee"));

    tea.send_text("milk?");
    tea.expect_text("milk?");

    // Had the first message been sent here too, it would come before this one.
    coffee.check_echo("sugar?");
}

#[test]
fn members_on_all_workers_see_one_senders_messages_in_order() {
    let gateway = gateway().set("node.workers", "3").start();
    let mut members: Vec<_> = (0..30).map(|_| gateway.open("/raw/tea")).collect();

    for number in 0..200 {
        members[0].send_text(&number.to_string());
    }

    for member in &mut members {
        for number in 0..200 {
            member.expect_text(&number.to_string());
        }
    }
}

#[test]
fn concurrent_senders_each_keep_their_order_and_all_members_get_all() {
    const SENDERS: usize = 4;
    const EACH: usize = 250;
    let gateway = gateway().set("node.workers", "2").start();
    let mut members: Vec<_> = (0..SENDERS).map(|_| gateway.open("/raw/tea")).collect();

    std::thread::scope(|scope| {
        for (sender, member) in members.iter_mut().enumerate() {
            scope.spawn(move || (0..EACH).for_each(|number| member.send_text(&format!("{sender} {number}"))));
        }
    });

    for member in &mut members {
        let mut seen = [0; SENDERS];
        for _ in 0..SENDERS * EACH {
            let text = String::from_utf8(member.read_frame().payload).unwrap();
            let (sender, number) = text.split_once(' ').unwrap();
            let next = &mut seen[sender.parse::<usize>().unwrap()];
            assert_eq!(number.parse(), Ok(*next), "message of sender {sender}");
            *next += 1;
        }
    }
}

#[test]
fn a_name_is_the_same_channel_however_it_is_escaped() {
    let gateway = gateway().start();
    let (mut plain, mut escaped) = (gateway.open("/raw/caf%C3%A9~1"), gateway.open("/raw/%63af%c3%a9%7E1"));

    escaped.send_text("one room");

    plain.expect_text("one room");
    escaped.expect_text("one room");
    gateway.await_metric("tidegate_channels", &[], 1.0);
}

#[test]
fn a_query_is_not_part_of_the_channel() {
    let gateway = gateway().start();
    let (mut plain, mut with_query) = (gateway.open("/raw/tea"), gateway.open("/raw/tea?token=1"));

    with_query.send_text("one room");

    plain.expect_text("one room");
    with_query.expect_text("one room");
}

#[test]
fn members_that_left_are_not_in_the_way_and_an_empty_channel_is_forgotten() {
    let gateway = gateway().start();
    let mut members: Vec<_> = (0..10).map(|_| gateway.open("/raw/tea")).collect();

    // From the front, the middle and the end, in order and by reset.
    members.remove(9).reset();
    drop(members.remove(4));
    leave(members.remove(0));
    gateway.await_metric("tidegate_connections_active", &[], 7.0);
    members[2].send_text("who is left?");
    members.iter_mut().for_each(|member| member.expect_text("who is left?"));

    members.into_iter().for_each(leave);
    gateway.await_metric("tidegate_channels", &[], 0.0);
}

#[test]
fn a_burst_reaches_all_members_whole() {
    let gateway = gateway().start();
    let (mut sender, mut member) = (gateway.open("/raw/tea"), gateway.open("/raw/tea"));

    std::thread::scope(|scope| {
        // The sender is a member: someone has to read what comes back to it, or it would be closed as a slow reader.
        scope.spawn(|| (0..50).for_each(|number| assert_eq!(member.read_frame().payload, [number; 10_000])));
        for number in 0..50 {
            sender.send_binary(&[number; 10_000]);
            assert_eq!(sender.read_frame().payload, [number; 10_000]);
        }
    });
}

fn leave(mut member: Client) {
    member.send_close(tidegate_wire::close::CloseCode::NORMAL, "");
    member.expect_close();
}
