use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;
use crate::deflate::FLUSH_TAIL;
use crate::pool::PoolConfig;

const UNLIMITED: u64 = u64::MAX;

#[test]
fn the_worked_examples_of_the_rfc_inflate_to_hello() {
    let cases: [(&str, &[u8]); 5] = [
        ("7.2.3.1: one block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        ("7.2.3.2: the same, referring to nothing", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        ("7.2.3.3: a stored block", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
        ("7.2.3.4: a final block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        (
            "7.2.3.5: two blocks",
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ),
    ];
    for (example, payload) in cases {
        assert_eq!(Receiver::forgetful().whole(payload), Ok(b"Hello".to_vec()), "{example}");
        assert_eq!(Receiver::remembering(15).whole(payload), Ok(b"Hello".to_vec()), "{example}");
    }
}

#[test]
fn fragments_of_the_rfc_example_inflate_together() {
    // Section 7.2.3.1: the first fragment is f2 48 cd, the second c9 c9 07 00.
    let mut receiver = Receiver::forgetful();
    receiver.push(&[0xf2, 0x48, 0xcd], UNLIMITED).unwrap();
    receiver.push(&[0xc9, 0xc9, 0x07, 0x00], UNLIMITED).unwrap();
    assert_eq!(receiver.finish(), Ok(b"Hello".to_vec()));
}

#[test]
fn a_message_may_refer_to_the_one_before_only_under_takeover() {
    // Section 7.2.3.2: the second "Hello" is nothing but a reference to the first.
    let (first, second) = ([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], [0xf2, 0x00, 0x11, 0x00, 0x00]);

    let mut remembering = Receiver::remembering(15);
    assert_eq!(remembering.whole(&first), Ok(b"Hello".to_vec()));
    assert_eq!(remembering.whole(&second), Ok(b"Hello".to_vec()));

    let mut forgetful = Receiver::forgetful();
    assert_eq!(forgetful.whole(&first), Ok(b"Hello".to_vec()));
    assert_eq!(forgetful.whole(&second), Err(InflateError::Corrupt));
}

#[test]
fn the_window_survives_a_final_block_in_an_earlier_message() {
    let mut receiver = Receiver::remembering(15);
    assert_eq!(receiver.whole(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]), Ok(b"Hello".to_vec()));
    assert_eq!(receiver.whole(&[0xf2, 0x00, 0x11, 0x00, 0x00]), Ok(b"Hello".to_vec()));
}

#[test]
fn an_empty_message_is_one_zero_byte_or_none_at_all() {
    // Section 7.2.3.6.
    for mut receiver in [Receiver::forgetful(), Receiver::remembering(15)] {
        for payload in [[].as_slice(), &[0x00], &[0x02, 0x00]] {
            assert_eq!(receiver.whole(payload), Ok(Vec::new()), "{payload:02x?}");
            assert_eq!(receiver.whole(&deflated(b"still in step", 6)), Ok(b"still in step".to_vec()));
        }
    }
}

#[test]
fn what_follows_a_final_block_inflates_from_an_empty_window() {
    let mut payload = finished(b"first, ");
    payload.extend_from_slice(&finished(b"second, "));
    payload.extend_from_slice(&deflated(b"third", 6));
    assert_eq!(Receiver::forgetful().whole(&payload), Ok(b"first, second, third".to_vec()));

    // "Hello" with a final block, then a reference to it.
    let refers = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(Receiver::forgetful().whole(&refers), Err(InflateError::Corrupt));
}

#[test]
fn a_message_may_end_with_its_final_block() {
    assert_eq!(Receiver::forgetful().whole(&finished(b"all of it")), Ok(b"all of it".to_vec()));
    // The empty block of the flush is itself the final one: 01, then the tail that is added.
    assert_eq!(Receiver::forgetful().whole(&[0x01]), Ok(Vec::new()));
}

