//! Tokens: who signed them, for whom, until when, and what they allow (JWT, RFC 7519, signed as RFC 7515 says).
//!
//! Place in the data path: asked once for each `connect` and `refresh`, on the worker's thread; nothing here waits. A
//! token with an unknown key leads to one fetch of the key set on the other runtime, and is then judged again.
//!
//! Built on the signatures of aws-lc-rs, which TLS uses too. The crate `jsonwebtoken` was weighed: it reads the clock
//! itself, parses a key again for each token, and its faults quote what the token holds.

mod claims;
mod error;
pub(crate) mod key;
mod parts;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use self::claims::{Grants, user_name};
pub(crate) use self::error::{TokenError, TokenSetupError};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::json::OwnedJson;
use tidegate_protocol::time::Millis;

use self::claims::ClaimRules;
use self::key::{Key, KeySet, Lookup};
use self::parts::{Header, Parts};
use super::jwks::Keys;
use super::permission::Permissions;
use crate::config::auth::Jwt;

/// Judges tokens. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Verifier {
    /// Keys of the configuration.
    own: KeySet,
    /// Keys that a provider publishes.
    published: Option<Arc<Keys>>,
    rules: ClaimRules,
    stats: TokenStats,
}

/// What a good token says.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedToken {
    /// `sub`; empty where there is none.
    pub(crate) user: Arc<str>,
    /// Unix time at which the token ends, the leeway included: `exp` is what its signer's clock shows.
    pub(crate) expires_at: Option<Millis>,
    /// `jti`, by which it may be revoked.
    pub(crate) token_id: Option<Arc<str>>,
    /// What it allows in namespaces that ask for a claim.
    pub(crate) permissions: Permissions,
    /// What its session is subscribed to at connect.
    pub(crate) channels: Vec<ChannelName>,
    /// What presence shows of its user.
    pub(crate) info: Option<OwnedJson>,
}

/// How many tokens were judged, and how.
#[derive(Debug, Default)]
pub(crate) struct TokenStats {
    pub(crate) verified: AtomicU64,
    /// For the reasons of [`TokenError::ALL_REASONS`].
    refused: [AtomicU64; TokenError::ALL_REASONS.len()],
}

impl Verifier {
    /// Reads the keys of the configuration. `published` is the key set of `jwks_url` or `jwks_file`, if one is set.
    pub(crate) fn new(config: &Jwt, published: Option<Arc<Keys>>) -> Result<Self, TokenSetupError> {
        let own = config.keys.iter().enumerate().map(|(index, key)| Key::from_config(index, key));
        Ok(Self {
            own: KeySet::new(own.collect::<Result<_, _>>()?),
            published,
            rules: ClaimRules::new(config),
            stats: TokenStats::default(),
        })
    }

    /// Whether there is a way for any token to be good.
    pub(crate) fn takes_tokens(&self) -> bool {
        !self.own.is_empty() || self.published.is_some()
    }

    pub(crate) fn stats(&self) -> &TokenStats {
        &self.stats
    }

    /// Judges `token` at the Unix time `now`, with the keys at hand.
    ///
    /// [`TokenError::NeedKeys`] asks for [`verify_with_new_keys`](Self::verify_with_new_keys).
    pub(crate) fn verify(&self, token: &str, now: Millis) -> Result<VerifiedToken, TokenError> {
        let judged = self.judge(token, now);
        self.stats.count(&judged);
        judged
    }

    /// Has the provider's keys fetched, unless that was done a moment ago, and judges again.
    pub(crate) async fn verify_with_new_keys(
        &self,
        token: &str,
        now: Millis,
    ) -> Result<VerifiedToken, TokenError> {
        let Some(published) = &self.published else { return self.verify(token, now) };
        published.refresh().await;
        let judged = match self.judge(token, now) {
            Err(TokenError::NeedKeys) if !published.has_keys() => Err(TokenError::KeysUnavailable),
            Err(TokenError::NeedKeys) => Err(TokenError::NoKey),
            judged => judged,
        };
        self.stats.count(&judged);
        judged
    }

    fn judge(&self, token: &str, now: Millis) -> Result<VerifiedToken, TokenError> {
        if !self.takes_tokens() {
            return Err(TokenError::NotConfigured);
        }
        let parts = Parts::split(token)?;
        let header = parts.header()?;
        self.check_signature(&parts, &header)?;
        self.rules.check(&parts.payload()?, now)
    }

    fn check_signature(&self, parts: &Parts<'_>, header: &Header) -> Result<(), TokenError> {
        let signature = parts.signature()?;
        let lookup = self.own.verify(header, parts.signed(), &signature);
        let published = match (lookup, &self.published) {
            (Lookup::Verified, _) => return Ok(()),
            (lookup, None) => return Err(lookup.into_error()),
            // Nobody publishes a shared secret.
            (lookup, Some(_)) if header.algorithm.is_symmetric() => return Err(lookup.into_error()),
            (_, Some(published)) => published.current().verify(header, parts.signed(), &signature),
        };
        match published {
            Lookup::Verified => Ok(()),
            Lookup::Missing => Err(TokenError::NeedKeys),
            // Without a key id there is no telling a forged signature from one by a key that is newer than ours.
            Lookup::BadSignature if header.key_id.is_none() => Err(TokenError::NeedKeys),
            lookup @ (Lookup::BadSignature | Lookup::OtherAlgorithm) => Err(lookup.into_error()),
        }
    }
}

impl TokenStats {
    fn count(&self, judged: &Result<VerifiedToken, TokenError>) {
        let counter = match judged {
            Ok(_) => &self.verified,
            Err(error) => &self.refused[error.reason_index()],
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Refused tokens by reason.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.refused.iter().map(|count| count.load(Ordering::Relaxed));
        TokenError::ALL_REASONS.into_iter().zip(counts)
    }
}
