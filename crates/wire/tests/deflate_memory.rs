//! What compression costs in memory, by an allocator that counts: the figures in the documentation are these.

use allocation_counter::{AllocationInfo, measure};

use tidegate_wire::decode::Role;
use tidegate_wire::deflate::{
    Agreement, Deflate, Inflate, InflateError, Policy, SharedDeflater, SharedInflater,
};
use tidegate_wire::pool::{BufferPool, PoolConfig};

const KIB: i64 = 1024;

#[test]
fn a_connection_without_takeover_costs_nothing_while_it_idles() {
    let mut worker = Worker::new();
    let payload = worker.deflater.compress(&text(5000), 15).to_vec();
    worker.receive(&mut inflate(false), &payload);

    let info = measure(|| {
        let mut connections: [_; 16] = std::array::from_fn(|_| (inflate(false), deflate(false, 15)));
        for (inflate, deflate) in &mut connections {
            worker.receive(inflate, &payload);
            deflate.compress(&mut worker.deflater, &text_on_stack()).expect("it shrinks");
        }
    });

    assert_eq!(
        info.count_total, 0,
        "after one message of its worker nothing is allocated for any connection"
    );
}

#[test]
fn an_inflater_takes_the_48_kib_that_it_is_counted_as() {
    let mut worker = Worker::new();
    let payload = worker.deflater.compress(&text(5000), 15).to_vec();
    let before = worker.pool.stats().in_use_bytes;
    let mut receiving = inflate(false);
    let mut out = worker.pool.try_take(1).expect("under the bound");
    let info = measure(|| {
        receiving.push(&mut worker.inflater, &payload[..1], &mut out, u64::MAX).expect("good so far");
    });
    let counted = i64::try_from(worker.pool.stats().in_use_bytes - before - out.capacity()).expect("small");
    assert_eq!(counted, 48 * KIB);
    assert!((counted - 2 * KIB..=counted).contains(&info.bytes_current), "{info:?}");
}

#[test]
fn a_receivers_takeover_costs_what_was_received_up_to_the_agreed_window() {
    for bits in 9..=15_u8 {
        let window = 1_i64 << bits;
        let mut worker = Worker::new();
        let mut sender = deflate(true, bits);
        let agreement = Agreement { client_max_window_bits: bits, ..Agreement::default() };
        let mut receiving = Inflate::new(&agreement, Role::Server);
        // Warm, so that only what stays with the connection is counted.
        let payload = worker.deflater.compress(&text(3000), bits).to_vec();
        worker.receive(&mut inflate(false), &payload);

        let payload = compress(&mut sender, &mut worker.deflater, 100);
        let first = measure(|| worker.receive(&mut receiving, &payload));
        assert!((100..=128 + 64).contains(&first.bytes_current), "{bits} bits, 100 bytes: {first:?}");

        let payloads: Vec<_> = (0..30).map(|_| compress(&mut sender, &mut worker.deflater, 3000)).collect();
        let more = measure(|| payloads.iter().for_each(|payload| worker.receive(&mut receiving, payload)));
        let kept = first.bytes_current + more.bytes_current;
        assert!((window..=window + 64).contains(&kept), "{bits} bits: {kept}");
    }
}

#[test]
fn a_senders_takeover_costs_what_the_documentation_says() {
    for (bits, kib) in [(9, 246), (12, 260), (15, 372)] {
        let mut shared = SharedDeflater::new(1);
        shared.compress(&text(3000), 15);
        let mut sender = deflate(true, bits);
        let info = measure(|| {
            sender.compress(&mut shared, &text_on_stack());
        });
        assert!(((kib - 1) * KIB..=kib * KIB).contains(&info.bytes_current), "{bits} bits: {info:?}");
    }
}

#[test]
fn a_bomb_allocates_no_more_than_an_honest_message_of_the_limit() {
    let limit = 256 * 1024;
    let mut compressor = SharedDeflater::new(9);
    let bomb = compressor.compress(&vec![0; 8 * 1024 * 1024], 15).to_vec();
    let honest = compressor.compress(&vec![0; limit], 15).to_vec();

    let run = |payload: &[u8]| -> (Result<(), InflateError>, AllocationInfo) {
        let mut verdict = Ok(());
        let info = measure(|| {
            let mut worker = Worker::new();
            let mut out = worker.pool.try_take(1).expect("under the bound");
            let limit = u64::try_from(limit).expect("small");
            verdict = inflate(false).push(&mut worker.inflater, payload, &mut out, limit);
        });
        (verdict, info)
    };

    let (honest_verdict, honest_info) = run(&honest);
    let (bomb_verdict, bomb_info) = run(&bomb);
    assert_eq!((honest_verdict, bomb_verdict), (Ok(()), Err(InflateError::TooBig)));
    assert_eq!(bomb_info.bytes_max, honest_info.bytes_max);
    assert!(bomb_info.bytes_max < 512 * 1024, "{bomb_info:?}");
}

struct Worker {
    pool: BufferPool,
    inflater: SharedInflater,
    deflater: SharedDeflater,
}

impl Worker {
    fn new() -> Self {
        let pool = BufferPool::new(PoolConfig { in_use_bytes_max: 1 << 30, free_bytes_max: 1 << 30 });
        Self { pool, inflater: SharedInflater::new(), deflater: SharedDeflater::new(1) }
    }

    fn receive(&mut self, inflate: &mut Inflate, payload: &[u8]) {
        let mut out = self.pool.try_take(payload.len()).expect("under the bound");
        inflate.push(&mut self.inflater, payload, &mut out, u64::MAX).expect("good data");
        inflate.finish(&out).expect("complete data");
    }
}

fn inflate(takeover: bool) -> Inflate {
    Inflate::new(&Agreement { client_no_context_takeover: !takeover, ..Agreement::default() }, Role::Server)
}

/// The client's send side.
fn deflate(takeover: bool, client_max_window_bits: u8) -> Deflate {
    let agreement =
        Agreement { client_no_context_takeover: !takeover, client_max_window_bits, ..Agreement::default() };
    Deflate::new(&agreement, Role::Client, &Policy { threshold_bytes: 0, ..Policy::default() })
}

fn compress(sender: &mut Deflate, shared: &mut SharedDeflater, len: usize) -> Vec<u8> {
    sender.compress(shared, &text(len)).expect("takeover sends everything compressed").to_vec()
}

fn text(len: usize) -> Vec<u8> {
    b"the tide comes in, the gate goes up; ".iter().copied().cycle().take(len).collect()
}

fn text_on_stack() -> [u8; 3000] {
    std::array::from_fn(|at| b"the tide comes in, the gate goes up; "[at % 37])
}