#[test]
fn a_message_cut_short_anywhere_is_refused() {
    let text = b"Cut short, a message is not what was sent. Cut short, it must not pass for it.";
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00].to_vec();
    // Mixed text makes a block with codes of its own, whose description can be cut as well.
    let dynamic = deflated(&english(4096), 9);
    // One byte of the stored example is a whole message, the empty one.
    for (payload, shortest) in [(deflated(text, 1), 1), (deflated(text, 9), 1), (stored, 2), (dynamic, 1)] {
        for len in shortest..payload.len() {
            let cut = Receiver::forgetful().whole(&payload[..len]);
            assert!(
                matches!(cut, Err(InflateError::Truncated | InflateError::Corrupt)),
                "{len} of {} bytes: {cut:02x?}",
                payload.len()
            );
        }
        assert!(Receiver::forgetful().whole(&payload).is_ok());
    }
}

#[test]
fn a_tail_that_was_not_removed_is_refused() {
    let mut payload = deflated(b"message", 6);
    payload.extend_from_slice(&FLUSH_TAIL);
    assert_eq!(Receiver::forgetful().whole(&payload), Err(InflateError::Truncated));
}

#[test]
fn trailing_garbage_is_refused() {
    let mut after_final = finished(b"message");
    after_final.extend_from_slice(b"garbage");
    assert!(Receiver::forgetful().whole(&after_final).is_err());

    let mut after_flush = deflated(b"message", 6);
    after_flush.extend_from_slice(b"garbage");
    assert!(Receiver::forgetful().whole(&after_flush).is_err());
}

#[test]
fn data_that_is_no_deflate_is_refused() {
    let cases: [(&str, &[u8]); 4] = [
        ("block type 3", &[0x06]),
        ("stored block whose lengths disagree", &[0x00, 0x05, 0x00, 0x00, 0x00, b'H']),
        ("reference before the beginning", &[0xf2, 0x00, 0x11, 0x00, 0x00]),
        ("plain text", b"Hello"),
    ];
    for (what, payload) in cases {
        assert_eq!(Receiver::forgetful().whole(payload), Err(InflateError::Corrupt), "{what}");
    }
}

#[test]
fn a_message_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    // Around the sizes of the pool's classes, where the buffer ends together with the limit or not.
    for len in [1, 5, 1023, 1024, 1025, 4095, 4096, 4097, 40_000, 65_536, 300_000] {
        let text = english(len);
        let payload = deflated(&text, 6);
        let limit = u64::try_from(len).unwrap();
        let mut receiver = Receiver::forgetful();
        receiver.push(&payload, limit).unwrap();
        assert_eq!(receiver.finish(), Ok(text), "{len} bytes at the limit");

        let mut receiver = Receiver::forgetful();
        assert_eq!(
            receiver.push(&payload, limit - 1),
            Err(InflateError::TooBig),
            "{len} bytes over the limit"
        );
        assert!(receiver.out.len() < len, "nothing is kept beyond the limit");
    }
}

#[test]
fn a_limit_of_nothing_lets_an_empty_message_pass() {
    let mut receiver = Receiver::forgetful();
    receiver.push(&[0x00], 0).unwrap();
    assert_eq!(receiver.finish(), Ok(Vec::new()));
    assert_eq!(Receiver::forgetful().push(&deflated(b"x", 1), 0), Err(InflateError::TooBig));
}

#[test]
fn what_passes_the_limit_is_too_big_even_if_a_fault_follows_in_the_same_piece() {
    // "H", then a reference before the beginning.
    let payload = [0xf2, 0x00, 0x12, 0x00];
    assert_eq!(run(&payload, 4, 1), (b"H".to_vec(), Err(InflateError::Corrupt)));
    for piece_bytes in 1..=4 {
        assert_eq!(run(&payload, piece_bytes, 0), (Vec::new(), Err(InflateError::TooBig)));
    }
}

