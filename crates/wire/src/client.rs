//! The client's side of the handshake (RFC 6455 4.1): request writer and response parser.
//!
//! Place in the data path: not in the gateway's; the load test and the tests open their connections with it.

use crate::deflate::{Agreement, ClientOffer, ExtensionError};
use crate::handshake;
use crate::handshake::base64;
use crate::request::chars::list_members;
use crate::request::lines::{Field, Line, LineCursor, NextLine, check_controls};
use crate::request::span::Single;
use crate::request::{Excerpt, LineFault};

/// A request to upgrade. The caller vouches for its strings: no control characters, no spaces in the target.
#[derive(Clone, Copy, Debug)]
pub struct ClientRequest<'a> {
    /// Host name or address, with the port where it is not the scheme's own.
    pub host: &'a str,
    /// Path and query; begins with `/`.
    pub target: &'a str,
    /// 16 random bytes, new for each request.
    pub key: [u8; 16],
    /// `Origin`, as a browser would send it.
    pub origin: Option<&'a str>,
    /// In order of preference; may be empty.
    pub subprotocols: &'a [&'a str],
    /// What to offer for permessage-deflate.
    pub deflate: Option<&'a ClientOffer>,
    /// Further headers, name and value.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A server's consent: status 101, and all that RFC 6455 4.1 asks of it but what `check_offered` does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Response<'b> {
    /// Always 101.
    pub status: u16,
    /// Length of the head in bytes; what follows are the first frames.
    pub consumed: usize,
    /// The subprotocol that the server chose.
    pub subprotocol: Option<&'b str>,
    /// The value of `Sec-WebSocket-Extensions`.
    pub extensions: Option<&'b [u8]>,
}

/// Reads one response head, in as many calls as its bytes need; like `RequestParser` it keeps offsets and no bytes.
#[derive(Clone, Debug)]
pub struct ResponseParser {
    cursor: LineCursor,
    expected_accept: [u8; 28],
    /// `None` until the status line is complete.
    status: Option<u16>,
    fields: Fields,
    complete: bool,
}

/// What the header lines so far hold of interest.
#[derive(Clone, Debug, Default)]
struct Fields {
    /// `Upgrade` is `websocket`.
    upgrade_websocket: bool,
    /// `Connection` lists `upgrade`.
    connection_upgrade: bool,
    accept: Single,
    subprotocol: Single,
    extensions: Single,
    retry_after_s: Option<u32>,
}

