use super::*;

const BYTES: [u8; ID_BYTES] = [0xfb, 0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x80];

#[test]
fn ids_are_22_characters_that_need_no_escape_in_a_url_or_in_json() {
    let id = SessionId::from_bytes(BYTES);

    assert_eq!(id.to_string(), "-_8AAQIDBAUGBwgJCgsMgA");
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(SessionId::from_bytes([0xff; ID_BYTES]).to_string().len(), ID_CHARS);
}

#[test]
fn text_of_another_length_alphabet_or_spelling_is_no_id() {
    for text in [
        "",
        "-_8AAQIDBAUGBwgJCgsMg",
        "-_8AAQIDBAUGBwgJCgsMgAA",
        "+/8AAQIDBAUGBwgJCgsMgA",
        "-_8AAQIDBAUGBwgJCgsMg=",
        "-_8AAQIDBAUGBwgJCgsMgB",
        "ééééééééééé",
    ] {
        assert_eq!(text.parse::<SessionId>(), Err(IdError), "{text}");
        assert!(text.parse::<ResumeSecret>().is_err(), "{text}");
    }
}

#[test]
fn a_secret_is_shown_only_on_request() {
    let secret = ResumeSecret::from_bytes(BYTES);

    assert_eq!(format!("{secret:?}"), "ResumeSecret(…)");
    assert_eq!(secret.expose().to_string().parse(), Ok(secret));
    assert_ne!(secret, ResumeSecret::from_bytes([0; ID_BYTES]));
}

#[test]
fn node_names_are_short_printable_ascii() {
    assert_eq!(NodeName::parse("gateway-0.eu-1").unwrap().as_str(), "gateway-0.eu-1");
    assert!(NodeName::parse(&"n".repeat(128)).is_ok());
    for name in [&"n".repeat(129), "", "a b", "a\n", "größe"] {
        assert_eq!(NodeName::parse(name), Err(NodeNameError), "{name}");
    }
}
