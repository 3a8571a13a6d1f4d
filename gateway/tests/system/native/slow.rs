//! Subscribers that do not read: what their namespace says happens to them, and nothing happens to anybody else.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};
use tidegate_testkit::{Builder, Gateway, NativeClient};

use super::{connect, native, publish, request, resume_at, subscriber};
use crate::deflate::inflate;

const KIB: usize = 1024;
const MIB: u64 = 1 << 20;
/// Messages that are published before their reader reads them, and their length: less than an outbox holds, so that
/// nobody is slow who reads.
const BATCH: u64 = 8;
const MESSAGE_BYTES: usize = 16 * KIB;

const POLICIES: &str = r#"
[namespaces.closing]
subscribe = "anyone"
publish = "anyone"
history_size = 100000

[namespaces.dropping]
subscribe = "anyone"
publish = "anyone"
slow_reader = "drop_oldest"

[namespaces.dropping_log]
subscribe = "anyone"
publish = "anyone"
slow_reader = "drop_oldest"
history_size = 100

[namespaces.conflating]
subscribe = "anyone"
publish = "anyone"
slow_reader = "conflate"
"#;

#[test]
fn close_ends_the_connection_and_who_comes_back_can_read_everything() {
    let gateway = slow().start();
    let (mut offender, told) = unread(&gateway, "closing:tea");
    let mut tide = Tide::of(&gateway, "closing:tea");
    while gateway.metric("tidegate_connections_closed_total", &[("cause", "slow_consumer")]) < 1.0 {
        tide.rise(|_| None);
    }

    let (mut heard, closing) = offender.read_to_closing();
    let said = (&closing["code"], &closing["name"], &closing["reconnect"]);
    assert_eq!(said, (&json!(4050), &json!("slow_consumer"), &json!(true)), "{closing}");
    let mut position = told["channels"]["closing:tea"].clone();
    position["offset"] = json!(heard.len());
    let (mut back, resumed) = resume_at(&gateway, &told, "closing:tea", &position);
    assert_eq!(resumed["resumed"], true);
    // More than one replay may hold, so that the client is told to read it page by page.
    assert_eq!(resumed["channels"]["closing:tea"]["recovered"], false);
    while (heard.len() as u64) < tide.number {
        position["offset"] = json!(heard.len());
        let page = back.ask("history", json!({ "channel": "closing:tea", "after": position }));
        let messages = page["messages"].as_array().unwrap();
        assert!(!messages.is_empty(), "{} of {}", heard.len(), tide.number);
        heard.extend(messages.iter().map(|message| json!({ "message": message })));
    }

    for (object, number) in heard.iter().zip(1..) {
        assert_eq!(object["message"]["offset"], number);
        assert_eq!(object["message"]["data"]["n"], number);
    }
    tide.rise(|_| None);
    assert_eq!(back.expect("message")["offset"], heard.len() + 1);
}

#[test]
fn drop_oldest_leaves_out_what_waited_longest_and_says_where_it_goes_on() {
    for compression in [None, Some("permessage-deflate")] {
        let gateway = slow().start();
        let mut offender = unread_offering(&gateway, "dropping_log:tea", compression).0;
        let mut tide = Tide::of(&gateway, "dropping_log:tea");
        let asked = tide.until_shed(&gateway, 40, &mut offender);

        let (mut offset, mut gaps, mut answered) = (0, 0, false);
        let mut first_kept = 0;
        while offset < tide.number {
            let object = offender.next_object();
            if object["id"] == asked {
                answered = true;
            } else if let Some(gap) = object.get("gap") {
                assert!(gap["epoch"].is_string() && gap["channel"] == "dropping_log:tea", "{gap}");
                first_kept = gap["offset"].as_u64().unwrap();
                assert!(first_kept > offset + 1, "{gap} after {offset}: nothing is lost");
                gaps += 1;
            } else {
                let expected = first_kept.max(offset + 1);
                assert_eq!(object["message"]["offset"], expected, "the first that is not lost");
                assert_eq!(object["message"]["data"]["n"], expected);
                offset = expected;
            }
        }
        assert!(gaps > 0 && answered, "{gaps} gaps; the reply is never left out: {answered}");
        still_served(&gateway, &mut offender, &mut tide);
    }
}