/// Why the connection could not be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The server answered with a status other than 101.
    #[error("the server refused the upgrade with status {status}")]
    Refused {
        /// HTTP status code.
        status: u16,
        /// `Retry-After`, if it was given in seconds.
        retry_after_s: Option<u32>,
        /// Length of the head in bytes; what follows is the body that says why.
        consumed: usize,
    },
    /// The head exceeds `RESPONSE_BYTES_MAX`.
    #[error("the response head is longer than {RESPONSE_BYTES_MAX} bytes")]
    HeadTooLarge,
    /// The first line is no status line of HTTP/1 (RFC 9112 4).
    #[error("the first line of the response is \"{line}\", not an HTTP/1.1 status line")]
    BadStatusLine {
        /// How the line begins.
        line: Excerpt,
    },
    /// A line breaks a rule of RFC 9112.
    #[error("line {line} of the response is malformed: {fault}")]
    Malformed {
        /// Number of the line; the status line is line 1.
        line: u16,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// No `Upgrade: websocket`.
    #[error("the response has no \"Upgrade: websocket\"")]
    MissingUpgrade,
    /// No `Connection: Upgrade`.
    #[error("the response has no \"Connection: Upgrade\"")]
    MissingConnectionUpgrade,
    /// No `Sec-WebSocket-Accept`.
    #[error("the response has no Sec-WebSocket-Accept")]
    MissingAccept,
    /// `Sec-WebSocket-Accept` does not belong to the request's key.
    #[error("Sec-WebSocket-Accept does not answer the key that was sent; is a cache in between?")]
    WrongAccept,
    /// A header that may come once came again.
    #[error("the response has {name} twice")]
    Repeated {
        /// The header's name.
        name: &'static str,
    },
    /// The server chose a subprotocol that the request does not list.
    #[error("the server chose the subprotocol \"{name}\", which was not offered")]
    SubprotocolNotOffered {
        /// The server's choice.
        name: Excerpt,
    },
    /// `Sec-WebSocket-Protocol` is not one name in visible ASCII.
    #[error("the server's Sec-WebSocket-Protocol is not a name")]
    BadSubprotocol,
    /// `Sec-WebSocket-Extensions` is no valid answer to what was offered.
    #[error(transparent)]
    Extensions(#[from] ExtensionError),
}

impl ClientRequest<'_> {
    /// Appends the request's head.
    pub fn append(&self, out: &mut Vec<u8>) {
        let Self { host, target, key, origin, subprotocols, deflate, headers } = *self;
        for part in
            ["GET ", target, " HTTP/1.1\r\nHost: ", host, "\r\nUpgrade: websocket\r\nConnection: Upgrade"]
        {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ");
        out.extend_from_slice(&base64::encode_sixteen_bytes(&key));
        if let Some(origin) = origin {
            append_header(out, "Origin", origin);
        }
        for (at, name) in subprotocols.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"\r\nSec-WebSocket-Protocol: " } else { b", " });
            out.extend_from_slice(name.as_bytes());
        }
        if let Some(offer) = deflate {
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            offer.append(out);
        }
        for (name, value) in headers {
            append_header(out, name, value);
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

impl Response<'_> {
    /// Checks that the server chose only from what `request` offered; gives what was agreed on for compression.
    ///
    /// # Errors
    ///
    /// `SubprotocolNotOffered` and `Extensions`; RFC 6455 4.1 then asks the client to drop the connection.
    pub fn check_offered(&self, request: &ClientRequest<'_>) -> Result<Option<Agreement>, ResponseError> {
        if let Some(chosen) = self.subprotocol
            && !request.subprotocols.contains(&chosen)
        {
            return Err(ResponseError::SubprotocolNotOffered { name: Excerpt::new(chosen.as_bytes()) });
        }
        match (self.extensions, request.deflate) {
            (None, _) => Ok(None),
            (Some(_), None) => Err(ExtensionError::NotOffered.into()),
            (Some(value), Some(offer)) => Ok(Agreement::parse_response(value, offer)?),
        }
    }
}

impl ResponseParser {
    /// A parser for the answer to the request that carried `request_key`.
    pub fn new(request_key: [u8; 16]) -> Self {
        Self::expecting(handshake::accept_key(&base64::encode_sixteen_bytes(&request_key)))
    }

    fn expecting(expected_accept: [u8; 28]) -> Self {
        Self {
            cursor: LineCursor::default(),
            expected_accept,
            status: None,
            fields: Fields::default(),
            complete: false,
        }
    }

