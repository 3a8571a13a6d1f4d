//! Properties of the request parser over generated requests: any split gives the same, nothing is looked at twice, nothing is
//! allocated, and what is accepted another parser reads the same.

use tidegate_wire::request::{Parsed, RequestError, RequestLimits, RequestParser};

mod allocation;
mod generate;
mod properties;
mod resume;

const LIMITS: RequestLimits = RequestLimits { bytes_max: 8192, headers_max: 64, target_bytes_max: 4096 };

/// What Chromium sends, with the headers that grow: cookies and the user agent.
const BROWSER: &str = "GET /raw/lobby?token=abc%20def HTTP/1.1\r\n\
    Host: gateway.example:8000\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://app.example\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: tidegate.v1.json, other\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    \r\n";

fn parse(bytes: &[u8]) -> Result<Parsed<'_>, RequestError> {
    RequestParser::new().parse(&LIMITS, bytes)
}