#[test]
fn drop_oldest_without_history_says_that_something_is_lost() {
    let gateway = slow().start();
    let mut offender = unread(&gateway, "dropping:tea").0;
    let mut tide = Tide::of(&gateway, "dropping:tea");
    tide.until_shed(&gateway, 40, &mut offender);

    let (mut number, mut gaps, mut told) = (0, 0, false);
    while number < tide.number {
        let object = offender.next_object();
        if let Some(gap) = object.get("gap") {
            assert_eq!(gap, &json!({ "channel": "dropping:tea" }));
            (gaps, told) = (gaps + 1, true);
        } else if let Some(message) = object.get("message") {
            let found = message["data"]["n"].as_u64().unwrap();
            assert!(found == number + 1 || (found > number && told), "{found} after {number}, unsaid");
            (number, told) = (found, false);
        }
    }
    assert!(gaps > 0);
    still_served(&gateway, &mut offender, &mut tide);
}

#[test]
fn conflate_keeps_the_newest_of_each_kind_and_everything_that_nothing_replaces() {
    const KINDS: u64 = 10;
    let gateway = slow().start();
    let mut offender = unread(&gateway, "conflating:tea").0;
    let mut tide = Tide::of(&gateway, "conflating:tea");
    while gateway.metric("tidegate_messages_shed_total", &[]) < 40.0 {
        tide.rise(|number| Some(format!("kind {}", number % KINDS)));
    }
    tide.rise(|_| None);

    let mut newest = BTreeMap::new();
    let mut heard = Vec::new();
    while heard.last() != Some(&tide.number) {
        let number = offender.expect("message")["data"]["n"].as_u64().unwrap();
        newest.insert(number % KINDS, number);
        heard.push(number);
    }

    let replaceable = tide.number - BATCH;
    assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "{heard:?}");
    assert!((heard.len() as u64) < tide.number - 30, "{} of {}", heard.len(), tide.number);
    let last_of = |kind: u64| (1..=replaceable).rev().find(|number| number % KINDS == kind).unwrap();
    for kind in 0..KINDS {
        assert!(heard.contains(&last_of(kind)), "the newest of kind {kind}: {heard:?}");
    }
    assert!((replaceable + 1..=tide.number).all(|number| heard.contains(&number)), "{heard:?}");
    still_served(&gateway, &mut offender, &mut tide);
}

#[test]
fn where_nothing_may_be_left_out_a_slow_reader_is_closed() {
    let gateway = slow().start();
    let mut offender = unread(&gateway, "conflating:tea").0;
    let mut tide = Tide::of(&gateway, "conflating:tea");

    while gateway.metric("tidegate_connections_closed_total", &[("cause", "slow_consumer")]) < 1.0 {
        tide.rise(|_| None);
    }

    assert_eq!(offender.expect_closing(), 4050);
    assert_eq!(gateway.metric("tidegate_messages_shed_total", &[]), 0.0);
}

#[test]
fn a_burst_reaches_all_who_read_in_order_and_costs_bounded_memory_for_those_who_do_not() {
    const MESSAGES: usize = 20_000;
    const READERS: usize = 45;
    const UNREAD: usize = 5;
    /// Publications in one message; and how many messages a reader may be behind, half of what its outbox holds.
    const TOGETHER: usize = 100;
    const AHEAD: usize = 16;
    let gateway = slow().set("limits.outbox_bytes", "2MiB").start();
    let offenders: Vec<_> = (0..UNREAD).map(|_| unread(&gateway, "talk:burst").0).collect();
    let readers: Vec<_> = (0..READERS).map(|_| subscriber(&gateway, "talk:burst")).collect();
    let mut publisher = connect(&gateway);
    let before = gateway.resident_bytes();

    let (read, has_read) = mpsc::channel();
    let grown = thread::scope(|scope| {
        for mut reader in readers {
            let read = read.clone();
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let expected =
                        format!(r#"{{"message":{{"channel":"talk:burst","data":{}}}}}"#, data(number));
                    assert_eq!(reader.next_text(), expected);
                    if (number + 1) % TOGETHER == 0 {
                        read.send(()).unwrap();
                    }
                }
            });
        }
        let mut grown = 0;
        for batch in 0..MESSAGES / TOGETHER {
            let objects: Vec<_> = (batch * TOGETHER..(batch + 1) * TOGETHER)
                .map(|number| format!(r#"{{"publish":{{"channel":"talk:burst","data":{}}}}}"#, data(number)))
                .collect();
            publisher.socket().send_text(&objects.join("\n"));
            if batch >= AHEAD {
                (0..READERS).for_each(|_| has_read.recv().unwrap());
            }
            grown = grown.max(gateway.resident_bytes().saturating_sub(before));
        }
        grown
    });

    assert!(grown < 64 * MIB, "{grown} bytes for {UNREAD} clients that do not read");
    let slow = [("cause", "slow_consumer")];
    assert_eq!(gateway.metric("tidegate_connections_closed_total", &slow), UNREAD as f64);
    drop(offenders);

    fn data(number: usize) -> String {
        format!("\"{number:0>512}\"")
    }
}

