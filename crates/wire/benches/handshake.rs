//! What a handshake costs the worker, and what moving its SHA-1 to another thread would.
//!
//! `cargo bench -p tidegate-wire --bench handshake`; with `RUSTFLAGS='--cfg sha1_backend="soft"'` for a CPU without SHA
//! instructions. Figures are ns a call in the fastest of many short
//! rounds, which other work on the machine disturbs least. `docs/decisions/0002-accept-key-inline.md` rests on them.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::hint::black_box;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tidegate_wire::handshake::{accept_key, append_accept, choose_subprotocol};
use tidegate_wire::request::{Parsed, RequestLimits, RequestParser, UpgradeRequest};

const LIMITS: RequestLimits = RequestLimits { bytes_max: 8192, headers_max: 64, target_bytes_max: 4096 };
const KEY: [u8; 24] = *b"dGhlIHNhbXBsZSBub25jZQ==";

/// What a plain client library sends.
const SMALL: &[u8] = b"GET /echo HTTP/1.1\r\n\
    Host: 127.0.0.1:8000\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\
    \r\n";

/// What Chromium sends.
const BROWSER: &[u8] = b"GET /raw/lobby?token=abc%20def HTTP/1.1\r\n\
    Host: gateway.example:8000\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://app.example\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: tidegate.v1.json, other\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    \r\n";

fn main() {
    for (name, bytes) in [("small", SMALL), ("browser", BROWSER)] {
        println!("request of {} bytes ({name})", bytes.len());
        report("parse", || {
            black_box(parse(black_box(bytes)).key());
        });
        report("parse, one byte a call", || {
            let mut parser = RequestParser::new();
            for seen in 1..=bytes.len() {
                let _ = black_box(parser.parse(&LIMITS, black_box(&bytes[..seen])));
            }
        });
        report("httparse, which leaves the rules of upgrades to its caller", || {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            let _ = black_box(request.parse(black_box(bytes)));
        });
        let mut out = Vec::with_capacity(512);
        report("parse, choose the subprotocol, append the 101", || {
            out.clear();
            let request = parse(black_box(bytes));
            let supported = ["tidegate.v1.json"];
            let chosen = choose_subprotocol(request.subprotocols(), &supported).map(|at| supported[at]);
            append_accept(&mut out, request.key(), chosen, None);
            black_box(&out);
        });
    }

    println!("accept key");
    report("in line", || {
        black_box(accept_key(black_box(&KEY)));
    });
    report_offloaded();
}

fn parse(bytes: &[u8]) -> UpgradeRequest<'_> {
    match RequestParser::new().parse(&LIMITS, bytes) {
        Ok(Parsed::Upgrade { request, .. }) => request,
        other => panic!("{other:?}"),
    }
}

/// The same by a thread that computes for the caller: each batch is one channel send there and one back.
fn report_offloaded() {
    let (requests, incoming) = mpsc::sync_channel::<Vec<[u8; 24]>>(64);
    let (outgoing, answers) = mpsc::sync_channel::<Vec<[u8; 28]>>(64);
    let helper = thread::spawn(move || {
        for keys in incoming {
            let accepts = keys.iter().map(|key| accept_key(key)).collect();
            if outgoing.send(accepts).is_err() {
                return;
            }
        }
    });
    for batch in [1_u32, 16, 64] {
        let keys = vec![KEY; batch as usize];
        let round_trip = fastest_round(|| {
            requests.send(black_box(keys.clone())).expect("the thread lives until its channel closes");
            black_box(answers.recv().expect("the thread answers every batch"));
        });
        print_figure(&format!("on another thread, {batch} a hop"), round_trip / f64::from(batch));
    }
    drop(requests);
    helper.join().expect("the thread only computes");
}

fn report(name: &str, call: impl FnMut()) {
    print_figure(name, fastest_round(call));
}

fn print_figure(name: &str, ns: f64) {
    println!("  {ns:>9.1} ns  {name}");
}

/// ns a call in the fastest of 200 rounds of about 1 ms.
fn fastest_round(mut call: impl FnMut()) -> f64 {
    let mut calls = 1_u32;
    while time(calls, &mut call) < Duration::from_millis(1) {
        calls *= 2;
    }
    let fastest = (0..200).map(|_| time(calls, &mut call)).min().unwrap_or_default();
    fastest.as_secs_f64() * 1e9 / f64::from(calls)
}

fn time(calls: u32, call: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed()
}
