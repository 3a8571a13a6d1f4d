//! What a token whose signature is right says, and whether it is meant for us and for now (RFC 7519, section 4.1).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_protocol::channel::{ChannelName, ChannelPattern};
use tidegate_protocol::json::{OwnedJson, RawJson};
use tidegate_protocol::limits::{CONNECT_CHANNELS_MAX, DEPTH_MAX, INFO_BYTES_MAX, USER_BYTES_MAX};
use tidegate_protocol::time::Millis;

use super::VerifiedToken;
use super::error::TokenError;
use crate::admission::permission::Permissions;
use crate::config::auth::Jwt;

/// Patterns in one list: each is looked at for a subscribe or publish, and stays in memory with the session.
const PATTERNS_MAX: usize = 256;
/// Bytes of `jti`.
const TOKEN_ID_BYTES_MAX: usize = 255;

/// What claims must be.
#[derive(Debug)]
pub(super) struct ClaimRules {
    issuer: Option<String>,
    audience: Vec<String>,
    leeway: Duration,
}

/// Every claim that is looked at, each unread: so that a fault can name the claim and not its content. A claim that
/// comes twice is refused by `serde` (RFC 7519, section 4).
#[derive(Deserialize)]
struct Claims<'c> {
    #[serde(borrow)]
    sub: Option<&'c RawValue>,
    #[serde(borrow)]
    iss: Option<&'c RawValue>,
    #[serde(borrow)]
    aud: Option<&'c RawValue>,
    #[serde(borrow)]
    exp: Option<&'c RawValue>,
    #[serde(borrow)]
    nbf: Option<&'c RawValue>,
    #[serde(borrow)]
    iat: Option<&'c RawValue>,
    #[serde(borrow)]
    jti: Option<&'c RawValue>,
    #[serde(borrow)]
    tidegate: Option<&'c RawValue>,
}

/// The claim `tidegate`.
#[derive(Deserialize)]
struct OwnClaims<'c> {
    #[serde(borrow)]
    subscribe: Option<&'c RawValue>,
    #[serde(borrow)]
    publish: Option<&'c RawValue>,
    #[serde(borrow)]
    channels: Option<&'c RawValue>,
    #[serde(borrow)]
    info: Option<&'c RawValue>,
}

/// What the claim `tidegate` grants.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    pub(crate) permissions: Permissions,
    pub(crate) channels: Vec<ChannelName>,
    pub(crate) info: Option<OwnedJson>,
}

/// `aud` is one text or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience<'c> {
    One(#[serde(borrow)] Cow<'c, str>),
    Several(Vec<String>),
}

impl ClaimRules {
    pub(super) fn new(config: &Jwt) -> Self {
        Self { issuer: config.issuer.clone(), audience: config.audience.clone(), leeway: config.leeway }
    }

    /// Judges the claims in `payload` at the Unix time `now`.
    pub(super) fn check(&self, payload: &str, now: Millis) -> Result<VerifiedToken, TokenError> {
        let claims: Claims<'_> = object(payload)
            .ok_or(TokenError::Malformed("has claims that are not one JSON object with each name once"))?;
        let expires_at = self.check_times(&claims, now)?;
        self.check_issuer(claims.iss)?;
        self.check_audience(claims.aud)?;
        let Grants { permissions, channels, info } = Grants::parse(claims.tidegate)?;
        Ok(VerifiedToken {
            user: user_name("sub", claims.sub)?,
            expires_at,
            token_id: text("jti", claims.jti, TOKEN_ID_BYTES_MAX)?,
            permissions,
            channels,
            info,
        })
    }

    /// The end of the token's time, leeway included.
    fn check_times(&self, claims: &Claims<'_>, now: Millis) -> Result<Option<Millis>, TokenError> {
        let expires_at = date("exp", claims.exp)?.map(|exp| exp + self.leeway);
        if let Some(end) = expires_at.filter(|end| *end <= now) {
            return Err(TokenError::Expired { ago_s: (now.since(end) + self.leeway).as_secs() });
        }
        // Nothing follows from when a token was made; a date that is none is still its maker's fault.
        date("iat", claims.iat)?;
        let starts_at = date("nbf", claims.nbf)?;
        if let Some(start) = starts_at.filter(|start| *start > now + self.leeway) {
            return Err(TokenError::NotYetValid { in_s: start.since(now).as_secs() });
        }
        Ok(expires_at)
    }

    fn check_issuer(&self, claim: Option<&RawValue>) -> Result<(), TokenError> {
        let Some(trusted) = &self.issuer else { return Ok(()) };
        let claim = claim.ok_or(TokenError::WrongIssuer)?;
        let issuer: Cow<'_, str> = parse(claim).ok_or_else(|| bad("iss", "must be text"))?;
        if issuer == **trusted { Ok(()) } else { Err(TokenError::WrongIssuer) }
    }

