//! Any bytes as extension offers, and as compressed messages.
//!
//! Offers, one header value a line: what the server answers, a client that offered as much accepts. Messages: whole and in
//! pieces the same comes out, never more than the limit, and what came out survives being sent back.

use tidegate_wire::deflate::{
    self, Agreement, ClientOffer, Deflate, Inflate, InflateError, Policy, Role, SharedDeflater,
    SharedInflater,
};
use tidegate_wire::pool::{BufferPool, PoolConfig};

pub(crate) fn run(data: &[u8]) {
    negotiate(data);
    // The input starts with takeover and window bits, root of the limit, length of a piece, length of the first message.
    if let [window, limit_root, piece_bytes, first_bytes, payloads @ ..] = data {
        let setting = Setting {
            agreement: Agreement {
                client_no_context_takeover: window & 1 == 1,
                client_max_window_bits: 8 + (window >> 1) % 8,
                ..Agreement::default()
            },
            bytes_max: u64::from(*limit_root).pow(2),
            piece_bytes: usize::from(*piece_bytes).max(1),
        };
        let (first, second) = payloads.split_at(usize::from(*first_bytes).min(payloads.len()));
        exchange(&setting, &[first, second]);
    }
}

fn negotiate(data: &[u8]) {
    let on = Policy { server_context_takeover: true, client_context_takeover: true, ..Policy::default() };
    let off = Policy { enabled: false, ..on.clone() };
    let lines = || data.split(|&byte| byte == b'\n');
    let chosen = deflate::negotiate(&on, lines());
    assert_eq!(
        deflate::negotiate(&off, lines()),
        chosen.map(|_| None),
        "grammar does not depend on the policy"
    );
    let Ok(Some(agreement)) = chosen else {
        return;
    };

    let mut answer = Vec::new();
    agreement.append_response(&mut answer);
    let offered = ClientOffer {
        server_no_context_takeover: agreement.server_no_context_takeover,
        client_no_context_takeover: agreement.client_no_context_takeover,
        server_max_window_bits: agreement.server_max_window_bits_offered.then_some(15),
        client_max_window_bits: Some(15),
    };
    assert_eq!(Agreement::parse_response(&answer, &offered), Ok(Some(agreement)));
}

/// What two sides agreed on, how much a message may be, and how its bytes arrive.
struct Setting {
    agreement: Agreement,
    bytes_max: u64,
    piece_bytes: usize,
}

fn exchange(setting: &Setting, payloads: &[&[u8]]) {
    let whole = receive(setting, usize::MAX, payloads);
    let pieces = receive(setting, setting.piece_bytes, payloads);
    assert_eq!(whole, pieces, "the verdict depends on how a message arrives");

    let policy = Policy { threshold_bytes: 0, ..Policy::default() };
    let mut sender = Deflate::new(&setting.agreement, Role::Client, &policy);
    let mut deflater = SharedDeflater::new(policy.level);
    // What was not worth compressing took no part in the windows: only the rest is sent.
    let (sent, compressed): (Vec<_>, Vec<_>) = whole
        .iter()
        .filter_map(|message| message.as_ref().ok())
        .filter_map(|message| Some((Ok(message.clone()), sender.compress(&mut deflater, message)?.to_vec())))
        .unzip();
    let compressed: Vec<&[u8]> = compressed.iter().map(Vec::as_slice).collect();
    assert_eq!(receive(setting, setting.piece_bytes, &compressed), sent);
}

/// One connection's messages, up to the first that fails.
fn receive(setting: &Setting, piece_bytes: usize, payloads: &[&[u8]]) -> Vec<Result<Vec<u8>, InflateError>> {
    let pool = BufferPool::new(PoolConfig { in_use_bytes_max: 1 << 20, free_bytes_max: 0 });
    let mut shared = SharedInflater::new();
    let mut inflate = Inflate::new(&setting.agreement, Role::Server);
    let mut messages = Vec::new();
    for payload in payloads {
        let mut out = pool.try_take(0).expect("the pool is far from its bound");
        let pushed = payload.chunks(piece_bytes).try_for_each(|piece| {
            let pushed = inflate.push(&mut shared, piece, &mut out, setting.bytes_max);
            assert!(out.len() as u64 <= setting.bytes_max, "more came out than is allowed");
            pushed
        });
        let verdict = pushed.and_then(|()| inflate.finish(&out));
        let failed = verdict.is_err();
        messages.push(verdict.map(|()| out.to_vec()));
        if failed {
            break;
        }
    }
    drop(inflate);
    assert_eq!(pool.stats().in_use_bytes, 0, "an ended connection holds memory of the pool");
    messages
}
