use super::*;

#[test]
fn a_code_may_be_received_inside_its_ranges_and_nowhere_else() {
    let received: Vec<u16> =
        (0..=u16::MAX).filter(|&value| CloseCode::new(value).may_be_received()).collect();

    let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
    assert_eq!(received, expected);
}

#[test]
fn a_close_frame_is_its_code_and_its_reason() {
    let mut out = Vec::new();

    append(&mut out, Some(CloseCode::GOING_AWAY), "bye");

    assert_eq!(out, [0x88, 5, 0x03, 0xe9, b'b', b'y', b'e']);
}

#[test]
fn a_close_frame_without_a_code_is_empty_even_if_a_reason_is_given() {
    let mut out = Vec::new();
    append(&mut out, None, "dropped");
    assert_eq!(out, [0x88, 0]);

    out.clear();
    append_masked(&mut out, [1, 2, 3, 4], None, "");
    assert_eq!(out, [0x88, 0x80, 1, 2, 3, 4]);
}

#[test]
fn a_client_masks_its_close_frame() {
    let mut out = Vec::new();

    append_masked(&mut out, [0x10, 0x20, 0x30, 0x40], Some(CloseCode::NORMAL), "ok");

    assert_eq!(out, [0x88, 0x84, 0x10, 0x20, 0x30, 0x40, 0x13, 0xc8, b'o' ^ 0x30, b'k' ^ 0x40]);
}

#[test]
fn a_reason_of_123_bytes_is_kept_and_a_longer_one_is_cut() {
    for len in [REASON_BYTES_MAX, REASON_BYTES_MAX + 1, 5000] {
        let mut out = Vec::new();

        append(&mut out, Some(CloseCode::NORMAL), &"x".repeat(len));

        assert_eq!(out[1], 125, "{len}");
        assert_eq!(out.len(), 127, "{len}");
    }
}

#[test]
fn a_reason_is_never_cut_inside_a_character() {
    // 122 bytes of ASCII, so that the four bytes of the last character would end at 126.
    let reason = format!("{}\u{1f980}", "x".repeat(122));
    let mut out = Vec::new();

    append(&mut out, Some(CloseCode::NORMAL), &reason);

    assert_eq!(out[1], 124);
    assert_eq!(&out[4..], "x".repeat(122).as_bytes());
}

#[test]
fn a_code_is_shown_as_its_number() {
    assert_eq!(CloseCode::TRY_AGAIN.to_string(), "1013");
}
