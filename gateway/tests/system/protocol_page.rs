//! The examples of `docs/protocol.md` are what the gateway does: each is carried out against the real binary.
//!
//! A section of the page is one conversation: its clients and placeholders live until the next heading. What the server
//! sends is compared object by object, with nothing in between.

mod notation;
mod pattern;

use std::collections::{BTreeMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tidegate_testkit::{Client, DEADLINE, Gateway, Received};
use tidegate_wire::close::CloseCode;
use tidegate_wire::frame::OpCode;

use crate::gateway;
use notation::{Act, Section, sections};
use pattern::{Names, compare, fill};

const PAGE: &str = "docs/protocol.md";
const TEXT: &str = include_str!("../../../docs/protocol.md");
const NATIVE: &str = "tidegate.v1.json";

#[test]
fn what_the_protocols_page_shows_is_what_the_gateway_does() {
    if let Err(fault) = carry_out(TEXT) {
        panic!("{PAGE}:{fault}");
    }
}

#[test]
fn an_example_that_says_something_else_than_the_gateway_is_found_with_its_line() {
    let page = |example: &str| {
        let config = "[auth]\nanonymous = true\n[namespaces.default]\nsubscribe = \"anyone\"";
        carry_out(&format!("```toml\n{config}\n```\n\n```tidegate\n{example}\n```\n"))
    };
    let connect = "> {\"id\":1,\"connect\":{}}\n< {\"id\":1,\"connect\":{\"user\":\"\",…}}\n";

    assert_eq!(page(connect), Ok(()));
    for (wrong, begins) in [
        (connect.replace(r#""""#, r#""ann""#), "10: /connect/user: expected"),
        (connect.replace(",…", ""), "10: /connect/"),
        (format!("{connect}{}", r#"> {"id":2,"unsubscribe":{"channel":"a"}}"#), "11: the section ends, and"),
        (format!("{connect}> {{\n< close 1000"), "12: expected the close code 1000"),
    ] {
        let fault = page(&wrong).expect_err(&wrong);
        assert!(fault.starts_with(begins), "{wrong}\n{fault}");
    }
}

/// Carries out the examples of a page. The error begins with the line of the one that failed.
fn carry_out(page: &str) -> Result<(), String> {
    let mut stage = None;
    for section in sections(page)? {
        if let Some(config) = &section.config {
            stage = Some(Stage::set(config));
        }
        if let Some(last) = section.steps.last() {
            let end = last.line;
            let stage =
                stage.as_ref().ok_or_else(|| format!("{end}: no configuration stands before this"))?;
            Scene { stage, clients: BTreeMap::new(), names: Names::new() }.play(section)?;
        }
    }
    Ok(())
}

/// A gateway and the key that tokens for it are signed with.
struct Stage {
    gateway: Gateway,
    secret: String,
}

/// One section's clients, and what its placeholders stand for.
struct Scene<'s> {
    stage: &'s Stage,
    clients: BTreeMap<String, Actor>,
    names: Names,
}

/// A client of an example.
struct Actor {
    connection: Client,
    /// Objects that came and were not asked for yet.
    inbox: VecDeque<String>,
}

/// What a client is sent next.
#[derive(Debug)]
enum Next {
    Object(Value),
    Close(u16),
    #[expect(dead_code, reason = "a failure shows it with Debug")]
    Other(String),
}

impl Stage {
    fn set(config: &str) -> Self {
        let key = config.lines().find_map(|line| line.strip_prefix("secret = "));
        let secret = key.map_or("", |key| key.trim_matches('"')).to_owned();
        // A variable would count more than the page's own interval.
        let builder = match config.contains("ping_interval") {
            true => Gateway::builder(env!("CARGO_BIN_EXE_tidegate-gateway")),
            false => gateway(),
        };
        // Several, so that the clients of an example live on different workers.
        let gateway =
            builder.set("node.workers", "2").set("api.listen", "127.0.0.1:0").config(config).start();
        Self { gateway, secret }
    }

    /// A token signed with HS256 (RFC 7515); `"now+60"` in a claim is that many seconds from now.
    fn sign(&self, claims: &str) -> Result<String, String> {
        let mut claims: Value = serde_json::from_str(claims).map_err(|error| format!("claims: {error}"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
        for claim in claims.as_object_mut().into_iter().flat_map(|claims| claims.values_mut()) {
            let seconds = claim.as_str().and_then(|text| text.strip_prefix("now+")?.parse::<u64>().ok());
            if let Some(seconds) = seconds {
                *claim = json!(now + seconds);
            }
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(&claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        Ok(format!("{signed}.{signature}"))
    }
}

impl Scene<'_> {
    fn play(mut self, section: Section) -> Result<(), String> {
        let mut end = 0;
        for step in section.steps {
            end = step.line;
            self.act(step.act).map_err(|fault| format!("{end}: {fault}"))?;
        }
        self.finish().map_err(|fault| format!("{end}: the section ends, and {fault}"))
    }

    fn act(&mut self, act: Act) -> Result<(), String> {
        match act {
            Act::Token { name, claims } => {
                let token = self.stage.sign(&claims)?;
                self.names.insert(name, token);
            }
            Act::Send { client, objects } => {
                let objects = fill(&objects, &self.names)?;
                self.client(client).connection.send_text(&objects);
            }
            Act::SendBinary { client } => self.client(client).connection.send_binary(&[0]),
            Act::Close { client, code } => {
                let mut actor = self.clients.remove(&client).ok_or("it has no connection")?;
                actor.connection.send_close(CloseCode::new(code), "");
                match actor.next() {
                    Next::Close(echo) if echo == code => {}
                    other => return Err(format!("expected the close frame's answer, got {other:?}")),
                }
            }
            Act::Cut { client } => {
                self.clients.remove(&client).ok_or("it has no connection")?.connection.reset();
            }
            Act::Expect { client, object } => match self.client(client).next() {
                Next::Object(found) => compare(&object, &found, &mut self.names)
                    .map_err(|fault| format!("{fault}\n  page:    {object}\n  gateway: {found}"))?,
                other => return Err(format!("expected an object, got {other:?}")),
            },
            Act::ExpectClose { client, code } => {
                let mut actor = self.clients.remove(&client).ok_or("it has no connection")?;
                match actor.next() {
                    Next::Close(found) if found == code => {}
                    other => return Err(format!("expected the close code {code}, got {other:?}")),
                }
            }
        }
        Ok(())
    }

    /// Nobody may have got anything that is not on the page: each is asked something whose answer has to be the next.
    fn finish(self) -> Result<(), String> {
        for (name, mut actor) in self.clients {
            actor.connection.send_text(r#"{"id":4294967295,"end_of_section":{}}"#);
            match actor.next() {
                Next::Object(object) if object["id"] == json!(u32::MAX) => {}
                other => return Err(format!("the client {name:?} got {other:?}")),
            }
        }
        Ok(())
    }

    /// The client of this name; it connects when it is first spoken of, and again after its connection has ended.
    fn client(&mut self, name: String) -> &mut Actor {
        let gateway = &self.stage.gateway;
        self.clients.entry(name).or_insert_with(|| {
            let connection = gateway.request("/ws").subprotocols(&[NATIVE]).open();
            assert_eq!(connection.subprotocol(), Some(NATIVE));
            Actor { connection, inbox: VecDeque::new() }
        })
    }
}

impl Actor {
    fn next(&mut self) -> Next {
        loop {
            if let Some(object) = self.inbox.pop_front() {
                return match serde_json::from_str(&object) {
                    Ok(object) => Next::Object(object),
                    Err(error) => Next::Other(format!("no JSON ({error}): {object}")),
                };
            }
            match self.connection.read(DEADLINE) {
                Received::Frame(frame) if frame.opcode == OpCode::Text => {
                    let text = String::from_utf8_lossy(&frame.payload);
                    self.inbox.extend(text.split('\n').map(str::to_owned));
                }
                Received::Frame(frame) if frame.opcode == OpCode::Close => {
                    let code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Next::Close(code);
                }
                other => return Next::Other(format!("{other:?}")),
            }
        }
    }
}
