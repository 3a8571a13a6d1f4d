//! Why a request head is refused: one variant for each broken rule, with its status, metric label and message.
//!
//! Place in the data path: the gateway puts the status and the message into the refusal and counts the name.
//! Messages go to clients and logs, so they quote at most a short, escaped `Excerpt`, and never a header's value that may
//! hold a secret.

use super::excerpt::Excerpt;
use super::lines::LineFault;

/// The rule that a request head breaks. Line 1 is the request line; offsets count bytes from 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The first byte is that of a TLS handshake record.
    #[error(
        "this port speaks plain HTTP, but a TLS handshake came; use ws:// here or set up TLS on the server"
    )]
    TlsClientHello,
    /// The HTTP/2 connection preface (RFC 9113 3.4).
    #[error("HTTP/2 is not spoken here; open the WebSocket with an HTTP/1.1 upgrade request")]
    Http2Preface,
    /// A PROXY protocol header where the request was expected.
    #[error(
        "a PROXY protocol header came where HTTP was expected; list the proxy's address as trusted, or turn it off there"
    )]
    ProxyHeader,
    /// The first byte cannot begin a method.
    #[error("byte {byte:#04x} cannot begin an HTTP request; send \"GET <path> HTTP/1.1\" first")]
    NotHttp {
        /// The first byte.
        byte: u8,
    },

    /// The head exceeds `RequestLimits::bytes_max`.
    #[error("the request head is longer than {max} bytes; send fewer or shorter headers (cookies?)")]
    HeadTooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// More header lines than `RequestLimits::headers_max`.
    #[error("the request has more than {max} headers; send fewer")]
    TooManyHeaders {
        /// The limit.
        max: usize,
    },
    /// The request target exceeds `RequestLimits::target_bytes_max`.
    #[error("the request target is longer than {max} bytes; shorten the path or the query")]
    TargetTooLong {
        /// The limit in bytes.
        max: usize,
    },

    /// The request line is not `method SP target SP version` (RFC 9112 3).
    #[error("the request line must be a method, a target and HTTP/1.1 with one space between them")]
    BadRequestLine,
    /// The method is no token (RFC 9110 9.1).
    #[error("byte {byte:#04x} cannot stand in a method; to open a WebSocket send GET")]
    BadMethod {
        /// The offending byte.
        byte: u8,
    },
    /// An HTTP version other than 1.0 and 1.1.
    #[error("HTTP version \"{version}\" is not spoken here; send HTTP/1.1")]
    UnsupportedHttpVersion {
        /// What was sent.
        version: Excerpt,
    },
    /// The target holds a byte outside visible ASCII (RFC 9112 3.2).
    #[error("byte {byte:#04x} at offset {at} of the request target must be percent-encoded")]
    TargetByte {
        /// The offending byte.
        byte: u8,
        /// Its offset in the target.
        at: u16,
    },

    /// A line ends in LF without CR before it.
    #[error("line {line} ends in a bare LF; end lines with CR LF")]
    BareLf {
        /// Number of the line.
        line: u16,
    },
    /// A CR without LF after it.
    #[error("line {line} has a CR that no LF follows; end lines with CR LF and send no other CR")]
    BareCr {
        /// Number of the line.
        line: u16,
    },
    /// A NUL byte.
    #[error("line {line} holds a NUL byte; remove it")]
    Nul {
        /// Number of the line.
        line: u16,
    },
    /// Another control character, the tab excepted.
    #[error("line {line} holds the control character {byte:#04x}; remove it")]
    ControlCharacter {
        /// Number of the line.
        line: u16,
        /// The offending byte.
        byte: u8,
    },
    /// A header line begins with white space (RFC 9112 5.2).
    #[error("line {line} begins with white space; send each header on one line")]
    ObsFold {
        /// Number of the line.
        line: u16,
    },
    /// A header line without a colon.
    #[error("line {line} has no colon; send headers as \"Name: value\"")]
    MissingColon {
        /// Number of the line.
        line: u16,
    },
    /// White space between a header's name and its colon (RFC 9112 5.1).
    #[error("line {line} has white space before its colon; send headers as \"Name: value\"")]
    SpaceBeforeColon {
        /// Number of the line.
        line: u16,
    },
    /// A header line that begins with its colon.
    #[error("line {line} has no header name before its colon")]
    EmptyHeaderName {
        /// Number of the line.
        line: u16,
    },
    /// A header's name is no token (RFC 9110 5.1).
    #[error("line {line} has byte {byte:#04x} in its header name; use letters, digits and \"-\"")]
    BadHeaderName {
        /// Number of the line.
        line: u16,
        /// The offending byte.
        byte: u8,
    },

    /// HTTP/1.1 without `Host` (RFC 9112 3.2).
    #[error("the Host header is missing; name the host that you connect to")]
    MissingHost,
    /// More than one `Host` (RFC 9112 3.2).
    #[error("Host is given twice, again in line {line}; send it once")]
    DuplicateHost {
        /// Number of the second one's line.
        line: u16,
    },
    /// `Host` is no host name or address with an optional port.
    #[error("the Host header in line {line} is not a host name or address with an optional port")]
    BadHost {
        /// Number of the line.
        line: u16,
    },
    /// `Content-Length` is no decimal number of bytes.
    #[error(
        "the Content-Length header in line {line} is not a number of bytes; a WebSocket request has none"
    )]
    BadContentLength {
        /// Number of the line.
        line: u16,
    },
    /// More than one `Content-Length` (RFC 9112 6.3).
    #[error("Content-Length is given twice, again in line {line}; send it once")]
    DuplicateContentLength {
        /// Number of the second one's line.
        line: u16,
    },
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 6.1): the mark of request smuggling.
    #[error(
        "Content-Length and Transfer-Encoding come together, the second in line {line}; send at most one"
    )]
    ConflictingLengths {
        /// Number of the later one's line.
        line: u16,
    },

    /// The method of an upgrade request is not GET.
    #[error("a WebSocket is opened with GET, not with \"{method}\"")]
    MethodNotGet {
        /// What was sent.
        method: Excerpt,
    },
    /// An upgrade request in HTTP/1.0.
    #[error(
        "a WebSocket needs HTTP/1.1, but the request is HTTP/1.0; if a proxy made it so, let it speak 1.1"
    )]
    Http10,
    /// `Upgrade: websocket` without `Connection: upgrade`.
    #[error(
        "\"Connection: Upgrade\" is missing beside \"Upgrade: websocket\"; a proxy in between may have dropped it"
    )]
    MissingConnectionUpgrade,
    /// `Connection: upgrade` or `Sec-WebSocket-Key` without `Upgrade: websocket`.
    #[error(
        "\"Upgrade: websocket\" is missing from a WebSocket request; a proxy in between may have dropped it"
    )]
    MissingUpgrade,
    /// An upgrade request announces a body of a length over 0.
    #[error("a WebSocket request has no body; drop its Content-Length")]
    BodyLength,
    /// An upgrade request announces a body by `Transfer-Encoding`.
    #[error("a WebSocket request has no body; drop its Transfer-Encoding")]
    BodyTransferEncoding,

    /// The target is a whole URI.
    #[error("the request target is a whole URI; send only its path and query")]
    TargetAbsolute,
    /// The target is `host:port`, as for CONNECT.
    #[error("the request target is a host and port; send a path that begins with \"/\"")]
    TargetAuthority,
    /// The target is `*`.
    #[error("the request target is \"*\"; send a path that begins with \"/\"")]
    TargetAsterisk,
    /// The target is something else that does not begin with `/`.
    #[error("the request target does not begin with \"/\"")]
    TargetNotPath,
    /// The target holds a fragment, which RFC 6455 3 forbids.
    #[error("the request target has a fragment, \"#\" at offset {at}; remove it or send %23")]
    TargetFragment {
        /// Offset in the target.
        at: u16,
    },
    /// A `%` in the target that two hexadecimal digits do not follow (RFC 3986 2.1).
    #[error(
        "\"%\" at offset {at} of the request target needs two hexadecimal digits after it; a plain one is %25"
    )]
    TargetBadEscape {
        /// Offset in the target.
        at: u16,
    },
    /// `%00` in the target.
    #[error("the request target holds an encoded NUL, \"%00\" at offset {at}; remove it")]
    TargetNulEscape {
        /// Offset in the target.
        at: u16,
    },

    /// No `Sec-WebSocket-Key`.
    #[error("the Sec-WebSocket-Key header is missing; send the base64 of 16 random bytes")]
    MissingKey,
    /// More than one `Sec-WebSocket-Key`.
    #[error("Sec-WebSocket-Key is given twice; send it once")]
    DuplicateKey,
    /// `Sec-WebSocket-Key` is not the canonical base64 of 16 bytes.
    #[error(
        "Sec-WebSocket-Key has {length} characters that are not the base64 of 16 bytes; send 24, the last two \"==\""
    )]
    BadKey {
        /// Length of the value in bytes.
        length: u16,
    },
    /// No `Sec-WebSocket-Version`.
    #[error("the Sec-WebSocket-Version header is missing; send 13")]
    MissingVersion,
    /// More than one `Sec-WebSocket-Version`.
    #[error("Sec-WebSocket-Version is given twice; send it once")]
    DuplicateVersion,
    /// A `Sec-WebSocket-Version` other than 13 (RFC 6455 4.4).
    #[error("Sec-WebSocket-Version \"{version}\" is not spoken here; send 13")]
    UnsupportedVersion {
        /// What was sent.
        version: Excerpt,
    },
    /// More than one `Origin`: an allow-list could be shown one and the application another.
    #[error("Origin is given twice; send it once")]
    DuplicateOrigin,
    /// `Origin` is empty or holds a byte outside visible ASCII (RFC 6454 7.1).
    #[error("the Origin header is not a single origin such as \"https://app.example\"")]
    BadOrigin,
    /// More than one `Authorization`: it would be unclear whose credentials count.
    #[error("Authorization is given twice; send it once")]
    DuplicateAuthorization,
    /// `Sec-WebSocket-Protocol` has a member that is no token, or no member at all (RFC 6455 4.1).
    #[error(
        "Sec-WebSocket-Protocol is not a comma-separated list of names; use letters, digits, \".\" and \"-\""
    )]
    BadSubprotocol,
}

