//! The three parts of a token, still untrusted (RFC 7515, section 3.1).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tidegate_protocol::limits::TOKEN_BYTES_MAX;
use tidegate_service::config::Choice;

use super::error::TokenError;
use crate::config::auth::Algorithm;

/// `header.payload.signature`, each in base64url.
#[derive(Debug)]
pub(super) struct Parts<'t> {
    token: &'t str,
    header: &'t str,
    payload: &'t str,
    signature: &'t str,
}

/// What the header says about the key.
#[derive(Debug)]
pub(crate) struct Header {
    /// One we know; which key it may be used with is the key's decision.
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
}

#[derive(Deserialize)]
struct RawHeader<'h> {
    #[serde(borrow)]
    alg: Cow<'h, str>,
    kid: Option<String>,
    /// Extensions that whoever does not understand them must refuse (RFC 7515, section 4.1.11). We understand none.
    crit: Option<IgnoredAny>,
}

impl<'t> Parts<'t> {
    pub(super) fn split(token: &'t str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { bytes: token.len() });
        }
        let mut parts = token.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(header), Some(payload), Some(signature), None) => {
                Ok(Self { token, header, payload, signature })
            }
            _ => Err(TokenError::Malformed("is not a signed JWT: three parts with dots between them")),
        }
    }

    pub(super) fn header(&self) -> Result<Header, TokenError> {
        let text = decode(self.header).ok_or(TokenError::Malformed("has a header that is not base64url"))?;
        let header: RawHeader<'_> = serde_json::from_slice(&text).map_err(|_| {
            TokenError::Malformed("has a header that is not a JSON object with the text `alg`")
        })?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed("has critical extensions (crit), which are not supported"));
        }
        if header.alg.eq_ignore_ascii_case("none") {
            return Err(TokenError::Unsigned);
        }
        let algorithm = Algorithm::ALL.iter().find(|(_, name)| *name == header.alg);
        let &(algorithm, _) = algorithm.ok_or(TokenError::UnknownAlgorithm)?;
        Ok(Header { algorithm, key_id: header.kid })
    }

    /// What the signature is over.
    pub(super) fn signed(&self) -> &'t [u8] {
        &self.token.as_bytes()[..self.header.len() + 1 + self.payload.len()]
    }

    pub(super) fn signature(&self) -> Result<Vec<u8>, TokenError> {
        decode(self.signature).ok_or(TokenError::Malformed("has a signature that is not base64url"))
    }

    /// The claims as JSON text.
    pub(super) fn payload(&self) -> Result<String, TokenError> {
        let text = decode(self.payload).and_then(|bytes| String::from_utf8(bytes).ok());
        text.ok_or(TokenError::Malformed("has claims that are not base64url of UTF-8"))
    }
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}
