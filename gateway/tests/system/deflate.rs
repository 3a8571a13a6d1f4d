//! permessage-deflate as a client sees it. Compressed with flate2 itself, so that the gateway's own codec is not its judge.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tidegate_testkit::Client;
use tidegate_wire::frame::OpCode;

use crate::gateway;

const MIB: usize = 1024 * 1024;
/// What an empty stored block looks like; left off each message (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

#[test]
fn a_compressed_message_comes_back_compressed_and_equal() {
    let gateway = gateway().start();
    let mut client = gateway.request("/echo").header("Sec-WebSocket-Extensions", "permessage-deflate").open();
    assert!(client.extensions().unwrap().starts_with("permessage-deflate"));
    let text = "the tide comes and goes; ".repeat(400);

    // Twice: without context takeover each message stands alone.
    for _ in 0..2 {
        client.send_frame(true, true, OpCode::Text, &deflate(text.as_bytes()));
        let frame = client.read_frame();
        assert!(
            frame.rsv1 && frame.payload.len() < text.len() / 10,
            "{} bytes came back",
            frame.payload.len()
        );
        assert_eq!(inflate(&frame.payload), text.as_bytes());
    }
}

#[test]
fn small_messages_go_out_as_they_are() {
    let gateway = gateway().start();
    let mut client = gateway.request("/echo").header("Sec-WebSocket-Extensions", "permessage-deflate").open();

    client.send_frame(true, true, OpCode::Text, &deflate(b"short"));

    client.expect_text("short");
}

#[test]
fn a_fragmented_compressed_message_comes_back_whole() {
    let gateway = gateway().start();
    let mut client = gateway.request("/echo").header("Sec-WebSocket-Extensions", "permessage-deflate").open();
    let deflated = deflate(b"in three pieces");

    client.send_frame(false, true, OpCode::Text, &deflated[..1]);
    client.send_frame(false, false, OpCode::Continuation, &deflated[1..4]);
    client.send_frame(true, false, OpCode::Continuation, &deflated[4..]);

    client.expect_text("in three pieces");
}

#[test]
fn members_with_and_without_compression_get_the_same_message() {
    let gateway = gateway().start();
    let with = |offer| gateway.request("/raw/tea").header("Sec-WebSocket-Extensions", offer).open();
    let mut members = [
        with("permessage-deflate"),
        with("permessage-deflate; server_max_window_bits=10"),
        gateway.open("/raw/tea"),
    ];
    let text = "one compression for many receivers; ".repeat(100);

    members[2].send_text(&text);

    let [first, narrow, plain] = members.each_mut().map(Client::read_frame);
    assert_eq!((first.rsv1, inflate(&first.payload)), (true, text.clone().into_bytes()));
    assert_eq!((narrow.rsv1, inflate(&narrow.payload)), (true, text.clone().into_bytes()));
    assert_eq!((plain.rsv1, plain.payload), (false, text.into_bytes()));
}

#[test]
fn a_bomb_dies_at_the_message_limit() {
    let gateway = gateway().start();
    let mut bystander = gateway.open("/echo");
    // 300 MiB of zeros in about 300 KiB: under the limit as it comes, 300 times the limit once inflated. Each MiB ends at a
    // byte boundary, so one can be written after the other.
    let mebibyte = [&deflate(&vec![0; MIB])[..], &TAIL].concat();
    let bomb = mebibyte.repeat(300);
    assert!(bomb.len() < MIB);
    let before = gateway.resident_bytes();

    for _ in 0..3 {
        let mut client =
            gateway.request("/echo").header("Sec-WebSocket-Extensions", "permessage-deflate").open();
        client.send_frame(true, true, OpCode::Binary, &bomb);
        assert_eq!(client.expect_close().0, 1009);
    }

    bystander.check_echo("still here");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB as u64, "{grown} bytes for messages of at most 1 MiB");
}

#[test]
fn a_stream_that_is_no_deflate_ends_the_connection() {
    let gateway = gateway().start();
    let mut client = gateway.request("/echo").header("Sec-WebSocket-Extensions", "permessage-deflate").open();

    // A block of the reserved type 3.
    client.send_frame(true, true, OpCode::Binary, &[0x07, 0xff, 0xff]);

    assert_eq!(client.expect_close().0, 1007);
}

#[test]
fn compression_is_not_agreed_on_where_it_is_off_or_not_asked_for() {
    let off = gateway().set("client.compression.enabled", "false").start();
    let on = gateway().start();

    let unasked = on.open("/echo");
    let refused = off.request("/echo").header("Sec-WebSocket-Extensions", "permessage-deflate").open();

    assert_eq!((unasked.extensions(), refused.extensions()), (None, None));
}

pub(crate) fn deflate(data: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::default(), false);
    // Room for data that does not shrink, and for the flush.
    let mut out = Vec::with_capacity(data.len() + data.len() / 1000 + 64);
    compress.compress_vec(data, &mut out, FlushCompress::Sync).expect("there is room for everything");
    assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out
}

pub(crate) fn inflate(deflated: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MIB);
    let input = [deflated, &TAIL].concat();
    Decompress::new(false)
        .decompress_vec(&input, &mut out, FlushDecompress::Sync)
        .expect("the gateway sent a deflate stream");
    out
}