#[test]
fn a_bomb_dies_at_the_limit_and_takes_no_more_memory_than_an_honest_message() {
    let bomb = deflated(&vec![0; 16 * 1024 * 1024], 9);
    assert!(bomb.len() < 20_000, "it is a bomb: {} bytes", bomb.len());
    let limit = 100_000;
    for chunk_bytes in [1, 100, bomb.len()] {
        let mut receiver = Receiver::forgetful();
        let mut pushed = 0;
        let verdict = bomb.chunks(chunk_bytes).try_for_each(|chunk| {
            pushed += chunk.len();
            receiver.push(chunk, limit)
        });
        assert_eq!(verdict, Err(InflateError::TooBig));
        assert!(receiver.out.len() <= 100_000);
        // The largest buffer is the class above the limit, the next smaller one was in use while bytes moved over.
        assert_eq!(receiver.out.capacity(), 256 * 1024);
        assert!(
            receiver.peak_in_use_bytes <= (256 + 64) * 1024 + INFLATER_BYTES,
            "{}",
            receiver.peak_in_use_bytes
        );
        if chunk_bytes == 1 {
            assert!(pushed < 200, "at 1,000 to 1 about 100 bytes of input reach the limit, it took {pushed}");
        }
    }
}

#[test]
fn a_pool_without_room_refuses_the_message() {
    // No room for an inflater, then none for the buffer to grow.
    let payload = deflated(&vec![b'x'; 5000], 6);
    for (bound, fits) in
        [(INFLATER_BYTES + 1023, false), (INFLATER_BYTES + 1024 + 4096, false), (200_000, true)]
    {
        let pool = BufferPool::new(PoolConfig { in_use_bytes_max: bound, free_bytes_max: 0 });
        let mut out = pool.try_take(1).unwrap();
        let mut inflate = forgetful();
        let pushed = inflate.push(&mut SharedInflater::new(), &payload, &mut out, UNLIMITED);
        assert_eq!(pushed, if fits { Ok(()) } else { Err(InflateError::PoolExhausted) }, "bound {bound}");
    }
}

#[test]
fn an_inflater_counts_in_the_pool_only_while_a_message_is_under_way() {
    let mut receiver = Receiver::remembering(15);
    let before = receiver.pool.stats().in_use_bytes;
    let payload = deflated(b"message", 6);
    receiver.push(&payload[..2], UNLIMITED).unwrap();
    assert_eq!(receiver.pool.stats().in_use_bytes, before + INFLATER_BYTES);
    receiver.push(&payload[2..], UNLIMITED).unwrap();
    receiver.finish().unwrap();
    assert_eq!(receiver.pool.stats().in_use_bytes, before);

    receiver.push(&payload[..2], UNLIMITED).unwrap();
    drop(receiver.inflate);
    assert_eq!(
        receiver.pool.stats().in_use_bytes,
        before,
        "a connection that ends in the middle gives it back"
    );
}

#[test]
fn messages_of_many_connections_may_be_half_received_at_once() {
    let pool = roomy();
    let mut shared = SharedInflater::new();
    let texts: Vec<_> = (0..2 * FREE_INFLATERS_MAX).map(|n| english(100 + 37 * n)).collect();
    let payloads: Vec<_> = texts.iter().map(|text| deflated(text, 6)).collect();
    let mut halves: Vec<_> = texts.iter().map(|_| (forgetful(), pool.try_take(1).unwrap())).collect();
    for ((inflate, out), payload) in halves.iter_mut().zip(&payloads) {
        inflate.push(&mut shared, &payload[..payload.len() / 2], out, UNLIMITED).unwrap();
    }
    for (((inflate, out), payload), text) in halves.iter_mut().zip(&payloads).zip(&texts) {
        inflate.push(&mut shared, &payload[payload.len() / 2..], out, UNLIMITED).unwrap();
        inflate.finish(out).unwrap();
        assert_eq!(&**out, text.as_slice());
    }
    assert_eq!(
        shared.0.0.borrow().len(),
        FREE_INFLATERS_MAX,
        "of those given back, a bounded number is kept"
    );
}

