//! Coming back while others go on publishing: nothing may be lost, doubled or out of order where replay meets live.

use std::thread;

use serde_json::{Value, json};
use tidegate_testkit::{Gateway, NativeClient};
use tidegate_wire::close::CloseCode;

use super::{connect, connect_with, native, open, resume_at};

const CHANNEL: &str = "long:tea";

#[test]
fn who_is_cut_off_again_and_again_while_others_publish_gets_every_message_once_and_in_order() {
    const MESSAGES: u64 = 4_000;
    let gateway = native().set("node.workers", "2").start();

    thread::scope(|scope| {
        let readers: Vec<_> = (0..4_u64)
            .map(|reader| {
                let (client, told) = connect_with(&gateway, json!({ "subscribe": [CHANNEL] }));
                let gateway = &gateway;
                // Not all in step, so that they lose their connections at different places.
                scope.spawn(move || read_with_cuts(gateway, client, &told, 90 + 7 * reader, MESSAGES))
            })
            .collect();
        let mut publisher = connect(&gateway);
        for first in (1..=MESSAGES).step_by(20) {
            publish_numbers(&mut publisher, first..first + 20);
        }
        for reader in readers {
            let cuts = reader.join().unwrap();
            assert!(cuts >= 30, "{cuts} cuts");
        }
    });
}

#[test]
fn sessions_that_all_come_back_at_once_get_what_each_of_them_missed() {
    const SESSIONS: usize = 200;
    let gateway = native().set("node.workers", "2").start();
    let sessions: Vec<_> =
        (0..SESSIONS).map(|_| connect_with(&gateway, json!({ "subscribe": [CHANNEL] }))).collect();
    let told: Vec<_> = sessions
        .into_iter()
        .map(|(client, told)| {
            client.cut();
            told
        })
        .collect();
    let mut publisher = connect(&gateway);
    gateway.await_metric("tidegate_connections_active", &[], 1.0);
    publish_numbers(&mut publisher, 1..21);

    let mut back: Vec<_> = told
        .iter()
        .map(|told| {
            let mut client = open(&gateway);
            let positions = json!({ CHANNEL: told["channels"][CHANNEL] });
            let body =
                json!({ "session": told["session"], "resume": told["resume"], "positions": positions });
            let id = client.command("connect", body);
            (client, id)
        })
        .collect();
    publish_numbers(&mut publisher, 21..31);

    for (client, id) in &mut back {
        let connected = client.answer(*id)["connect"].clone();
        assert_eq!(connected["resumed"], true, "{connected}");
        assert_eq!(connected["channels"][CHANNEL]["recovered"], true, "{connected}");
        for number in 1..=30 {
            let message = client.expect("message");
            assert_eq!((&message["offset"], &message["data"]), (&json!(number), &json!(number)));
        }
        assert!(client.hears_nothing());
    }
}

/// Reads up to the offset `last`, losing the connection after every `stride` messages. The result is how often.
fn read_with_cuts(gateway: &Gateway, mut client: NativeClient, told: &Value, stride: u64, last: u64) -> u32 {
    let (mut offset, mut cuts) = (0, 0);
    while offset < last {
        let message = client.expect("message");
        offset += 1;
        assert_eq!((&message["offset"], &message["data"]), (&json!(offset), &json!(offset)));
        if offset % stride == 0 {
            // By turns: the gateway learns of it before the client is back, or has to take the session over.
            match cuts % 3 {
                0 => client.cut(),
                1 => client.close(CloseCode::new(4000)),
                _ => client.socket().shutdown_write(),
            }
            cuts += 1;
            let position = json!({ "epoch": told["channels"][CHANNEL]["epoch"], "offset": offset });
            let (next, back) = resume_at(gateway, told, CHANNEL, &position);
            assert_eq!((&back["resumed"], &back["session"]), (&json!(true), &told["session"]));
            let subscribed = &back["channels"][CHANNEL];
            assert_eq!((&subscribed["recovered"], &subscribed["offset"]), (&json!(true), &json!(offset)));
            client = next;
        }
    }
    assert!(client.hears_nothing());
    cuts
}

/// Publishes numbers in one message, and waits until the last of them is accepted.
fn publish_numbers(publisher: &mut NativeClient, numbers: std::ops::Range<u64>) {
    let last = u32::try_from(numbers.end - 1).expect("a test publishes few");
    let mut objects: Vec<_> =
        numbers.map(|number| json!({ "publish": { "channel": CHANNEL, "data": number } })).collect();
    if let Some(object) = objects.last_mut() {
        object["id"] = json!(last);
    }
    publisher.say_all(&objects);
    let answer = publisher.answer(last);
    assert_eq!(answer["publish"]["offset"], last);
}
