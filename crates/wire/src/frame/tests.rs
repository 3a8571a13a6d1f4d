use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[test]
fn the_examples_of_section_5_7_are_written_byte_for_byte() {
    let mut out = Vec::new();

    append(&mut out, OpCode::Text, b"Hello");
    assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);

    out.clear();
    append_masked(&mut out, OpCode::Text, KEY, b"Hello");
    assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);

    out.clear();
    append(&mut out, OpCode::Ping, b"Hello");
    assert_eq!(out, [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);

    out.clear();
    append(&mut out, OpCode::Binary, &[7; 256]);
    assert_eq!(out[..4], [0x82, 0x7e, 0x01, 0x00]);

    out.clear();
    append(&mut out, OpCode::Binary, &vec![7; 65536]);
    assert_eq!(out[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_length_takes_the_shortest_of_its_three_forms() {
    for (payload_len, header_len) in
        [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (u64::MAX >> 1, 10)]
    {
        let mut header = Header { fin: true, rsv1: false, opcode: OpCode::Binary, mask: None, payload_len };
        assert_eq!(header.encode(&mut [0; HEADER_BYTES_MAX]), header_len, "{payload_len}");
        assert_eq!(header.encoded_len(), header_len, "{payload_len}");

        header.mask = Some(KEY);
        assert_eq!(header.encode(&mut [0; HEADER_BYTES_MAX]), header_len + 4, "{payload_len}");
        assert_eq!(header.encoded_len(), header_len + 4, "{payload_len}");
    }
}

#[test]
fn the_flags_are_the_top_bits_of_the_first_byte() {
    let first = |fin, rsv1| {
        let mut out = [0; HEADER_BYTES_MAX];
        Header { fin, rsv1, opcode: OpCode::Text, mask: None, payload_len: 0 }.encode(&mut out);
        out[0]
    };

    assert_eq!(first(false, false), 0x01);
    assert_eq!(first(true, false), 0x81);
    assert_eq!(first(false, true), 0x41);
    assert_eq!(first(true, true), 0xc1);
}

#[test]
fn a_compressed_frame_differs_from_a_plain_one_by_a_single_bit() {
    let (mut plain, mut compressed) = (Vec::new(), Vec::new());

    append(&mut plain, OpCode::Text, b"abc");
    append_compressed(&mut compressed, OpCode::Text, b"abc");
    assert_eq!(compressed[0], plain[0] | 0x40);
    assert_eq!(compressed[1..], plain[1..]);

    plain.clear();
    compressed.clear();
    append_masked(&mut plain, OpCode::Text, KEY, b"abc");
    append_masked_compressed(&mut compressed, OpCode::Text, KEY, b"abc");
    assert_eq!(compressed[0], plain[0] | 0x40);
    assert_eq!(compressed[1..], plain[1..]);
}

#[test]
fn frames_are_appended_behind_what_is_there() {
    let mut out = b"before".to_vec();

    append(&mut out, OpCode::Pong, b"");
    append_masked(&mut out, OpCode::Text, KEY, b"Hello");

    assert_eq!(out[..6], *b"before");
    assert_eq!(out[6..8], [0x8a, 0x00]);
    assert_eq!(out[8..], [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
}

#[test]
fn a_frame_tells_its_length_as_soon_as_its_length_field_is_there() {
    for payload_len in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![1; payload_len];
        let (mut plain, mut masked) = (Vec::new(), Vec::new());
        append(&mut plain, OpCode::Binary, &payload);
        append_masked(&mut masked, OpCode::Binary, KEY, &payload);

        let complete = plain.len() - payload_len;
        for (frame, total) in [(&plain, plain.len()), (&masked, masked.len())] {
            for known in 0..complete {
                assert_eq!(encoded_frame_len(&frame[..known]), None, "{known} of {payload_len}");
            }
            assert_eq!(encoded_frame_len(&frame[..complete]), Some(total as u64));
            assert_eq!(encoded_frame_len(frame), Some(total as u64));
        }
    }
}
