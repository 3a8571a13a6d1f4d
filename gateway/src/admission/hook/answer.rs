//! What the hook answered.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_protocol::time::Millis;

use super::question::Kind;
use super::{Allowed, HookError};
use crate::admission::token::{Grants, TokenError, VerifiedToken, user_name};

/// Characters of the hook's own words that a client is told.
const MESSAGE_CHARS_MAX: usize = 200;

#[derive(Deserialize)]
struct Answer<'a> {
    allow: bool,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    /// After so long the client has to connect or refresh again.
    expires_in_s: Option<u64>,
    /// As in a token's claim of that name.
    #[serde(borrow)]
    tidegate: Option<&'a RawValue>,
}

/// Reads an answer that came at the Unix time `now`.
pub(super) fn parse(kind: Kind, body: &[u8], now: Millis) -> Result<Allowed, HookError> {
    let bad = |error: TokenError| HookError::BadAnswer(format!("has a fault: {error}"));
    let answer: Answer<'_> = serde_json::from_slice(body)
        .map_err(|_| HookError::BadAnswer("is not a JSON object with a true or false `allow`".to_owned()))?;
    if !answer.allow {
        let message = answer.message.unwrap_or_default();
        let shown = message.chars().filter(|letter| !letter.is_control()).take(MESSAGE_CHARS_MAX);
        return Err(HookError::Refused { message: shown.collect() });
    }
    if kind != Kind::Connect {
        return Ok(Allowed::Channel);
    }
    let Grants { permissions, channels, info } = Grants::parse(answer.tidegate).map_err(bad)?;
    Ok(Allowed::Connect(Box::new(VerifiedToken {
        user: user_name("user", answer.user).map_err(bad)?,
        expires_at: answer.expires_in_s.map(|seconds| now + Duration::from_secs(seconds)),
        token_id: None,
        permissions,
        channels,
        info,
    })))
}
