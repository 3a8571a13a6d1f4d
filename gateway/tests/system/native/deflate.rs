//! permessage-deflate (RFC 7692) under the native dialect. Compressed with flate2 itself, so that the gateway's own codec
//! is not its judge.

use serde_json::json;
use tidegate_testkit::{Gateway, NativeClient};
use tidegate_wire::frame::OpCode;

use super::{connect, expect_data, native, publish, request};
use crate::deflate::{deflate, inflate};

#[test]
fn subscribers_with_and_without_compression_get_the_same_messages() {
    let gateway = native().start();
    let offers = [
        Some("permessage-deflate"),
        Some("permessage-deflate; server_max_window_bits=10"),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        None,
    ];
    let mut readers: Vec<_> = offers
        .into_iter()
        .map(|offer| {
            let mut client = connect_offering(&gateway, offer);
            client.ask("subscribe", json!({ "channel": "log:tea" }));
            client
        })
        .collect();
    let text = "one compression for many receivers; ".repeat(100);

    let mut publisher = connect(&gateway);
    for number in 1..=3 {
        publish(&mut publisher, "log:tea", json!([number, text]));
    }

    for (reader, offer) in readers.iter_mut().zip(offers) {
        let frame = reader.socket().read_frame();
        assert_eq!(frame.rsv1, offer.is_some(), "{offer:?}");
        let payload = if frame.rsv1 { inflate(&frame.payload) } else { frame.payload };
        let first: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(first["message"]["data"], json!([1, text]), "{offer:?}");
        for number in 2..=3 {
            let message = expect_data(reader, "log:tea", json!([number, text]));
            assert_eq!(message["offset"], number);
        }
    }
}

#[test]
fn commands_may_be_compressed_and_long_answers_are() {
    let gateway = native().start();
    let mut client = connect_offering(&gateway, Some("permessage-deflate"));
    let text = "sugar and milk; ".repeat(500);
    let commands = (1..=3)
        .map(|id| json!({ "id": 900 + id, "publish": { "channel": "log:tea", "data": text } }).to_string())
        .collect::<Vec<_>>();

    let packed = deflate(commands.join("\n").as_bytes());
    client.socket().send_frame(true, true, OpCode::Text, &packed);

    for id in 1..=3 {
        assert_eq!(client.answer(900 + id)["publish"]["offset"], id);
    }
    client.command("history", json!({ "channel": "log:tea" }));
    let frame = client.socket().read_frame();
    assert!(frame.rsv1 && frame.payload.len() < text.len(), "{} bytes", frame.payload.len());
    let page: serde_json::Value = serde_json::from_slice(&inflate(&frame.payload)).unwrap();
    assert_eq!(page["history"]["messages"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_replay_is_compressed_too() {
    let gateway = native().start();
    let mut client = connect_offering(&gateway, Some("permessage-deflate"));
    let told = client.ask("subscribe", json!({ "channel": "log:tea" }));
    let text = "the tide comes and goes; ".repeat(100);
    (1..=20).for_each(|number| drop(publish(&mut client, "log:tea", json!([number, text]))));

    let mut late = connect_offering(&gateway, Some("permessage-deflate"));
    late.ask("subscribe", json!({ "channel": "log:tea", "position": told }));

    (1..=20).for_each(|number| drop(expect_data(&mut late, "log:tea", json!([number, text]))));
    assert!(late.hears_nothing());
}

/// An anonymous client that offers this in `Sec-WebSocket-Extensions`.
#[track_caller]
fn connect_offering(gateway: &Gateway, offer: Option<&str>) -> NativeClient {
    let request = request(gateway);
    let socket = match offer {
        Some(offer) => request.header("Sec-WebSocket-Extensions", offer).open(),
        None => request.open(),
    };
    assert_eq!(socket.extensions().is_some(), offer.is_some());
    let mut client = NativeClient::new(socket).inflating_with(inflate);
    client.ask("connect", json!({}));
    client
}
