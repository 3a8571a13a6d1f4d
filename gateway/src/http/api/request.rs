//! Reading a request into types: its body under a bound, its query, its path, its trace.
//!
//! Place in the data path: behind the guard, so only callers with a key get to send a body.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::{Deserialize, DeserializeOwned};
use serde_json::error::Category;
use serde_path_to_error::Segment;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::ErrorCode;
use tidegate_protocol::id::SessionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::Shared;
use super::fields::Object;
use super::problem::{Fault, Problem};

/// Bytes of what a caller is told about a fault: names that are quoted in it may be as long as the body.
const FAULT_BYTES_MAX: usize = 500;

/// A JSON body that was received whole. Counts towards the bytes in flight until it is dropped.
#[derive(Debug)]
pub(super) struct JsonBody {
    text: String,
    _held: Option<OwnedSemaphorePermit>,
}

/// Parameters of the query string.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

/// The channel in the path.
#[derive(Debug)]
pub(super) struct ChannelPath(pub(super) ChannelName);

/// The session in the path.
#[derive(Debug)]
pub(super) struct SessionPath(pub(super) SessionId);

/// The `traceparent` of the request, where there is a well-formed one.
#[derive(Debug)]
pub(super) struct Trace(pub(super) Option<Arc<str>>);

impl JsonBody {
    /// The body as a `T`, which must be an object.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        parse::<Object<T>>(&self.text).map(|object| object.0)
    }
}

/// Reads one JSON value.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (path, error) = (error.path().clone(), error.into_inner());
        match error.classify() {
            Category::Data => Problem::invalid(fault_in_body(path.iter(), &error)),
            Category::Syntax | Category::Eof | Category::Io => not_json(&error),
        }
    })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

impl FromRequest<Arc<Shared>> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body has to be JSON: send `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::BadRequest, detail));
        }
        let (bytes, held) =
            read(request.into_body(), shared.limits.body_bytes_max, &shared.body_bytes).await?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            bad_request(format!("the body is not UTF-8: byte {at} begins no character"))
        })?;
        Ok(Self { text, _held: held })
    }
}

/// Receives a body of at most `bytes_max`; every byte of it takes a permit of `in_flight`.
async fn read(
    mut body: Body,
    bytes_max: usize,
    in_flight: &Arc<Semaphore>,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > bytes_max {
        return Err(body_too_large(bytes_max));
    }
    let (mut bytes, mut held) = (Vec::new(), None::<OwnedSemaphorePermit>);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| bad_request(format!("the body could not be received: {error}")))?;
        // Trailers are none of our business.
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > bytes_max - bytes.len() {
            return Err(body_too_large(bytes_max));
        }
        let permit = hold(in_flight, piece.len())?;
        match &mut held {
            Some(held) => held.merge(permit),
            None => held = Some(permit),
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, held))
}

fn hold(in_flight: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    Arc::clone(in_flight).try_acquire_many_owned(permits).map_err(|error| match error {
        TryAcquireError::NoPermits => {
            Problem::unavailable("the bodies of other requests fill the memory there is for them")
        }
        TryAcquireError::Closed => Problem::unavailable("the server API is stopping"),
    })
}

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query));
        serde_path_to_error::deserialize(deserializer).map(Self).map_err(|error| {
            let (path, error) = (error.path().clone(), error.into_inner());
            let message = error.to_string();
            let name = match path.iter().next() {
                Some(Segment::Map { key }) => key.clone(),
                _ => named_in(&message).unwrap_or_default().to_owned(),
            };
            Problem::invalid(fault(format!("?{name}"), message))
        })
    }
}

impl FromRequestParts<Arc<Shared>> for ChannelPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        in_path("{channel}", Path::<String>::from_request_parts(parts, shared).await, ChannelName::parse)
            .map(Self)
    }
}

impl FromRequestParts<Arc<Shared>> for SessionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        in_path("{session}", Path::<String>::from_request_parts(parts, shared).await, str::parse).map(Self)
    }
}

fn in_path<T, R: Display, E: Display>(
    name: &str,
    text: Result<Path<String>, R>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Problem> {
    let wrong = |message: String| Problem::invalid(fault(name.to_owned(), message));
    let Path(text) = text.map_err(|error| wrong(error.to_string()))?;
    parse(&text).map_err(|error| wrong(error.to_string()))
}

impl FromRequestParts<Arc<Shared>> for Trace {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Self::Rejection> {
        // Several, or a malformed one, are as none (Trace Context, sections 3.2 and 4.3).
        let mut values = parts.headers.get_all("traceparent").iter();
        let (Some(only), None) = (values.next(), values.next()) else { return Ok(Self(None)) };
        Ok(Self(only.to_str().ok().filter(|text| is_traceparent(text)).map(Into::into)))
    }
}

/// Whether text keeps to the form of `traceparent` (Trace Context, section 3.2). A later version may be longer; what it
/// adds would not be understood here.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let is_hex = |part: &str, len| {
        part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let [version, trace, parent, flags] = parts[..] else { return false };
    is_hex(version, 2)
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && version != "ff"
        && !is_zero(trace)
        && !is_zero(parent)
}

/// `application/json`, or a type that says it is written as JSON (RFC 6839, section 3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
}

/// Points to what an error is about, as a JSON pointer (RFC 6901).
fn fault_in_body<'p>(path: impl Iterator<Item = &'p Segment>, error: &serde_json::Error) -> Fault {
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    let message = error.to_string();
    let message = match message.rfind(" at line ") {
        Some(end) if error.line() > 0 => &message[..end],
        _ => &message,
    };
    // An error about a field as such is made where its object is.
    if let Some(name) = named_in(message) {
        pointer.push('/');
        pointer.push_str(name);
    }
    fault(pointer, message.to_owned())
}

/// The name of a field that is missing or there twice, out of serde's words for it.
fn named_in(message: &str) -> Option<&str> {
    ["missing field `", "duplicate field `"]
        .into_iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split('`').next())
}

fn fault(mut path: String, mut message: String) -> Fault {
    path.truncate(path.floor_char_boundary(FAULT_BYTES_MAX));
    message.truncate(message.floor_char_boundary(FAULT_BYTES_MAX));
    Fault { path, message }
}

fn not_json(error: &serde_json::Error) -> Problem {
    bad_request(format!("the body is not valid JSON: {error}"))
}

fn bad_request(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, detail)
}

fn body_too_large(bytes_max: usize) -> Problem {
    let detail =
        format!("the body has more than the {bytes_max} bytes that it may have: send several requests");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge, detail)
}
