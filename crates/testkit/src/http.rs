//! The least HTTP/1.1 client that can ask an admin port or look at a refused handshake.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::DEADLINE;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// Of the status line.
    pub status: u16,
    /// In the order they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What followed the head, de-chunked.
    pub body: String,
}

impl HttpResponse {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Reads what a server sent until it closed the connection.
    ///
    /// # Panics
    ///
    /// If it is no HTTP/1.1 response.
    #[track_caller]
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) =
            text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP response: {text:?}"));
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();

        let mut response = Self {
            status: status.unwrap_or_else(|| panic!("no status in {status_line:?}")),
            headers,
            body: body.to_owned(),
        };
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = join_chunks(body);
        }
        response
    }
}

/// Sends one request and reads until the server closes the connection.
#[track_caller]
pub(crate) fn exchange(server: SocketAddr, method: &str, target: &str, body: &str) -> HttpResponse {
    exchange_with(server, method, target, &[], body)
}

/// The same with headers of the caller's.
#[track_caller]
pub(crate) fn exchange_with(
    server: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> HttpResponse {
    let mut stream =
        TcpStream::connect(server).unwrap_or_else(|error| panic!("connecting to {server}: {error}"));
    stream.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
    let length = body.len();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap_or_else(|error| panic!("{method} {target}: {error}"));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{method} {target}: {error}"));
    HttpResponse::parse(&answer)
}

#[track_caller]
fn join_chunks(mut body: &str) -> String {
    let mut joined = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size =
            usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("no chunk size: {size:?}"));
        joined.push_str(&rest[..size]);
        if size == 0 {
            break;
        }
        body = rest[size..].trim_start_matches("\r\n");
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_split_into_status_headers_and_body() {
        let response =
            HttpResponse::parse(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nServer: x\r\n\r\ncome back");

        assert_eq!(response.status, 503);
        assert_eq!(response.header("retry-after"), Some("7"));
        assert_eq!(response.body, "come back");
    }

    #[test]
    fn chunks_are_joined() {
        let response = HttpResponse::parse(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        );

        assert_eq!(response.body, "abcde");
    }
}
