//! The native dialect against the real gateway: what a client of `tidegate.v1.json` is promised, and what it must not do.
//!
//! One file for each part of the dialect. A command that is answered proves that all that was said before has been dealt
//! with; nothing waits for a guessed time.

mod admission;
mod bad_input;
mod channels;
mod connect;
mod deflate;
mod direct;
mod drain;
mod history;
mod hook;
mod key_set;
mod life;
mod limits;
mod presence;
mod resume;
mod resume_live;
mod slow;
mod token;
mod workers;

use serde_json::{Value, json};
use tidegate_testkit::{Builder, Gateway, NativeClient, Request};

use crate::gateway;
use token::Signer;

/// Signs what the gateways of these tests believe.
const SECRET: &str = "no secret at all, but more than 64 bytes of it, so that it is long enough for HS512";

/// Namespaces for all, so that tests of other things need no token.
const CONFIG: &str = r#"
[auth]
anonymous = true

[namespaces.default]
subscribe = "user"
publish = "user"

# Nothing is kept.
[namespaces.talk]
subscribe = "anyone"
publish = "anyone"

# Something is kept.
[namespaces.log]
subscribe = "anyone"
publish = "anyone"
history_size = 1000

# Much is kept.
[namespaces.long]
subscribe = "anyone"
publish = "anyone"
history_size = 100000

# Little is kept.
[namespaces.short]
subscribe = "anyone"
publish = "anyone"
history_size = 3

# It is known who is there.
[namespaces.room]
subscribe = "anyone"
publish = "anyone"
presence = true
join_leave = true

[namespaces.claimed]
subscribe = "claim"
publish = "claim"

[namespaces.news]
subscribe = "anyone"
publish = "nobody"

[namespaces.closed]
subscribe = "nobody"
publish = "anyone"
"#;

/// One worker, anonymous clients, no quotas; tokens of [`SECRET`].
pub(super) fn native() -> Builder {
    without_keys().config(&format!("[[auth.jwt.keys]]\nalg = \"HS256\"\nsecret = \"{SECRET}\""))
}

/// The same without a key for tokens. That the machine of the tests is busy is no overload.
pub(super) fn without_keys() -> Builder {
    gateway()
        .config(CONFIG)
        .set("overload.loop_lag", "0s")
        .set("session.messages_per_second", "0")
        .set("session.bytes_per_second", "0")
}

/// A request for the native dialect.
fn request(gateway: &Gateway) -> Request<'_> {
    gateway.request("/ws").subprotocols(&["tidegate.v1.json"])
}

/// A connection on which nothing was said yet.
#[track_caller]
pub(super) fn open(gateway: &Gateway) -> NativeClient {
    NativeClient::new(request(gateway).open())
}

/// A client that has said `connect` with this body, and the reply's.
#[track_caller]
pub(super) fn connect_with(gateway: &Gateway, body: Value) -> (NativeClient, Value) {
    let mut client = open(gateway);
    let connected = client.ask("connect", body);
    (client, connected)
}

/// An anonymous client.
#[track_caller]
pub(super) fn connect(gateway: &Gateway) -> NativeClient {
    connect_with(gateway, json!({})).0
}

/// A client with a token of this user.
#[track_caller]
pub(super) fn connect_as(gateway: &Gateway, user: &str) -> NativeClient {
    connect_with(gateway, json!({ "token": token_of(user) })).0
}

/// A client that is subscribed to a channel.
#[track_caller]
pub(super) fn subscriber(gateway: &Gateway, channel: &str) -> NativeClient {
    let mut client = connect(gateway);
    client.ask("subscribe", json!({ "channel": channel }));
    client
}

/// A client that comes back to a session, and what it is told.
#[track_caller]
pub(super) fn resume(gateway: &Gateway, session: &Value) -> (NativeClient, Value) {
    connect_with(gateway, json!({ "session": session["session"], "resume": session["resume"] }))
}

/// A client that comes back with the position it has kept of a channel.
#[track_caller]
pub(super) fn resume_at(
    gateway: &Gateway,
    session: &Value,
    channel: &str,
    position: &Value,
) -> (NativeClient, Value) {
    let mut body = json!({ "session": session["session"], "resume": session["resume"] });
    body["positions"] = json!({ channel: { "epoch": position["epoch"], "offset": position["offset"] } });
    connect_with(gateway, body)
}

/// A token that never ends.
pub(super) fn token_of(user: &str) -> String {
    token_with(&json!({ "sub": user }))
}

pub(super) fn token_with(claims: &Value) -> String {
    Signer::secret("HS256", SECRET).sign(claims)
}

#[track_caller]
pub(super) fn publish(client: &mut NativeClient, channel: &str, data: impl Into<Value>) -> Value {
    client.ask("publish", json!({ "channel": channel, "data": data.into() }))
}

/// The next object has to be this message.
#[track_caller]
pub(super) fn expect_data(client: &mut NativeClient, channel: &str, data: impl Into<Value>) -> Value {
    let message = client.expect("message");
    assert_eq!((&message["channel"], &message["data"]), (&json!(channel), &data.into()), "{message}");
    message
}

/// Publishes 1 to 24 at once: some with a key, which is looked up somewhere, the others without.
pub(super) fn publish_mixed(client: &mut NativeClient, channel: &str) {
    let publish = |number: u32| match number % 3 {
        1 => json!({ "publish": { "channel": channel, "data": number, "key": format!("k{number}") } }),
        _ => json!({ "publish": { "channel": channel, "data": number } }),
    };
    client.say_all(&(1..=24).map(publish).collect::<Vec<_>>());
}

/// They have to come in this order.
#[track_caller]
pub(super) fn expect_mixed(client: &mut NativeClient, channel: &str) {
    (1..=24).for_each(|number| drop(expect_data(client, channel, number)));
}

/// Two clients that know each other's messages come through: proof that nobody else's trouble is theirs.
struct Bystanders {
    reader: NativeClient,
    writer: NativeClient,
    said: u32,
}

impl Bystanders {
    #[track_caller]
    fn of(gateway: &Gateway) -> Self {
        Self { reader: subscriber(gateway, "log:bystanders"), writer: connect(gateway), said: 0 }
    }

    #[track_caller]
    fn are_not_affected(&mut self) {
        self.said += 1;
        publish(&mut self.writer, "log:bystanders", self.said);
        let message = expect_data(&mut self.reader, "log:bystanders", self.said);
        assert_eq!(message["offset"], self.said);
    }
}
