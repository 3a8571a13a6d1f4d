//! What a message costs on its way in and out, in nanoseconds: `cargo bench -p tidegate-wire --bench frames`.
//!
//! Each line is the fastest of many short rounds, which on a shared machine is the round that was left alone.

#![expect(clippy::print_stdout, reason = "its figures are its purpose")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate_wire::decode::{Decoder, Event, Limits, Role, Shared};
use tidegate_wire::frame::{self, OpCode};
use tidegate_wire::mask;
use tidegate_wire::pool::{BufferPool, PoolConfig};
use tidegate_wire::utf8;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const ROUNDS: u32 = 2000;
const ROUND: Duration = Duration::from_micros(200);

fn main() {
    mask_against_a_loop_over_bytes();
    utf8_by_length();
    decode_by_size();
    decode_sixteen_in_one_read();
    append_by_size();
}

fn mask_against_a_loop_over_bytes() {
    for len in [16, 125, 1024, 16 << 10] {
        let mut data = vec![7; len];
        let vectorised = fastest(|| mask::apply(black_box(KEY), 0, black_box(&mut data)));
        let bytewise = fastest(|| apply_bytewise(black_box(KEY), black_box(&mut data)));
        report(&format!("mask {len} B"), vectorised);
        let mut shifted = vec![7; len + 8];
        let unaligned = fastest(|| mask::apply(black_box(KEY), 0, black_box(&mut shifted[8..])));
        report(&format!("mask {len} B, 8 B past an aligned address"), unaligned);
        report(&format!("mask {len} B, byte loop"), bytewise);
    }
}

fn utf8_by_length() {
    for len in [16, 125, 256, 1024, 16 << 10] {
        let ascii = vec![b'x'; len];
        let mixed = "Grüße, 世界! ".repeat(len).into_bytes();
        let cut = (0..=len).rev().find(|&end| std::str::from_utf8(&mixed[..end]).is_ok()).unwrap();
        let mixed = &mixed[..cut];
        report(&format!("utf8 {len} B ASCII"), fastest(|| utf8::check(black_box(&ascii))));
        report(
            &format!("utf8 {len} B ASCII, simdutf8 alone"),
            fastest(|| simdutf8::basic::from_utf8(black_box(&ascii)).is_ok()),
        );
        report(&format!("utf8 {len} B mixed"), fastest(|| utf8::check(black_box(mixed))));
        report(
            &format!("utf8 {len} B mixed, simdutf8 alone"),
            fastest(|| simdutf8::basic::from_utf8(black_box(mixed)).is_ok()),
        );
    }
}

fn decode_by_size() {
    for (name, opcode) in [("text", OpCode::Text), ("binary", OpCode::Binary)] {
        for len in [16, 125, 1024, 16 << 10] {
            let mut shared = shared();
            let mut decoder = Decoder::new();
            // A key of zeros leaves the payload as it is, at the price of any other.
            let mut frame = Vec::new();
            frame::append_masked(&mut frame, opcode, [0; 4], &vec![b'x'; len]);
            let ns = fastest(|| {
                let decoded = decoder.decode(&mut shared, black_box(&mut frame)).unwrap();
                black_box(decoded.event.is_some())
            });
            report(&format!("decode {name} {len} B"), ns);
        }
    }
}

fn decode_sixteen_in_one_read() {
    let mut shared = shared();
    let mut decoder = Decoder::new();
    let mut read = Vec::new();
    for _ in 0..16 {
        frame::append_masked(&mut read, OpCode::Binary, [0; 4], &[b'x'; 125]);
    }
    let ns = fastest(|| drain(&mut decoder, &mut shared, black_box(&mut read)));
    report("decode binary 125 B, each of 16 in one read", ns / 16.0);

    let mut out = Vec::with_capacity(4096);
    let ns = fastest(|| {
        out.clear();
        let mut at = 0;
        loop {
            let decoded = decoder.decode(&mut shared, black_box(&mut read[at..])).unwrap();
            at += decoded.consumed;
            let Some(Event::Message(message)) = decoded.event else { break };
            frame::append(&mut out, message.kind.opcode(), message.payload);
        }
        black_box(out.len())
    });
    report("decode and append 125 B, each of 16 in one read", ns / 16.0);
}

fn append_by_size() {
    for len in [16, 125, 1024, 16 << 10] {
        let payload = vec![b'x'; len];
        let mut out = Vec::with_capacity(len + frame::HEADER_BYTES_MAX);
        let plain = fastest(|| {
            out.clear();
            frame::append(black_box(&mut out), OpCode::Text, black_box(&payload));
        });
        let masked = fastest(|| {
            out.clear();
            frame::append_masked(black_box(&mut out), OpCode::Text, black_box(KEY), black_box(&payload));
        });
        report(&format!("append {len} B"), plain);
        report(&format!("append_masked {len} B"), masked);
    }
}

fn drain(decoder: &mut Decoder, shared: &mut Shared, read: &mut [u8]) -> usize {
    let (mut at, mut events) = (0, 0);
    loop {
        let decoded = decoder.decode(shared, &mut read[at..]).unwrap();
        at += decoded.consumed;
        if black_box(decoded.event).is_none() {
            return events;
        }
        events += 1;
    }
}

fn shared() -> Shared {
    let pool = BufferPool::new(PoolConfig { in_use_bytes_max: 16 << 20, free_bytes_max: 1 << 20 });
    Shared::new(Role::Server, Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 }, pool)
}

/// The loop of the RFC, as the compiler makes it.
#[inline(never)]
fn apply_bytewise(key: [u8; 4], data: &mut [u8]) {
    for (at, byte) in data.iter_mut().enumerate() {
        *byte ^= key[at % 4];
    }
}

/// Nanoseconds of one call in the fastest round.
fn fastest<T>(mut run: impl FnMut() -> T) -> f64 {
    let once = Instant::now();
    black_box(run());
    let calls = (ROUND.as_nanos() / once.elapsed().as_nanos().max(20)).clamp(1, 10_000) as u32;
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                black_box(run());
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
        })
        .fold(f64::INFINITY, f64::min)
}

fn report(what: &str, ns: f64) {
    println!("{what:<50} {ns:>9.1} ns");
}