    fn check_audience(&self, claim: Option<&RawValue>) -> Result<(), TokenError> {
        let is_ours = |name: &str| self.audience.iter().any(|own| own == name);
        let named = match claim {
            None if self.audience.is_empty() => return Ok(()),
            None => return Err(TokenError::WrongAudience),
            Some(claim) => match parse(claim).ok_or_else(|| bad("aud", "must be text or a list of texts"))? {
                Audience::One(name) => is_ours(&name),
                Audience::Several(names) => names.iter().any(|name| is_ours(name)),
            },
        };
        if named { Ok(()) } else { Err(TokenError::WrongAudience) }
    }
}

impl Grants {
    /// Reads the claim; none grants nothing.
    pub(crate) fn parse(claim: Option<&RawValue>) -> Result<Self, TokenError> {
        let Some(claim) = claim else { return Ok(Self::default()) };
        let own: OwnClaims<'_> =
            object(claim.get()).ok_or_else(|| bad("tidegate", "must be an object with each name once"))?;
        let permissions = Permissions {
            subscribe: patterns("tidegate.subscribe", own.subscribe)?,
            publish: patterns("tidegate.publish", own.publish)?,
        };
        let info = own.info.map(info).transpose()?;
        Ok(Self { permissions, channels: channels(own.channels)?, info })
    }
}

/// A user's name; none is the anonymous user `""`.
pub(crate) fn user_name(claim: &'static str, raw: Option<&RawValue>) -> Result<Arc<str>, TokenError> {
    Ok(text(claim, raw, USER_BYTES_MAX)?.unwrap_or_else(|| Arc::from("")))
}

/// A JSON object and nothing else: `serde` would fill a struct from a list too.
fn object<'c, T: Deserialize<'c>>(json: &'c str) -> Option<T> {
    if !json.trim_start().starts_with('{') {
        return None;
    }
    serde_json::from_str(json).ok()
}

fn parse<'c, T: Deserialize<'c>>(claim: &'c RawValue) -> Option<T> {
    serde_json::from_str(claim.get()).ok()
}

fn bad(claim: &'static str, fault: impl Into<Cow<'static, str>>) -> TokenError {
    TokenError::BadClaim { claim, fault: fault.into() }
}

fn text(
    claim: &'static str,
    raw: Option<&RawValue>,
    bytes_max: usize,
) -> Result<Option<Arc<str>>, TokenError> {
    let Some(raw) = raw else { return Ok(None) };
    let text: Cow<'_, str> = parse(raw).ok_or_else(|| bad(claim, "must be text"))?;
    if text.len() > bytes_max {
        return Err(bad(claim, format!("has {} bytes; at most {bytes_max} are taken", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(bad(claim, "must not hold control characters"));
    }
    Ok(Some(text.into()))
}

/// Seconds since 1970, perhaps with a fraction (RFC 7519, section 2); before 1970 is 1970.
fn date(claim: &'static str, raw: Option<&RawValue>) -> Result<Option<Millis>, TokenError> {
    let Some(raw) = raw else { return Ok(None) };
    let seconds: f64 = parse(raw).ok_or_else(|| bad(claim, "must be a number of seconds since 1970"))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, which is what a date should"
    )]
    let milliseconds = (seconds * 1_000.0) as u64;
    Ok(Some(Millis::new(milliseconds)))
}

fn list(claim: &'static str, raw: &RawValue, count_max: usize) -> Result<Vec<String>, TokenError> {
    let names: Vec<String> = parse(raw).ok_or_else(|| bad(claim, "must be a list of texts"))?;
    if names.len() > count_max {
        return Err(bad(claim, format!("names {} channels; at most {count_max} are taken", names.len())));
    }
    Ok(names)
}

fn patterns(claim: &'static str, raw: Option<&RawValue>) -> Result<Box<[ChannelPattern]>, TokenError> {
    let Some(raw) = raw else { return Ok(Box::default()) };
    let parse = |(index, pattern): (usize, &String)| {
        ChannelPattern::parse(pattern)
            .map_err(|error| bad(claim, format!("has a fault in entry {index}: {error}")))
    };
    list(claim, raw, PATTERNS_MAX)?.iter().enumerate().map(parse).collect()
}

fn channels(raw: Option<&RawValue>) -> Result<Vec<ChannelName>, TokenError> {
    let claim = "tidegate.channels";
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let parse = |(index, name): (usize, &String)| {
        ChannelName::parse(name).map_err(|error| bad(claim, format!("has a fault in entry {index}: {error}")))
    };
    list(claim, raw, CONNECT_CHANNELS_MAX)?.iter().enumerate().map(parse).collect()
}

fn info(raw: &RawValue) -> Result<OwnedJson, TokenError> {
    let claim = "tidegate.info";
    if raw.get().len() > INFO_BYTES_MAX {
        return Err(bad(claim, format!("has {} bytes; at most {INFO_BYTES_MAX} are taken", raw.get().len())));
    }
    // Inside of JSON text a line break is always white space: in strings it is written as an escape.
    let one_line = raw.get().replace(['\n', '\r'], " ");
    let info = RawJson::parse(&one_line, DEPTH_MAX).map_err(|_| bad(claim, "is nested too deep"))?;
    Ok(info.into_owned())
}
