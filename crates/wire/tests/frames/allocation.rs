//! The common paths under an allocator that counts.

use std::hint::black_box;

use allocation_counter::measure;

use tidegate_wire::decode::{Event, Role};

use crate::peer::{BINARY, LAST, MORE, PING, Receiver, TEXT, TEXT_BEGIN, masked};

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(black_box(Vec::<u8>::with_capacity(1)))).count_total, 1);
}

#[test]
fn whole_frames_are_decoded_without_an_allocation() {
    let mut receiver = Receiver::new(Role::Server);
    let mut stream = [
        masked(TEXT, "kurz, aber größer als ASCII".as_bytes()),
        masked(BINARY, &[7; 125]),
        masked(PING, b"ping"),
        masked(TEXT, &[b'x'; 16 << 10]),
        masked(BINARY, &[7; 100_000]),
    ]
    .concat();

    assert_eq!(allocations_of(&mut receiver, &mut stream), (0, 5));
    assert_eq!(receiver.shared.pool.stats().taken_total, 0);
}

#[test]
fn partial_and_fragmented_messages_allocate_nothing_once_the_pool_is_warm() {
    let mut receiver = Receiver::new(Role::Server);
    let stream = [
        masked(TEXT_BEGIN, &[b'x'; 3000]),
        masked(PING, b"ping"),
        masked(MORE, &[b'y'; 3000]),
        masked(LAST, &[b'z'; 3000]),
        masked(BINARY, &[7; 9000]),
    ]
    .concat();
    let cuts = || stream.chunks(1000).map(<[u8]>::to_vec).collect::<Vec<_>>();

    for mut read in cuts() {
        allocations_of(&mut receiver, &mut read);
    }
    let mut events = 0;
    for mut read in cuts() {
        let (allocations, found) = allocations_of(&mut receiver, &mut read);
        assert_eq!(allocations, 0);
        events += found;
    }
    assert_eq!(events, 3);
}

/// Allocations while a read is decoded to its end, and the events that were found.
fn allocations_of(receiver: &mut Receiver, read: &mut [u8]) -> (u64, usize) {
    let (mut events, mut at) = (0, 0);
    let info = measure(|| {
        loop {
            let decoded = receiver
                .decoder
                .decode(&mut receiver.shared, &mut read[at..])
                .expect("the stream breaks no rule");
            at += decoded.consumed;
            match black_box(decoded.event) {
                Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_) | Event::Close(_)) => events += 1,
                None => break,
            }
        }
    });
    (info.count_total, events)
}