    /// Reads on in `bytes`, which begins where the answer began and holds at least what the last call was given.
    /// `None`: read more.
    ///
    /// # Errors
    ///
    /// `Refused` for any status but 101, else the first rule that the head breaks.
    pub fn parse<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Response<'b>>, ResponseError> {
        if bytes.len() < self.cursor.searched() {
            // Not the buffer of the last call: start over rather than trust offsets into something else.
            *self = Self::expecting(self.expected_accept);
        }
        while !self.complete {
            match self.cursor.next_line(bytes, RESPONSE_BYTES_MAX) {
                Ok(NextLine::Line(line)) => self.take_line(&line)?,
                Ok(NextLine::Incomplete) => return Ok(None),
                Ok(NextLine::OverLimit) => return Err(ResponseError::HeadTooLarge),
                Err(fault) => return Err(ResponseError::Malformed { line: self.cursor.lines() + 1, fault }),
            }
        }
        self.finish(bytes).map(Some)
    }

    fn take_line(&mut self, line: &Line<'_>) -> Result<(), ResponseError> {
        if self.status.is_none() {
            check_controls(line.text)
                .map_err(|fault| ResponseError::Malformed { line: line.number, fault })?;
            self.status = Some(parse_status_line(line.text)?);
            return Ok(());
        }
        if line.text.is_empty() {
            self.complete = true;
            return Ok(());
        }
        let field = line.field().map_err(|fault| ResponseError::Malformed { line: line.number, fault })?;
        self.fields.add(&field);
        Ok(())
    }

    fn finish<'b>(&self, bytes: &'b [u8]) -> Result<Response<'b>, ResponseError> {
        let consumed = self.cursor.consumed();
        let head = &bytes[..consumed];
        let status = self.status.expect("a head is complete only after its status line");
        let Fields { upgrade_websocket, connection_upgrade, accept, subprotocol, extensions, retry_after_s } =
            self.fields;

        if status != 101 {
            return Err(ResponseError::Refused { status, retry_after_s, consumed });
        }
        if !upgrade_websocket {
            return Err(ResponseError::MissingUpgrade);
        }
        if !connection_upgrade {
            return Err(ResponseError::MissingConnectionUpgrade);
        }
        match once(head, accept, "Sec-WebSocket-Accept")? {
            None => return Err(ResponseError::MissingAccept),
            Some(accept) if accept != self.expected_accept => return Err(ResponseError::WrongAccept),
            Some(_) => {}
        }
        let subprotocol = match once(head, subprotocol, "Sec-WebSocket-Protocol")? {
            Some(name) => Some(str::from_utf8(name).map_err(|_| ResponseError::BadSubprotocol)?),
            None => None,
        };
        let extensions = once(head, extensions, "Sec-WebSocket-Extensions")?;
        Ok(Response { status, consumed, subprotocol, extensions })
    }
}

impl Fields {
    fn add(&mut self, field: &Field<'_>) {
        let is = |lower: &str| field.name.eq_ignore_ascii_case(lower.as_bytes());
        match field.name.len() {
            7 if is("upgrade") => self.upgrade_websocket |= field.value.eq_ignore_ascii_case(b"websocket"),
            10 if is("connection") => {
                let mut members = list_members(field.value);
                self.connection_upgrade |= members.any(|member| member.eq_ignore_ascii_case(b"upgrade"));
            }
            11 if is("retry-after") => {
                self.retry_after_s = str::from_utf8(field.value).ok().and_then(|value| value.parse().ok());
            }
            20 if is("sec-websocket-accept") => self.accept.add(field),
            22 if is("sec-websocket-protocol") => self.subprotocol.add(field),
            24 if is("sec-websocket-extensions") => self.extensions.add(field),
            _ => {}
        }
    }
}

/// `HTTP/1.x SP status [SP reason]`: servers that refuse may be of any age.
fn parse_status_line(text: &[u8]) -> Result<u16, ResponseError> {
    match text {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', a @ b'1'..=b'9', b, c, rest @ ..]
            if b.is_ascii_digit() && c.is_ascii_digit() && matches!(rest, [] | [b' ', ..]) =>
        {
            Ok([a, b, c].into_iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
        }
        _ => Err(ResponseError::BadStatusLine { line: Excerpt::new(text) }),
    }
}

fn once<'b>(head: &'b [u8], field: Single, name: &'static str) -> Result<Option<&'b [u8]>, ResponseError> {
    match field {
        Single::Absent => Ok(None),
        Single::At(span) => Ok(Some(span.of(head))),
        Single::Repeated => Err(ResponseError::Repeated { name }),
    }
}

fn append_header(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["\r\n", name, ": ", value] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Limit of a response head in bytes.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests;
