//! Why a token is refused, in words for the person who made it. They never hold a part of the token.

use std::borrow::Cow;
use std::path::PathBuf;

use thiserror::Error;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::limits::TOKEN_BYTES_MAX;

/// Why a token is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum TokenError {
    #[error("this gateway takes no tokens: its configuration names no key")]
    NotConfigured,
    #[error("the token has {bytes} bytes; at most {TOKEN_BYTES_MAX} are taken")]
    TooLong { bytes: usize },
    /// The fault as a half sentence about the token.
    #[error("the token {0}")]
    Malformed(&'static str),
    #[error("the token is not signed (alg: none)")]
    Unsigned,
    #[error("the token's algorithm is not one of HS, RS, PS 256 to 512, ES256, ES384 and EdDSA")]
    UnknownAlgorithm,
    #[error("the token's algorithm is not the one that its key is for")]
    OtherAlgorithm,
    /// The signing key is unknown; the provider may have published it since its keys were last read.
    #[error("the token is signed with a key that this gateway does not know yet")]
    NeedKeys,
    #[error("the token is signed with a key, or by an algorithm, that this gateway has no key for")]
    NoKey,
    #[error("the keys that tokens are checked with cannot be fetched at the moment")]
    KeysUnavailable,
    #[error("the token's signature is wrong")]
    BadSignature,
    #[error("the token expired {ago_s} seconds ago")]
    Expired { ago_s: u64 },
    #[error("the token is not valid before {in_s} seconds from now")]
    NotYetValid { in_s: u64 },
    #[error("the token's issuer (iss) is not the one this gateway trusts")]
    WrongIssuer,
    #[error("the token's audience (aud) does not name this gateway")]
    WrongAudience,
    /// A claim of the wrong type or size; says what was expected.
    #[error("the token's claim `{claim}` {fault}")]
    BadClaim { claim: &'static str, fault: Cow<'static, str> },
}

impl TokenError {
    /// A word for each variant, in their order: for metrics and logs.
    pub(crate) const ALL_REASONS: [&'static str; 15] = [
        "not_configured",
        "too_long",
        "malformed",
        "unsigned",
        "unknown_algorithm",
        "other_algorithm",
        "need_keys",
        "no_key",
        "keys_unavailable",
        "bad_signature",
        "expired",
        "not_yet_valid",
        "wrong_issuer",
        "wrong_audience",
        "bad_claim",
    ];

    pub(super) const fn reason_index(&self) -> usize {
        match self {
            Self::NotConfigured => 0,
            Self::TooLong { .. } => 1,
            Self::Malformed(_) => 2,
            Self::Unsigned => 3,
            Self::UnknownAlgorithm => 4,
            Self::OtherAlgorithm => 5,
            Self::NeedKeys => 6,
            Self::NoKey => 7,
            Self::KeysUnavailable => 8,
            Self::BadSignature => 9,
            Self::Expired { .. } => 10,
            Self::NotYetValid { .. } => 11,
            Self::WrongIssuer => 12,
            Self::WrongAudience => 13,
            Self::BadClaim { .. } => 14,
        }
    }

    /// What the client is told.
    pub(crate) fn body(&self) -> ErrorBody {
        let code = match self {
            Self::TooLong { .. } => ErrorCode::TooLarge,
            Self::NeedKeys | Self::KeysUnavailable => ErrorCode::Unavailable,
            _ => ErrorCode::Unauthorized,
        };
        ErrorBody::new(code, self.to_string())
    }
}

/// A key of the configuration cannot be used. Names the key's place, never its content.
#[derive(Debug, Error)]
pub(crate) enum TokenSetupError {
    #[error("{place}: {} cannot be read: {source}", path.display())]
    File { place: String, path: PathBuf, source: std::io::Error },
    #[error("{place}: {fault}")]
    Key { place: String, fault: String },
}