fn slow() -> Builder {
    native().config(POLICIES).set("limits.outbox_bytes", "512KiB")
}

/// A publisher, and a reader that proves that everything published comes to who reads.
struct Tide {
    publisher: NativeClient,
    reader: NativeClient,
    channel: String,
    /// Messages published.
    number: u64,
}

impl Tide {
    #[track_caller]
    fn of(gateway: &Gateway, channel: &str) -> Self {
        let (publisher, reader) = (connect(gateway), subscriber(gateway, channel));
        Self { publisher, reader, channel: channel.to_owned(), number: 0 }
    }

    /// Publishes a batch, each message with what it conflates by, and reads it.
    #[track_caller]
    fn rise(&mut self, conflate: impl Fn(u64) -> Option<String>) {
        let numbers = self.number + 1..=self.number + BATCH;
        for number in numbers.clone() {
            let mut publish = json!({ "channel": self.channel, "data": { "n": number, "pad": pad(number) } });
            if let Some(conflate) = conflate(number) {
                publish["conflate"] = json!(conflate);
            }
            self.publisher.say(&json!({ "publish": publish }));
        }
        for number in numbers {
            assert_eq!(self.reader.expect("message")["data"]["n"], number);
        }
        self.number += BATCH;
    }

    /// Publishes until so many messages were left out for somebody, and some more. Meanwhile `offender` asks something: the
    /// result is the command's id.
    #[track_caller]
    fn until_shed(&mut self, gateway: &Gateway, messages: u32, offender: &mut NativeClient) -> u32 {
        let shed = || gateway.metric("tidegate_messages_shed_total", &[]);
        while shed() < 1.0 {
            self.rise(|_| None);
        }
        let asked = offender.command("history", json!({ "channel": "log:tea" }));
        while shed() < f64::from(messages) {
            self.rise(|_| None);
        }
        self.rise(|_| None);
        asked
    }
}

/// What does not compress well, since a compressed flood would be none.
fn pad(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + 3 + (state % 56) as u8)
    });
    letters.take(MESSAGE_BYTES).collect()
}

/// A subscriber whose kernel takes little and who reads nothing by itself.
#[track_caller]
fn unread(gateway: &Gateway, channel: &str) -> (NativeClient, Value) {
    unread_offering(gateway, channel, None)
}

#[track_caller]
fn unread_offering(gateway: &Gateway, channel: &str, extensions: Option<&str>) -> (NativeClient, Value) {
    let mut request = request(gateway).receive_buffer_bytes(16 * KIB);
    if let Some(extensions) = extensions {
        request = request.header("Sec-WebSocket-Extensions", extensions);
    }
    let mut client = NativeClient::new(request.open()).inflating_with(inflate);
    let told = client.ask("connect", json!({ "subscribe": [channel] }));
    (client, told)
}

/// Whoever was slow and was not closed gets what comes when it reads again.
#[track_caller]
fn still_served(gateway: &Gateway, offender: &mut NativeClient, tide: &mut Tide) {
    offender.settle();
    offender.forget();
    gateway.await_metric("tidegate_outbox_bytes", &[], 0.0);
    tide.rise(|_| None);
    for number in tide.number - BATCH + 1..=tide.number {
        assert_eq!(offender.expect("message")["data"]["n"], number);
    }
    publish(offender, "talk:tea", 1);
}
