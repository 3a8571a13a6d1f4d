//! Refusals of the server API: problem details as RFC 9457 defines them.
//!
//! `type` is left out, so it is `about:blank`, and `title` is the status in words (section 4.2.1). What programs look at
//! is `code`, one of the words that clients get, or `not_found`.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::time::whole_ms;
use tidegate_service::config::Choice;
use utoipa::ToSchema;

use crate::config::api::Right;

/// The media type of a problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// When to try again where nobody knows better.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// Why a call, or one part of it, was refused (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "title": "Unprocessable Entity", "status": 422, "code": "bad_request",
    "detail": "/chanel: unknown field `chanel`, expected one of `channel`, `data`, `key`, `conflate`",
    "errors": [{ "path": "/chanel",
        "message": "unknown field `chanel`, expected one of `channel`, `data`, `key`, `conflate`" }],
}))]
pub(crate) struct Problem {
    /// The status in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The status, as the answer's own.
    status: u16,
    /// What kind of refusal it is, for programs: `bad_request`, `unauthorized`, `forbidden`, `not_subscribed`,
    /// `already_subscribed`, `unknown_channel`, `not_found`, `limit`, `too_large`, `unavailable`, `conflict`, `internal`.
    #[schema(value_type = String)]
    code: &'static str,
    /// What is wrong, where, and what to do: for a person.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
    /// Which parts of the request are wrong.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    /// When to send the same again, in milliseconds from now; `Retry-After` says the same in seconds.
    #[schema(value_type = u64, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// `WWW-Authenticate` of a 401 (RFC 6750, section 3).
    #[serde(skip)]
    challenge: Option<&'static str>,
}

/// A part of a request that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// Where: a JSON pointer into the body (RFC 6901; empty: the whole of it), `?name` for a query parameter, `{name}`
    /// for a part of the path.
    #[schema(example = "/channel")]
    pub path: String,
    /// What is wrong.
    #[schema(example = "a channel name must not be empty")]
    pub message: String,
}

impl Problem {
    /// A refusal with a status of its own.
    pub(super) fn new(status: StatusCode, code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: code.as_str(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_ms: None,
            challenge: None,
        }
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code: "not_found", ..Self::new(StatusCode::NOT_FOUND, ErrorCode::BadRequest, detail) }
    }

    /// 422: a part of the request is not what it should be.
    pub(super) fn invalid(fault: Fault) -> Self {
        Self::at(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::BadRequest, fault)
    }

    /// 413: a part of the request is too large.
    pub(super) fn too_large(fault: Fault) -> Self {
        Self::at(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge, fault)
    }

    /// 401 without a key.
    pub(super) fn no_key() -> Self {
        let detail = "this call needs a key: send `Authorization: Bearer KEY` with a secret of [[api.keys]]";
        Self {
            challenge: Some(r#"Bearer realm="tidegate""#),
            ..Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, detail)
        }
    }

    /// 401 with a key that nobody knows.
    pub(super) fn unknown_key() -> Self {
        let detail = "no key of [[api.keys]] has this secret";
        Self {
            challenge: Some(r#"Bearer realm="tidegate", error="invalid_token""#),
            ..Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, detail)
        }
    }

    /// 403: a key that lacks a right.
    pub(super) fn lacks(right: Right) -> Self {
        let detail = format!(
            "this key lacks the right `{}`: add it to `rights` of the key in [[api.keys]]",
            right.name()
        );
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail)
    }

    /// 503: try again a little later.
    pub(super) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after_ms = Some(whole_ms(RETRY_AFTER_DEFAULT));
        Self { retry_after_ms, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, detail) }
    }

    fn at(status: StatusCode, code: ErrorCode, fault: Fault) -> Self {
        let detail = if fault.path.is_empty() {
            fault.message.clone()
        } else {
            format!("{}: {}", fault.path, fault.message)
        };
        Self { errors: vec![fault], ..Self::new(status, code, detail) }
    }

    /// The same, about a part of a larger body: paths begin with `parent`.
    pub(super) fn below(mut self, parent: &str) -> Self {
        for fault in &mut self.errors {
            fault.path.insert_str(0, parent);
        }
        if let [fault] = &self.errors[..] {
            self.detail = format!("{}: {}", fault.path, fault.message).into();
        }
        self
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        let may_pass = matches!(self.status, 429 | 503);
        let retry_after_ms = self.retry_after_ms.or(may_pass.then_some(whole_ms(RETRY_AFTER_DEFAULT)));
        if let Some(ms) = retry_after_ms {
            // Whole seconds (RFC 9110, section 10.2.3), never too early.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        headers
    }
}

impl From<ErrorBody> for Problem {
    fn from(error: ErrorBody) -> Self {
        let status = StatusCode::from_u16(error.code.http_status()).expect("the table has valid statuses");
        Self { retry_after_ms: error.retry_after_ms, ..Self::new(status, error.code, error.message) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("it was made from one");
        let body = serde_json::to_vec(&self).expect("numbers and strings can be written");
        (status, self.headers(), body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_code_has_a_status_that_exists() {
        for code in ErrorCode::ALL {
            let problem = Problem::from(ErrorBody::new(code, "why"));
            assert_eq!((problem.status, problem.code), (code.http_status(), code.as_str()));
        }
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_missing_where_waiting_helps() {
        let retry_after = |error: ErrorBody| {
            let headers = Problem::from(error).headers();
            headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
        };

        let limit = ErrorBody::new(ErrorCode::Limit, "too fast");
        assert_eq!(retry_after(limit.clone()).as_deref(), Some("1"));
        assert_eq!(retry_after(limit.retry_after_ms(2_001)).as_deref(), Some("3"));
        assert_eq!(retry_after(ErrorBody::new(ErrorCode::Conflict, "no")), None);
    }
}
