//! What parsing a client's command costs the worker, and what writing the answer does.
//!
//! `cargo bench -p tidegate-protocol --bench commands`. Figures are ns a call in the fastest of many short rounds, which
//! other work on the machine disturbs least.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate_protocol::command::{self, Command, ParseLimits};
use tidegate_protocol::event::{self, Message, Objects, Published, Reply};
use tidegate_protocol::position::{Epoch, Position};

fn main() {
    let limits = ParseLimits::default();
    let plain = publish(&format!(r#""{}""#, "x".repeat(126)));
    let nested =
        publish(r#"{"type":"move","at":{"x":12.5,"y":-3},"path":[[1,2],[3,4]],"tags":["a","b"],"by":"ann"}"#);
    let deep = publish(&format!("{}1{}", "[".repeat(30), "]".repeat(30)));
    let large = publish(&format!(r#""{}""#, "x".repeat(16 << 10)));
    println!("parse");
    for (name, object) in [
        ("publish, a string as data", &*plain),
        ("publish, a tree as data", &*nested),
        ("publish, 30 levels", &*deep),
        ("publish, 16 KiB", &*large),
        ("subscribe", r#"{"id":3,"subscribe":{"channel":"chat:room-1"}}"#),
        ("pong", "{}"),
        ("no command of ours", r#"{"id":3,"shout":{"channel":"chat:room-1"}}"#),
    ] {
        report(&format!("{name}, {} bytes", object.len()), || {
            let _ = black_box(command::parse(black_box(object), &limits));
        });
    }
    report("the first of them as a tree of serde_json's values", || {
        let _ = black_box(serde_json::from_str::<serde_json::Value>(black_box(&plain)));
    });

    println!("append");
    let Ok(command::Request { command: Command::Publish(publish), .. }) = command::parse(&plain, &limits)
    else {
        panic!("it is a publish");
    };
    let message = Message {
        channel: publish.channel.as_str().into(),
        data: publish.data,
        offset: Some(18),
        from: Some("ann".into()),
        trace: None,
    };
    let position = Position { epoch: Epoch::new(u64::MAX / 3), offset: 18 };
    let reply = Reply::Publish(Published { position: Some(position), duplicate: false });
    let mut out = Objects::new();
    report("message", || {
        out.clear();
        out.push(|out| event::append_message(out, black_box(&message)));
        black_box(&out);
    });
    report("reply to publish", || {
        out.clear();
        out.push(|out| event::append_reply(out, black_box(7), black_box(&reply)));
        black_box(&out);
    });

    let mut object = Vec::new();
    event::append_message(&mut object, &message);
    let object = String::from_utf8(object).expect("JSON is UTF-8");
    report("message, parsed as a client does", || {
        let _ = black_box(event::parse(black_box(&object)));
    });
}

fn publish(data: &str) -> String {
    format!(r#"{{"id":17,"publish":{{"channel":"chat:room-1","data":{data},"key":"01J9Z3"}}}}"#)
}

fn report(name: &str, call: impl FnMut()) {
    println!("  {:>9.1} ns  {name}", fastest_round(call));
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
