use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

use super::*;
use crate::deflate::{Inflate, SharedInflater};
use crate::pool::{BufferPool, PoolConfig};

#[test]
fn hello_becomes_the_worked_examples_of_the_rfc() {
    // Sections 7.2.3.1 and 7.2.3.2.
    let mut shared = SharedDeflater::new(6);
    let mut deflate = Deflate::new(&keeping(15), Role::Server, &eager(6));
    assert_eq!(shared.compress(b"Hello", 15), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    let first = deflate.compress(&mut shared, b"Hello").map(<[u8]>::to_vec);
    assert_eq!(first.as_deref(), Some([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00].as_slice()));
    let second = deflate.compress(&mut shared, b"Hello");
    assert_eq!(second, Some([0xf2, 0x00, 0x11, 0x00, 0x00].as_slice()));
}

#[test]
fn a_message_under_the_threshold_goes_as_it_is() {
    let policy = Policy { threshold_bytes: 1024, ..Policy::default() };
    for agreement in [keeping(15), forgetting(15)] {
        let mut shared = SharedDeflater::new(1);
        let mut deflate = Deflate::new(&agreement, Role::Server, &policy);
        assert_eq!(deflate.compress(&mut shared, &[b'x'; 1023]), None);
        assert!(deflate.compress(&mut shared, &[b'x'; 1024]).is_some());
    }
}

#[test]
fn an_empty_message_goes_as_it_is_even_without_a_threshold() {
    for agreement in [keeping(15), forgetting(15)] {
        assert_eq!(
            Deflate::new(&agreement, Role::Server, &eager(1)).compress(&mut SharedDeflater::new(1), &[]),
            None
        );
    }
}

#[test]
fn a_message_that_does_not_shrink_goes_as_it_is_without_takeover() {
    let noise = noise(5000);
    let mut shared = SharedDeflater::new(6);
    assert!(shared.compress(&noise, 15).len() >= noise.len());
    assert_eq!(Deflate::new(&forgetting(15), Role::Server, &eager(6)).compress(&mut shared, &noise), None);
}

#[test]
fn a_message_that_does_not_shrink_is_sent_compressed_under_takeover() {
    let noise = noise(5000);
    let mut shared = SharedDeflater::new(6);
    let mut deflate = Deflate::new(&keeping(15), Role::Server, &eager(6));
    let first = deflate.compress(&mut shared, &noise).expect("the window has moved on").to_vec();
    assert!(first.len() >= noise.len());

    let second = deflate.compress(&mut shared, &noise).expect("compressed").to_vec();
    assert!(second.len() < 100, "it refers to the first: {} bytes", second.len());
}

#[test]
fn a_side_that_agreed_to_256_bytes_compresses_nothing() {
    let text = [b'x'; 5000];
    for agreement in [keeping(8), forgetting(8)] {
        let mut deflate = Deflate::new(&agreement, Role::Client, &eager(6));
        assert_eq!(deflate.compress(&mut SharedDeflater::new(6), &text), None);
        assert_eq!(deflate.shares(), None);
    }
}

#[test]
fn each_role_keeps_to_its_own_parameters() {
    let agreement = Agreement {
        server_no_context_takeover: true,
        client_no_context_takeover: false,
        server_max_window_bits: 10,
        client_max_window_bits: 11,
        server_max_window_bits_offered: true,
    };
    let server = Deflate::new(&agreement, Role::Server, &eager(1));
    let client = Deflate::new(&agreement, Role::Client, &eager(1));
    assert_eq!((server.takeover, server.window_bits), (false, 10));
    assert_eq!((client.takeover, client.window_bits), (true, 11));
}

#[test]
fn one_compression_serves_every_receiver_that_shares() {
    let text = b"one message for all of them, one message for all of them".repeat(20);
    let mut shared = SharedDeflater::new(1);
    let receivers: Vec<_> = (9..=15).map(forgetting).collect();
    let bits = receivers
        .iter()
        .filter_map(|agreement| Deflate::new(agreement, Role::Server, &eager(1)).shares())
        .min();
    assert_eq!(bits, Some(9));

    let payload = shared.compress(&text, 9).to_vec();
    for agreement in &receivers {
        assert_eq!(Receiver::new(agreement).message(&payload), text);
    }
}

#[test]
fn a_receiver_with_a_window_of_its_own_shares_nothing() {
    assert_eq!(Deflate::new(&keeping(15), Role::Server, &eager(1)).shares(), None);
}

#[test]
fn what_a_large_message_needed_is_given_up_by_the_next() {
    let mut shared = SharedDeflater::new(1);
    shared.compress(&noise(2 * DEFLATED_BYTES_KEPT), 15);
    assert!(shared.deflated.capacity() > DEFLATED_BYTES_KEPT);
    shared.compress(b"small", 15);
    assert!(shared.deflated.capacity() <= DEFLATED_BYTES_KEPT + 1024);
}

#[test]
fn an_idle_connections_share_is_small() {
    assert!(size_of::<Deflate>() <= 24);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_one_side_sends_the_other_reads_for_every_combination_of_parameters(
        server_no_context_takeover: bool,
        client_no_context_takeover: bool,
        server_max_window_bits in 8..=15_u8,
        client_max_window_bits in 8..=15_u8,
        level in 1..=9_u8,
        threshold_bytes in prop_oneof![Just(0), Just(100)],
        messages in prop::collection::vec((any::<bool>(), any_message()), 1..8),
    ) {
        let agreement = Agreement {
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            server_max_window_bits_offered: true,
        };
        let policy = Policy { level, threshold_bytes, ..Policy::default() };
        // Both sides use one worker's shared state, as a node that connects to itself would.
        let mut shared = SharedDeflater::new(level);
        let mut ends = [Role::Server, Role::Client].map(|role| {
            let other = if role == Role::Server { Role::Client } else { Role::Server };
            (Deflate::new(&agreement, role, &policy), Receiver::with(Inflate::new(&agreement, other)))
        });
        for (to_client, message) in messages {
            let (deflate, receiver) = &mut ends[usize::from(!to_client)];
            if let Some(payload) = deflate.compress(&mut shared, &message) {
                prop_assert_eq!(receiver.message(payload), message);
            }
        }
    }

    #[test]
    fn any_message_is_a_raw_deflate_stream_once_its_tail_is_back(
        message in any_message(),
        level in 1..=9_u8,
        window_bits in 9..=15_u8,
    ) {
        let mut payload = SharedDeflater::new(level).compress(&message, window_bits).to_vec();
        payload.extend_from_slice(&FLUSH_TAIL);
        let mut inflated = Vec::with_capacity(message.len() + 1);
        let mut raw = Decompress::new_with_window_bits(false, window_bits);
        raw.decompress_vec(&payload, &mut inflated, FlushDecompress::Sync).unwrap();
        prop_assert_eq!(raw.total_in(), u64::try_from(payload.len()).unwrap());
        prop_assert_eq!(inflated, message);
    }
}

struct Receiver {
    pool: BufferPool,
    shared: SharedInflater,
    inflate: Inflate,
}

impl Receiver {
    /// The client's end of an agreement.
    fn new(agreement: &Agreement) -> Self {
        Self::with(Inflate::new(agreement, Role::Client))
    }

    fn with(inflate: Inflate) -> Self {
        let pool = BufferPool::new(PoolConfig { in_use_bytes_max: usize::MAX, free_bytes_max: 0 });
        Self { pool, shared: SharedInflater::new(), inflate }
    }

    fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut out = self.pool.try_take(payload.len()).unwrap();
        self.inflate.push(&mut self.shared, payload, &mut out, u64::MAX).unwrap();
        self.inflate.finish(&out).unwrap();
        out.to_vec()
    }
}

/// Both windows kept, of so many bits.
fn keeping(bits: u8) -> Agreement {
    Agreement { server_max_window_bits: bits, client_max_window_bits: bits, ..Agreement::default() }
}

/// Neither window kept.
fn forgetting(bits: u8) -> Agreement {
    Agreement { server_no_context_takeover: true, client_no_context_takeover: true, ..keeping(bits) }
}

fn eager(level: u8) -> Policy {
    Policy { level, threshold_bytes: 0, ..Policy::default() }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (1..1500_usize, prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(times, unit)| unit.repeat(times)),
        (1..20_000_usize).prop_map(noise),
        prop::collection::vec(any::<u8>(), 1..300),
    ]
}
