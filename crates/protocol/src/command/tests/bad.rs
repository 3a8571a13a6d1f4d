//! What is wrong gets its own words, and the `id` back.

use super::*;

/// The message, after checking that the `id` was given back.
fn refused(object: &str, id: Option<u32>) -> String {
    match parse(object, &ParseLimits::default()) {
        Err(bad) => {
            assert_eq!(bad.id, id, "{object}");
            assert_eq!(bad.error.code, ErrorCode::BadRequest);
            bad.error.message.into_owned()
        }
        Ok(request) => panic!("{object} is {request:?}"),
    }
}

#[test]
fn broken_json_is_called_that_with_its_column() {
    for (object, id, message) in [
        ("{", None, "not valid JSON: EOF while parsing an object (column 1)"),
        (
            r#"{"id":7,"publish":{"channel":"a","data":}}"#,
            Some(7),
            "not valid JSON: expected value (column 41)",
        ),
        (
            r#"{"id":7,"publish":{"channel":5}"#,
            Some(7),
            "not valid JSON: EOF while parsing an object (column 31)",
        ),
        (r#"{"id":7}{}"#, Some(7), "not valid JSON: trailing characters (column 9)"),
        ("hello", None, "not valid JSON: expected value (column 1)"),
    ] {
        assert_eq!(refused(object, id), message, "{object}");
    }
}

#[test]
fn what_is_no_single_command_says_what_to_send_instead() {
    for (object, id, message) in [
        (
            "[1]",
            None,
            "invalid type: sequence, expected an object that names a command, such as \
             {\"id\":1,\"subscribe\":{\"channel\":\"chat:1\"}}",
        ),
        (r#"{"id":3}"#, Some(3), "there is no command beside `id` (column 8)"),
        (
            r#"{"unsubscribe":{"channel":"a"},"publish":{"channel":"a","data":1},"id":3}"#,
            Some(3),
            "one object holds one command, this one has `unsubscribe` and `publish`: send two objects, with a line \
             feed between them (column 40)",
        ),
        (
            r#"{"shout":{},"id":3}"#,
            Some(3),
            "there is no command `shout`; there are connect, subscribe, unsubscribe, publish, send, presence, \
             history and refresh (column 8)",
        ),
    ] {
        assert_eq!(refused(object, id), message, "{object}");
    }
    assert!(refused(r#"{"pong":{}}"#, None).starts_with("there is no command `pong`;"));
}

#[test]
fn an_id_that_is_none_is_named_and_not_given_back() {
    for id in ["-1", "4294967296", "1.0", "1e3", "\"1\"", "null", "[]", "99999999999999999999999999"] {
        let message = refused(&format!(r#"{{"id":{id},"unsubscribe":{{"channel":"a"}}}}"#), None);
        assert!(message.starts_with("id: invalid "), "{message}");
        assert!(message.contains("expected a whole number from 0 to 4294967295"), "{message}");
    }
    let twice = refused(r#"{"id":1,"id":2,"unsubscribe":{"channel":"a"}}"#, Some(1));
    assert!(twice.starts_with("`id` appears twice"), "{twice}");
}

#[test]
fn a_bad_body_is_named_by_field_with_the_id_from_behind_it() {
    for (object, message) in [
        (
            r#"{"publish":5,"id":9}"#,
            "publish: invalid type: integer `5`, expected the body of publish: an object",
        ),
        (r#"{"publish":["a",1],"id":9}"#, "publish: invalid type: sequence, expected the body of publish"),
        (r#"{"publish":{"data":1},"id":9}"#, "publish: `channel` is missing"),
        (r#"{"publish":{"channel":"a"},"id":9}"#, "publish: `data` is missing"),
        (
            r#"{"publish":{"channel":7},"id":9}"#,
            "publish: channel: invalid type: integer `7`, expected a string",
        ),
        (r#"{"publish":{"channel":null},"id":9}"#, "publish: channel: invalid type: null, expected a string"),
        (r#"{"publish":{"channel":""},"id":9}"#, "publish: channel: a channel name must not be empty"),
        (r#"{"publish":{"channel":"a b"},"id":9}"#, "publish: channel: a channel name holds no white space"),
        (r#"{"publish":{"channel":"a","channel":"a"},"id":9}"#, "publish: `channel` appears twice"),
        (
            r#"{"publish":{"channel":"a","data":1,"key":""},"id":9}"#,
            "publish: key: has 0 bytes, which must be between 1 and 64",
        ),
        (
            r#"{"subscribe":{"channel":"a","last":4294967296},"id":9}"#,
            "subscribe: last: invalid value: integer `4294967296`, expected a whole number from 0 to 4294967295",
        ),
        (
            r#"{"subscribe":{"channel":"a","position":{"epoch":"k3x","offset":-1}},"id":9}"#,
            "subscribe: position: offset: invalid type: integer `-1`, expected a whole number",
        ),
        (
            r#"{"subscribe":{"channel":"a","position":{"epoch":"K3X","offset":1}},"id":9}"#,
            "subscribe: position: epoch: not an epoch as the server gave it out",
        ),
        (
            r#"{"subscribe":{"channel":"a","position":{"epoch":"0","offset":1},"last":1},"id":9}"#,
            "subscribe: `position` and `last` exclude each other",
        ),
        (r#"{"send":{"data":1},"id":9}"#, "send: `user` or `session` is missing"),
        (r#"{"send":{"user":"","data":1},"id":9}"#, "send: user: has 0 bytes"),
        (r#"{"send":{"session":"x","data":1},"id":9}"#, "send: session: not 22 characters of base64url"),
        (
            r#"{"history":{"channel":"a","newest_first":1},"id":9}"#,
            "history: newest_first: invalid type: integer `1`, expected true or false",
        ),
        (r#"{"refresh":{},"id":9}"#, "refresh: `token` is missing"),
        (
            r#"{"connect":{"session":"AAAAAAAAAAAAAAAAAAAAAA"},"id":9}"#,
            "connect: `session` needs its `resume`",
        ),
        (r#"{"connect":{"subscribe":["a","b","a"]},"id":9}"#, "connect: subscribe: `a` appears twice"),
        (
            r#"{"connect":{"subscribe":"a"},"id":9}"#,
            "connect: subscribe: invalid type: string \"a\", expected an array",
        ),
        (
            r#"{"connect":{"positions":{"a":{"epoch":"0","offset":1},"a":{"epoch":"0","offset":1}}},"id":9}"#,
            "connect: positions: `a` appears twice",
        ),
    ] {
        let said = refused(object, Some(9));
        assert!(said.starts_with(message), "{object}: {said}");
        assert!(said.contains(" (column "), "{said}");
    }
}

#[test]
fn names_at_their_limit_pass_and_one_byte_more_does_not() {
    let publish = |name: usize, key: usize| {
        let (name, key) = ("c".repeat(name), "k".repeat(key));
        format!(r#"{{"publish":{{"channel":"{name}","data":1,"key":"{key}"}}}}"#)
    };

    parsed(&publish(255, 64));
    assert!(refused(&publish(256, 64), None).contains("at most 255 bytes of UTF-8, this one has 256"));
    assert!(refused(&publish(255, 65), None).contains("key: has 65 bytes, which must be between 1 and 64"));

    let refresh = |bytes| format!(r#"{{"refresh":{{"token":"{}"}}}}"#, "t".repeat(bytes));
    parsed(&refresh(limits::TOKEN_BYTES_MAX));
    assert!(refused(&refresh(limits::TOKEN_BYTES_MAX + 1), None).contains("token: has 16385 bytes"));

    let info = |bytes| format!(r#"{{"connect":{{"info":"{}"}}}}"#, "i".repeat(bytes - 2));
    parsed(&info(limits::INFO_BYTES_MAX));
    assert!(refused(&info(limits::INFO_BYTES_MAX + 1), None).contains("`info` has more than 1024 bytes"));

    let subscribe = |count: usize| {
        let list: Vec<_> = (0..count).map(|number| format!("\"c{number}\"")).collect();
        format!(r#"{{"connect":{{"subscribe":[{}]}}}}"#, list.join(","))
    };
    parsed(&subscribe(limits::CONNECT_CHANNELS_MAX));
    let message = refused(&subscribe(limits::CONNECT_CHANNELS_MAX + 1), None);
    assert!(message.contains("subscribe: has more than 4096 elements"), "{message}");
}

#[test]
fn depth_is_limited_before_anything_is_read() {
    let publish = |levels: usize| {
        let data = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"publish":{{"channel":"a","data":{data}}},"id":2}}"#)
    };

    parsed(&publish(32));
    let message = refused(&publish(33), Some(2));
    assert_eq!(message, "nested too deep: `data` and `info` may have 32 levels of arrays and objects");
    assert_eq!(refused(&publish(200_000), Some(2)), message);
    // Not even balanced, and of a kind that nobody reads.
    assert_eq!(refused(&format!(r#"{{"id":2,"x":{}"#, "[{\"a\":".repeat(100_000)), Some(2)), message);
}

#[test]
fn an_error_is_short_whatever_it_is_about() {
    let long = "ü".repeat(100_000);
    for object in [
        format!(r#"{{"publish":"{long}"}}"#),
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{"connect":{{"subscribe":"{long} at line 7 column 8"}}}}"#),
        long.clone(),
    ] {
        let message = refused(&object, None);
        assert!(message.len() < 400, "{message}");
    }
    let message = refused(&format!(r#"{{"publish":"{long}"}}"#), None);
    assert!(
        message.starts_with("publish: invalid type: string \"üü")
            && message.contains("ü\", expected the body of")
    );
}

#[test]
fn a_clients_own_words_are_not_taken_for_a_place() {
    let message = refused(r#"{"say at line 7 column 8":1}"#, None);
    assert!(message.starts_with("there is no command `say at line 7 column 8`;"), "{message}");
    assert!(message.ends_with("(column 25)"), "{message}");
}
