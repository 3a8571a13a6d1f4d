//! Reading a request into types: its body under a bound, its query, its path, its conditions.
//!
//! Place in the path: behind the guard, so only callers with a role get to send a body.

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use tidegate_protocol::drain::{OperationId, REASON_BYTES_MAX};

use super::Shared;
use super::control::Expected;
use super::metrics::Bound;
use super::problem::{Fault, Problem};
use crate::model::{Spec, SpecError};

/// Bytes of what a caller is told about a fault: names that are quoted in it may be as long as the body.
const FAULT_BYTES_MAX: usize = 500;

/// Longest name of a node.
const NODE_BYTES_MAX: usize = 253;

/// A JSON body that was received whole.
#[derive(Debug)]
pub(super) struct JsonBody(pub(super) Value);

/// Parameters of the query string.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

/// The operation in the path.
#[derive(Debug)]
pub(super) struct OperationPath(pub(super) OperationId);

/// The node or pod in the path.
#[derive(Debug)]
pub(super) struct NodePath(pub(super) Arc<str>);

impl JsonBody {
    /// The body as the parameters of an operation.
    pub(super) fn spec(&self) -> Result<Spec, Problem> {
        let spec = Spec::parse(&self.0).map_err(|error| {
            let key = match &error {
                SpecError::NotAnObject => String::new(),
                SpecError::Kind => "kind".to_owned(),
                SpecError::UnknownKey { key, .. } | SpecError::Value { key, .. } => key.clone(),
            };
            let path = if key.is_empty() { key } else { format!("/{}", escaped(&key).replace('.', "/")) };
            Problem::invalid(fault(path, error.to_string()))
        })?;
        check_reason(spec.common().reason.as_deref(), "/reason")?;
        Ok(spec)
    }

    /// The body as a `T`.
    pub(super) fn parse<T: DeserializeOwned>(self) -> Result<T, Problem> {
        if !self.0.is_object() {
            return Err(Problem::invalid(fault(String::new(), "the body has to be an object".to_owned())));
        }
        serde_path_to_error::deserialize(self.0).map_err(|error| {
            let path = pointer(error.path().iter());
            Problem::invalid(fault(path, error.into_inner().to_string()))
        })
    }
}

impl FromRequest<Arc<Shared>> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body has to be JSON: send `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", detail));
        }
        let bytes_max = shared.limits.body_bytes_max;
        let body = Limited::new(request.into_body(), bytes_max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                shared.metrics.count_refused(Bound::Body);
                let detail = format!("the body has more than the {bytes_max} bytes that it may have");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
            } else {
                Problem::bad_request(format!("the body could not be received: {error}"))
            }
        })?;
        let value = serde_json::from_slice(&body.to_bytes())
            .map_err(|error| Problem::bad_request(format!("the body is not valid JSON: {error}")))?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query));
        serde_path_to_error::deserialize(deserializer).map(Self).map_err(|error| {
            let name = match error.path().iter().next() {
                Some(Segment::Map { key }) => key.clone(),
                _ => String::new(),
            };
            Problem::invalid(fault(format!("?{name}"), error.into_inner().to_string()))
        })
    }
}

impl FromRequestParts<Arc<Shared>> for OperationPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let text = last_of_path("{id}", Path::<String>::from_request_parts(parts, shared).await)?;
        let id = if parts.method == Method::POST { without_verb(&text) } else { &text };
        OperationId::parse(id)
            .map(Self)
            .map_err(|error| Problem::invalid(fault("{id}".to_owned(), error.to_string())))
    }
}

impl FromRequestParts<Arc<Shared>> for NodePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let text = last_of_path("{node}", Path::<String>::from_request_parts(parts, shared).await)?;
        let name = if parts.method == Method::POST { without_verb(&text) } else { &text };
        if name.is_empty() || name.len() > NODE_BYTES_MAX {
            let message = format!("a node's name has 1 to {NODE_BYTES_MAX} bytes");
            return Err(Problem::invalid(fault("{node}".to_owned(), message)));
        }
        Ok(Self(name.into()))
    }
}

/// The router knows no verbs: `deploy-42:pause` is one part of the path.
fn without_verb(text: &str) -> &str {
    text.rsplit_once(':').map_or(text, |(name, _verb)| name)
}

fn last_of_path<R: Display>(name: &str, text: Result<Path<String>, R>) -> Result<String, Problem> {
    text.map(|Path(text)| text).map_err(|error| Problem::invalid(fault(name.to_owned(), error.to_string())))
}

/// Which revision a change is for (RFC 9110, section 13.1.1). It has to be said, so that two people who change the same
/// operation hear of each other.
pub(super) fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let detail = "a change needs `If-Match` with the `ETag` that GET gave, so that it overwrites nobody else's; \
                      `If-Match: *` changes it whatever it is";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", detail));
    };
    match value.as_bytes() {
        b"*" => Ok(Expected::Any),
        _ => revision(value.to_str().unwrap_or_default()).map(Expected::Revision).ok_or_else(|| {
            let message = "has to be an `ETag` that GET gave, such as \"7\", or *".to_owned();
            Problem::invalid(fault("If-Match:".to_owned(), message))
        }),
    }
}

/// The revision that the caller has (RFC 9110, section 13.1.2); none where the header is something else.
pub(super) fn known_revision(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    revision(text.strip_prefix("W/").unwrap_or(text))
}

fn revision(etag: &str) -> Option<u64> {
    etag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// Why, in the caller's words, may be so long.
pub(super) fn check_reason(reason: Option<&str>, path: &str) -> Result<(), Problem> {
    match reason.map_or(0, str::len) {
        ..=REASON_BYTES_MAX => Ok(()),
        bytes => {
            let message = format!("has {bytes} bytes, at most {REASON_BYTES_MAX} may be");
            Err(Problem::invalid(fault(path.to_owned(), message)))
        }
    }
}

/// A fault in the query.
pub(super) fn in_query(name: &str, message: impl Into<String>) -> Problem {
    Problem::invalid(fault(format!("?{name}"), message.into()))
}

/// `application/json`, or a type that says it is written as JSON (RFC 6839, section 3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
}

fn pointer<'p>(path: impl Iterator<Item = &'p Segment>) -> String {
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => escaped(key),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    pointer
}

/// A name as a part of a JSON pointer (RFC 6901, section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

pub(super) fn fault(mut path: String, mut message: String) -> Fault {
    path.truncate(path.floor_char_boundary(FAULT_BYTES_MAX));
    message.truncate(message.floor_char_boundary(FAULT_BYTES_MAX));
    Fault { path, message }
}