impl RequestError {
    /// The HTTP status code to refuse with. A 426 must carry `Sec-WebSocket-Version: 13`: `append_refusal` sees to it.
    pub fn status(&self) -> u16 {
        match self {
            Self::MethodNotGet { .. } => 405,
            Self::TargetTooLong { .. } => 414,
            Self::MissingUpgrade | Self::UnsupportedVersion { .. } => 426,
            Self::HeadTooLarge { .. } | Self::TooManyHeaders { .. } => 431,
            Self::Http10 | Self::Http2Preface | Self::UnsupportedHttpVersion { .. } => 505,
            _ => 400,
        }
    }

    /// The label of this reason in metrics; one of `NAMES`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TlsClientHello => "tls_client_hello",
            Self::Http2Preface => "http2_preface",
            Self::ProxyHeader => "proxy_header",
            Self::NotHttp { .. } => "not_http",
            Self::HeadTooLarge { .. } => "head_too_large",
            Self::TooManyHeaders { .. } => "too_many_headers",
            Self::TargetTooLong { .. } => "target_too_long",
            Self::BadRequestLine => "bad_request_line",
            Self::BadMethod { .. } => "bad_method",
            Self::UnsupportedHttpVersion { .. } => "unsupported_http_version",
            Self::TargetByte { .. } => "target_byte",
            Self::BareLf { .. } => "bare_lf",
            Self::BareCr { .. } => "bare_cr",
            Self::Nul { .. } => "nul",
            Self::ControlCharacter { .. } => "control_character",
            Self::ObsFold { .. } => "obs_fold",
            Self::MissingColon { .. } => "missing_colon",
            Self::SpaceBeforeColon { .. } => "space_before_colon",
            Self::EmptyHeaderName { .. } => "empty_header_name",
            Self::BadHeaderName { .. } => "bad_header_name",
            Self::MissingHost => "missing_host",
            Self::DuplicateHost { .. } => "duplicate_host",
            Self::BadHost { .. } => "bad_host",
            Self::BadContentLength { .. } => "bad_content_length",
            Self::DuplicateContentLength { .. } => "duplicate_content_length",
            Self::ConflictingLengths { .. } => "conflicting_lengths",
            Self::MethodNotGet { .. } => "method_not_get",
            Self::Http10 => "http10",
            Self::MissingConnectionUpgrade => "missing_connection_upgrade",
            Self::MissingUpgrade => "missing_upgrade",
            Self::BodyLength => "body_length",
            Self::BodyTransferEncoding => "body_transfer_encoding",
            Self::TargetAbsolute => "target_absolute",
            Self::TargetAuthority => "target_authority",
            Self::TargetAsterisk => "target_asterisk",
            Self::TargetNotPath => "target_not_path",
            Self::TargetFragment { .. } => "target_fragment",
            Self::TargetBadEscape { .. } => "target_bad_escape",
            Self::TargetNulEscape { .. } => "target_nul_escape",
            Self::MissingKey => "missing_key",
            Self::DuplicateKey => "duplicate_key",
            Self::BadKey { .. } => "bad_key",
            Self::MissingVersion => "missing_version",
            Self::DuplicateVersion => "duplicate_version",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::DuplicateOrigin => "duplicate_origin",
            Self::BadOrigin => "bad_origin",
            Self::DuplicateAuthorization => "duplicate_authorization",
            Self::BadSubprotocol => "bad_subprotocol",
        }
    }

    pub(super) fn from_line_fault(fault: LineFault, line: u16) -> Self {
        match fault {
            LineFault::BareLf => Self::BareLf { line },
            LineFault::BareCr => Self::BareCr { line },
            LineFault::Nul => Self::Nul { line },
            LineFault::Control(byte) => Self::ControlCharacter { line, byte },
            LineFault::ObsFold => Self::ObsFold { line },
            LineFault::MissingColon => Self::MissingColon { line },
            LineFault::SpaceBeforeColon => Self::SpaceBeforeColon { line },
            LineFault::EmptyName => Self::EmptyHeaderName { line },
            LineFault::NameByte(byte) => Self::BadHeaderName { line, byte },
        }
    }
}
