//! What the hook is asked, as JSON. Written on the worker's thread, so that nothing borrowed leaves it.

use std::net::IpAddr;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tidegate_protocol::id::SessionId;
use tidegate_protocol::json::RawJson;

/// One question, ready to be sent.
#[derive(Debug)]
pub(crate) struct Question {
    pub(super) kind: Kind,
    pub(super) body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Connect,
    Subscribe,
    Publish,
}

/// Who is this?
#[derive(Debug, Serialize)]
pub(crate) struct ConnectAsk<'a> {
    /// What the client sent as token, if the gateway did not verify it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<&'a str>,
    /// The user of a token or key that the gateway found good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
    pub(crate) address: IpAddr,
    /// What the client says about itself.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    pub(crate) info: Option<RawJson<'a>>,
}

/// May this session do this on this channel?
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelAsk<'a> {
    pub(crate) channel: &'a str,
    /// Empty for an anonymous session.
    pub(crate) user: &'a str,
    pub(crate) session: SessionId,
}

#[derive(Serialize)]
struct Body<'a> {
    channel: &'a str,
    user: &'a str,
    session: Shown<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    data: Option<RawJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Asked<'a> {
    Connect(&'a ConnectAsk<'a>),
    Subscribe(Body<'a>),
    Publish(Body<'a>),
}

impl Question {
    pub(crate) fn connect(ask: &ConnectAsk<'_>) -> Self {
        Self::new(Kind::Connect, &Asked::Connect(ask))
    }

    pub(crate) fn subscribe(ask: ChannelAsk<'_>) -> Self {
        Self::new(Kind::Subscribe, &Asked::Subscribe(ask.body(None)))
    }

    pub(crate) fn publish(ask: ChannelAsk<'_>, data: RawJson<'_>) -> Self {
        Self::new(Kind::Publish, &Asked::Publish(ask.body(Some(data))))
    }

    fn new(kind: Kind, asked: &Asked<'_>) -> Self {
        let body = serde_json::to_vec(asked).expect("texts and checked JSON are always written");
        Self { kind, body }
    }
}

impl<'a> ChannelAsk<'a> {
    fn body<'b>(self, data: Option<RawJson<'b>>) -> Body<'b>
    where
        'a: 'b,
    {
        Body { channel: self.channel, user: self.user, session: Shown(self.session), data }
    }
}

/// Something that is written as the text it displays as.
struct Shown<T>(T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn raw<S: Serializer>(json: &Option<RawJson<'_>>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = json.unwrap_or(RawJson::NULL).as_str();
    let value: &RawValue = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
    value.serialize(serializer)
}
