//! Who asks, and what they may do: bearer tokens from files, service accounts by TokenReview, or nobody in particular.
//!
//! Place in the path: [`guard`](super::guard) asks it before anything of a request is read but its head.

mod config;
mod review;
#[cfg(test)]
mod tests;
mod tokens;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use tidegate_service::config::Choice;

pub use self::config::{Auth, AuthSubject, AuthToken, Role, check};
pub use self::review::{ReviewError, Reviewed, Reviewing, TokenReviewer};
pub use self::tokens::TokenError;

use self::review::Reviews;
use self::tokens::Tokens;
use super::control::Requester;
use super::metrics::{ApiMetrics, Credential};
use super::problem::Problem;

/// Longest `Authorization` that is looked at; service account tokens have about 1,200 bytes.
const CREDENTIALS_BYTES_MAX: usize = 8 << 10;

/// Who asks for something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Caller {
    /// The token's name, or the Kubernetes user.
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    /// Where the request came from; a proxy's address where one stands between.
    pub(super) from: SocketAddr,
}

/// Finds out who asks.
#[derive(Debug)]
pub struct Authenticator {
    tokens: Tokens,
    reviews: Option<Reviews>,
    anonymous_view: bool,
}

impl Authenticator {
    /// Reads every token; files are read again while the API is served.
    ///
    /// # Errors
    ///
    /// A file cannot be read, a token is too short, or two are the same.
    pub fn new(config: &Auth, reviewer: Option<Arc<dyn TokenReviewer>>) -> Result<Self, TokenError> {
        Ok(Self {
            tokens: Tokens::read(&config.tokens)?,
            reviews: reviewer.map(|reviewer| Reviews::new(reviewer, &config.subjects)),
            anonymous_view: config.anonymous_view,
        })
    }

    /// Reads token files again, each few seconds, for ever.
    pub(super) async fn keep_fresh(&self, metrics: &ApiMetrics) {
        self.tokens.keep_fresh(metrics).await;
    }

    /// Who sent these headers.
    pub(super) async fn identify(
        &self,
        headers: &HeaderMap,
        from: SocketAddr,
        metrics: &ApiMetrics,
    ) -> Result<Caller, Problem> {
        let (name, role) = match bearer(headers)? {
            None if self.anonymous_view => ("anonymous".into(), Role::View),
            None => {
                metrics.count_credential(Credential::None);
                return Err(Problem::no_token());
            }
            Some(token) => self.holder(token, metrics).await?,
        };
        Ok(Caller { name, role, from })
    }

    async fn holder(&self, token: &str, metrics: &ApiMetrics) -> Result<(Arc<str>, Role), Problem> {
        let holder = match (self.tokens.find(token), &self.reviews) {
            (Some(known), _) => Some(known),
            (None, Some(reviews)) => reviews.holder(token).await?,
            (None, None) => None,
        };
        metrics.count_credential(if holder.is_some() { Credential::Known } else { Credential::Unknown });
        holder.ok_or_else(Problem::unknown_token)
    }
}

impl Caller {
    /// Whether the caller may do what needs a role.
    pub(super) fn check(&self, needed: Role) -> Result<(), Problem> {
        if self.role >= needed { Ok(()) } else { Err(Problem::needs(needed, &self.name, self.role)) }
    }

    pub(super) fn requester(&self) -> Requester {
        Requester { name: Arc::clone(&self.name), role: self.role }
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1). The scheme has no case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(Problem::unknown_token()),
    };
    let credentials = value.to_str().ok().filter(|text| text.len() <= CREDENTIALS_BYTES_MAX);
    match credentials.and_then(|text| text.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        Some(_) | None => Err(Problem::unknown_token()),
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
