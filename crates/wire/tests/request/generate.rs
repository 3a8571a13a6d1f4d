//! Valid upgrade requests of every shape that the RFCs leave open, and ways to break them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A valid request and what a parser must find in it.
#[derive(Clone, Debug)]
pub(crate) struct Generated {
    pub(crate) bytes: Vec<u8>,
    pub(crate) target: String,
    pub(crate) host: &'static str,
    /// Names as sent, values without the white space around them.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// One change of a request's bytes.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Replace(u8),
    Insert(u8),
    Remove,
    Truncate,
}

pub(crate) fn valid_request() -> impl Strategy<Value = Generated> {
    let target = r"/[a-zA-Z0-9._~!$&'()*+,;=:@/-]{0,20}(%[2-7][0-9a-fA-F]){0,3}(\?[a-z0-9&=?/|]{0,20})?";
    (target, headers()).prop_flat_map(|(target, headers)| {
        let host = headers.0;
        let headers = Just(headers.1).prop_shuffle();
        let cases = vec(any::<u32>(), 16);
        let blanks = vec((blank(), blank()), 16);
        (Just(target), Just(host), headers, cases, blanks).prop_map(
            |(target, host, headers, cases, blanks)| {
                let mut bytes = format!("GET {target} HTTP/1.1\r\n").into_bytes();
                let mut sent = Vec::new();
                for (at, (name, value)) in headers.into_iter().enumerate() {
                    let name = recased(&name, cases[at]);
                    let (before, after) = blanks[at];
                    bytes.extend_from_slice(format!("{name}:{before}").as_bytes());
                    bytes.extend_from_slice(&value);
                    bytes.extend_from_slice(format!("{after}\r\n").as_bytes());
                    sent.push((name, value));
                }
                bytes.extend_from_slice(b"\r\n");
                Generated { bytes, target, host, headers: sent }
            },
        )
    })
}

pub(crate) fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, Mutation)>> {
    let byte = || prop_oneof![any::<u8>(), select(b"\r\n\0 \t:,%#/=".to_vec())];
    let mutation = prop_oneof![
        byte().prop_map(Mutation::Replace),
        byte().prop_map(Mutation::Insert),
        Just(Mutation::Remove),
        Just(Mutation::Truncate),
    ];
    vec((any::<prop::sample::Index>(), mutation), 0..3)
}

pub(crate) fn mutate(bytes: &mut Vec<u8>, mutations: &[(prop::sample::Index, Mutation)]) {
    for (index, mutation) in mutations {
        if bytes.is_empty() {
            return;
        }
        let at = index.index(bytes.len());
        match *mutation {
            Mutation::Replace(byte) => bytes[at] = byte,
            Mutation::Insert(byte) => bytes.insert(at, byte),
            Mutation::Remove => drop(bytes.remove(at)),
            Mutation::Truncate => bytes.truncate(at),
        }
    }
}

type Headers = Vec<(String, Vec<u8>)>;

fn headers() -> impl Strategy<Value = (&'static str, Headers)> {
    let host = select(vec!["a", "example.com", "EXAMPLE.com:8000", "[::1]:80", "10.0.0.1:65535", "a_b.svc."]);
    let connection =
        select(vec!["Upgrade", "upgrade", "keep-alive, Upgrade", "keep-alive,\tUPGRADE ,x", ",upgrade,"]);
    let upgrade = select(vec!["websocket", "WebSocket", "WEBSOCKET", "h2c, websocket", "websocket,"]);
    let key =
        select(vec!["dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAA==", "//////////+++++++++++w=="]);
    let optional = |name: &'static str, values: &'static [&'static str]| {
        proptest::option::of(select(values)).prop_map(move |value| value.map(|value| (name, value)))
    };
    let other = vec(("x-[a-z0-9!#$%&'*+.^_`|~-]{1,12}", other_value()), 0..4);
    (
        (host, connection, upgrade, key),
        optional("origin", &["https://app.example", "null", "http://[::1]:3000"]),
        optional("sec-websocket-protocol", &["a", "a, b,c", "tidegate.v1.json ,"]),
        optional("sec-websocket-extensions", &["permessage-deflate", "a; b=\"c, d\", e"]),
        optional("content-length", &["0", "00"]),
        optional("authorization", &["Bearer x.y.z", "Basic dTpw"]),
        other,
    )
        .prop_map(|(required, origin, protocol, extensions, length, authorization, other)| {
            let (host, connection, upgrade, key) = required;
            let fixed = [
                ("host", host),
                ("connection", connection),
                ("upgrade", upgrade),
                ("sec-websocket-key", key),
                ("sec-websocket-version", "13"),
            ];
            let optional = [origin, protocol, extensions, length, authorization];
            let known = fixed.into_iter().chain(optional.into_iter().flatten());
            let known = known.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
            (host, known.chain(other).collect())
        })
}

/// Any field value: visible bytes and obs-text, with blanks inside only.
fn other_value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => 0x21..=0x7eu8, 1 => 0x80..=0xffu8, 1 => select(vec![b' ', b'\t'])];
    vec(byte, 0..24).prop_map(|value| value.trim_ascii().to_vec())
}

fn blank() -> impl Strategy<Value = &'static str> {
    select(vec!["", " ", "\t", "  ", " \t "])
}

fn recased(name: &str, cases: u32) -> String {
    let recase = |(at, letter): (usize, char)| {
        if cases >> (at % 32) & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
    };
    name.chars().enumerate().map(recase).collect()
}