#[test]
fn one_inflater_serves_connection_after_connection() {
    let pool = roomy();
    let mut shared = SharedInflater::new();
    for n in 0..20 {
        let text = english(500 + n);
        let mut out = pool.try_take(1).unwrap();
        let mut inflate = forgetful();
        inflate.push(&mut shared, &deflated(&text, 6), &mut out, UNLIMITED).unwrap();
        inflate.finish(&out).unwrap();
        assert_eq!(&*out, text.as_slice());
        assert_eq!(shared.0.0.borrow().len(), 1);
    }
}

#[test]
fn the_next_message_inflates_after_one_that_failed_elsewhere() {
    let pool = roomy();
    let mut shared = SharedInflater::new();
    let mut out = pool.try_take(1).unwrap();
    for bad in [b"Hello".as_slice(), &[0xf2, 0x48, 0xcd]] {
        let mut failing = forgetful();
        let verdict = failing.push(&mut shared, bad, &mut out, UNLIMITED).and_then(|()| failing.finish(&out));
        assert!(verdict.is_err());
        drop(failing);
        out.clear();

        let mut inflate = forgetful();
        inflate.push(&mut shared, &deflated(b"unharmed", 6), &mut out, UNLIMITED).unwrap();
        inflate.finish(&out).unwrap();
        assert_eq!(&*out, b"unharmed");
        out.clear();
    }
}

#[test]
fn a_peer_that_agreed_to_256_bytes_is_given_the_512_that_old_zlibs_use() {
    let agreement = Agreement { client_max_window_bits: 8, ..Agreement::default() };
    assert_eq!(Inflate::new(&agreement, Role::Server).takeover_window_bits, Some(9));
}

#[test]
fn each_role_follows_the_other_sides_parameters() {
    let agreement = Agreement {
        server_no_context_takeover: true,
        client_no_context_takeover: false,
        server_max_window_bits: 10,
        client_max_window_bits: 11,
        server_max_window_bits_offered: true,
    };
    assert_eq!(Inflate::new(&agreement, Role::Server).takeover_window_bits, Some(11));
    assert_eq!(Inflate::new(&agreement, Role::Client).takeover_window_bits, None);
}

#[test]
fn an_idle_connections_share_is_small() {
    assert!(size_of::<Inflate>() <= 24);
    assert_eq!(size_of::<Option<Inflate>>(), size_of::<Inflate>());
}

proptest! {
    #[test]
    fn any_message_survives_any_split_at_any_level_with_and_without_takeover(
        messages in prop::collection::vec((text_or_noise(), 0..=9_u32, any::<bool>()), 1..6),
        splits in prop::collection::vec(1..200_usize, 1..20),
        window_bits in 9..=15_u8,
        takeover: bool,
    ) {
        let mut receiver = if takeover { Receiver::remembering(window_bits) } else { Receiver::forgetful() };
        let mut sender = Compress::new_with_window_bits(Compression::new(6), false, window_bits);
        for (message, level, final_block) in messages {
            let payload = if final_block {
                sender.reset();
                finished(&message)
            } else if takeover {
                flushed(&mut sender, &message)
            } else {
                deflated(&message, level)
            };
            let limit = u64::try_from(message.len()).unwrap();
            let mut rest = payload.as_slice();
            for split in splits.iter().cycle() {
                let (piece, behind) = rest.split_at(rest.len().min(*split));
                receiver.push(piece, limit).unwrap();
                rest = behind;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(receiver.finish(), Ok(message));
        }
    }

    #[test]
    fn any_bytes_get_the_same_output_and_verdict_in_one_piece_and_in_many(
        payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            (text_or_noise(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
                let mut payload = deflated(&text, 6);
                let at = at.index(payload.len());
                payload[at] = byte;
                payload
            }),
        ],
        piece_bytes in 1..20_usize,
        limit in 0..3000_u64,
    ) {
        let whole = run(&payload, payload.len().max(1), limit);
        let pieces = run(&payload, piece_bytes, limit);
        prop_assert_eq!(whole, pieces);
    }
}

