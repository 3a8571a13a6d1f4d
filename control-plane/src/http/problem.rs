//! Refusals of the API: problem details as RFC 9457 defines them.
//!
//! `type` is left out, so it is `about:blank`, and `title` is the status in words (section 4.2.1). What programs look at
//! is `code`; people read `detail`, which ends with what to do.

use std::borrow::Cow;

use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::Role;
use crate::model::Refused;

/// The media type of a problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which to try again where nobody knows better.
const RETRY_AFTER_DEFAULT_S: u64 = 1;

/// Why a call was refused (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "title": "Conflict", "status": 409, "code": "conflict",
    "detail": "node gw-2 belongs to the operation rollout-7: wait for it, or abort it",
    "details": { "operation": "rollout-7", "node": "gw-2" },
}))]
pub(super) struct Problem {
    /// The status in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The status, as the answer's own.
    status: u16,
    /// What kind of refusal it is, for programs.
    #[schema(value_type = String)]
    code: Cow<'static, str>,
    /// What is wrong, where, and what to do: for a person.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
    /// Which parts of the request are wrong.
    #[schema(value_type = Vec<Fault>, required = false)]
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: Box<[Fault]>,
    /// The facts behind it: the other operation's id, the numbers of a forecast.
    #[schema(value_type = Object, required = false)]
    #[serde(skip_serializing_if = "Value::is_null")]
    details: Value,
    /// What a 401 is about.
    #[serde(skip)]
    challenge: Challenge,
}

/// `WWW-Authenticate` of a 401 (RFC 6750, section 3).
#[derive(Clone, Copy, Debug)]
enum Challenge {
    /// It is none.
    None,
    /// There was no token.
    Missing,
    /// The token is not one.
    Invalid,
}

/// A part of a request that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub(super) struct Fault {
    /// Where: a JSON pointer into the body (RFC 6901; empty: the whole of it), `?name` for a query parameter, `{name}`
    /// for a part of the path, `Name:` for a header.
    #[schema(example = "/maxRate")]
    pub path: String,
    /// What is wrong.
    #[schema(example = "must be more than 0")]
    pub message: String,
}

/// The code of the problem that an answer is, for the audit.
#[derive(Clone, Debug)]
pub(super) struct ProblemCode(Cow<'static, str>);

impl Problem {
    /// A refusal with a status and code of its own.
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: code.into(),
            detail: detail.into(),
            errors: Box::default(),
            details: Value::Null,
            challenge: Challenge::None,
        }
    }

    /// 400: it cannot be read.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 422: a part of the request is not what it should be.
    pub(super) fn invalid(fault: Fault) -> Self {
        let detail = if fault.path.is_empty() {
            fault.message.clone()
        } else {
            format!("{}: {}", fault.path, fault.message)
        };
        Self { errors: [fault].into(), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_request", detail) }
    }

    /// 401 without a token.
    pub(super) fn no_token() -> Self {
        let detail =
            "this call needs a token: send `Authorization: Bearer TOKEN` with one of `[[auth.tokens]]`";
        Self { challenge: Challenge::Missing, ..Self::unauthorized(detail) }
    }

    /// 401 with a token that nobody knows.
    pub(super) fn unknown_token() -> Self {
        let detail =
            "this token is not known: it has to be one of `[[auth.tokens]]`, as their files hold it now";
        Self { challenge: Challenge::Invalid, ..Self::unauthorized(detail) }
    }

    fn unauthorized(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// 403: the caller's role does not suffice.
    pub(super) fn needs(needed: Role, caller: &str, role: Role) -> Self {
        let detail =
            format!("{caller} has the role `{role}`, and this call needs `{needed}`: use another token");
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 503: try again a little later.
    pub(super) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        let challenge = match self.challenge {
            Challenge::None => None,
            Challenge::Missing => Some(r#"Bearer realm="tidegate""#),
            Challenge::Invalid => Some(r#"Bearer realm="tidegate", error="invalid_token""#),
        };
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if matches!(self.status, 429 | 503) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_DEFAULT_S));
        }
        headers
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("it was made from one");
        let body = serde_json::to_vec(&self).expect("numbers and strings can be written");
        let mut response = (status, self.headers(), body).into_response();
        response.extensions_mut().insert(ProblemCode(self.code));
        response
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        // The coordinator's statuses come from its own table; one that is none would be its fault.
        let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let details = if refused.details.is_empty() {
            Value::Null
        } else {
            Value::Object(refused.details.into_iter().collect())
        };
        Self { details, ..Self::new(status, refused.code, refused.message) }
    }
}

impl ProblemCode {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}