/// What comes out of `payload` pushed in pieces, and the verdict.
fn run(payload: &[u8], piece_bytes: usize, limit: u64) -> (Vec<u8>, Result<(), InflateError>) {
    let mut receiver = Receiver::forgetful();
    let pushed = payload.chunks(piece_bytes).try_for_each(|piece| receiver.push(piece, limit));
    assert!(u64::try_from(receiver.out.len()).unwrap() <= limit);
    let out = receiver.out.to_vec();
    (out, pushed.and_then(|()| receiver.finish().map(drop)))
}

/// One connection's receive side with a worker to itself.
struct Receiver {
    pool: BufferPool,
    shared: SharedInflater,
    inflate: Inflate,
    out: PoolBuffer,
    peak_in_use_bytes: usize,
}

impl Receiver {
    fn forgetful() -> Self {
        Self::with(forgetful())
    }

    fn remembering(client_max_window_bits: u8) -> Self {
        Self::with(Inflate::new(&Agreement { client_max_window_bits, ..Agreement::default() }, Role::Server))
    }

    fn with(inflate: Inflate) -> Self {
        let pool = roomy();
        let out = pool.try_take(1).unwrap();
        Self { pool, shared: SharedInflater::new(), inflate, out, peak_in_use_bytes: 0 }
    }

    fn push(&mut self, piece: &[u8], limit: u64) -> Result<(), InflateError> {
        let pushed = self.inflate.push(&mut self.shared, piece, &mut self.out, limit);
        self.peak_in_use_bytes = self.peak_in_use_bytes.max(self.pool.stats().in_use_bytes);
        pushed
    }

    fn finish(&mut self) -> Result<Vec<u8>, InflateError> {
        self.inflate.finish(&self.out)?;
        let message = self.out.to_vec();
        self.out.clear();
        Ok(message)
    }

    fn whole(&mut self, payload: &[u8]) -> Result<Vec<u8>, InflateError> {
        self.push(payload, UNLIMITED)?;
        self.finish()
    }
}

fn forgetful() -> Inflate {
    Inflate::new(&Agreement { client_no_context_takeover: true, ..Agreement::default() }, Role::Server)
}

fn roomy() -> BufferPool {
    BufferPool::new(PoolConfig { in_use_bytes_max: usize::MAX, free_bytes_max: 0 })
}

/// A message as RFC 7692 section 7.2.1 has it: flushed, without the tail.
fn deflated(message: &[u8], level: u32) -> Vec<u8> {
    flushed(&mut Compress::new(Compression::new(level), false), message)
}

fn flushed(sender: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(message.len() + message.len() / 100 + 100);
    // As a flush right behind a flush yields nothing, zlib's way to an empty block is a different call in between.
    sender.compress_vec(message, &mut payload, FlushCompress::None).unwrap();
    sender.compress_vec(&[], &mut payload, FlushCompress::Sync).unwrap();
    assert_eq!(payload.split_off(payload.len() - 4), FLUSH_TAIL);
    payload
}

/// A message as one DEFLATE stream with a final block.
fn finished(message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(message.len() + 100);
    Compress::new(Compression::new(6), false)
        .compress_vec(message, &mut payload, FlushCompress::Finish)
        .unwrap();
    payload
}

/// Text with the redundancy of speech: words drawn by a small generator, the same on every call.
fn english(len: usize) -> Vec<u8> {
    let words = [
        "tide ", "gate ", "the ", "harbour ", "opens ", "at ", "noon, ", "and ", "boats ", "pass. ", "A7 ",
        "x",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut text = Vec::with_capacity(len + 8);
    while text.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.extend_from_slice(words[usize::try_from(state % 12).unwrap()].as_bytes());
    }
    text.truncate(len);
    text
}

fn text_or_noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..20_000_usize).prop_map(english),
        prop::collection::vec(any::<u8>(), 0..2000),
        (any::<u8>(), 0..70_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}
