//! How a connection is opened: the upgrade request and everything that may come before and behind it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_wire::client::ClientRequest;

use super::Client;
use super::stream::Stream;
use crate::http::HttpResponse;
use crate::tls::Certificate;

/// How a connection is to be opened; `Request::to(address, path)` and then what differs from a plain one.
pub struct Request<'a> {
    server: SocketAddr,
    source: Option<IpAddr>,
    target: &'a str,
    origin: Option<&'a str>,
    subprotocols: &'a [&'a str],
    headers: Vec<(&'a str, &'a str)>,
    preamble: &'a [u8],
    trailer: &'a [u8],
    receive_buffer_bytes: Option<usize>,
    certificate: Option<&'a Certificate>,
}

impl<'a> Request<'a> {
    /// A plain upgrade request to `ws://server/target`.
    pub fn to(server: SocketAddr, target: &'a str) -> Self {
        Self {
            server,
            source: None,
            target,
            origin: None,
            subprotocols: &[],
            headers: Vec::new(),
            preamble: &[],
            trailer: &[],
            receive_buffer_bytes: None,
            certificate: None,
        }
    }

    /// Comes from this address of the loopback range.
    #[must_use]
    pub fn from(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// As a browser on this page would.
    #[must_use]
    pub fn origin(mut self, origin: &'a str) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Offers these, in this order.
    #[must_use]
    pub fn subprotocols(mut self, subprotocols: &'a [&'a str]) -> Self {
        self.subprotocols = subprotocols;
        self
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends these bytes first, before TLS too: a PROXY protocol header.
    #[must_use]
    pub fn preamble(mut self, preamble: &'a [u8]) -> Self {
        self.preamble = preamble;
        self
    }

    /// Sends these bytes right behind the request, before the server has consented.
    #[must_use]
    pub fn trailer(mut self, trailer: &'a [u8]) -> Self {
        self.trailer = trailer;
        self
    }

    /// Gives the kernel little room for what the server sends; for clients that do not read.
    #[must_use]
    pub fn receive_buffer_bytes(mut self, bytes: usize) -> Self {
        self.receive_buffer_bytes = Some(bytes);
        self
    }

    /// Speaks TLS to `localhost` and trusts this certificate only.
    #[must_use]
    pub fn tls(mut self, certificate: &'a Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Opens the connection and waits for the server's consent.
    ///
    /// # Panics
    ///
    /// If the server refuses or answers wrongly.
    #[track_caller]
    pub fn open(self) -> Client {
        match self.try_open() {
            Ok(client) => client,
            Err(response) => panic!("the upgrade was refused: {response:?}"),
        }
    }

    /// Sends the request and reads the refusal to its end.
    ///
    /// # Panics
    ///
    /// If the server consents.
    #[track_caller]
    pub fn refused(self) -> HttpResponse {
        match self.try_open() {
            Ok(_) => panic!("the upgrade was to be refused, and was not"),
            Err(response) => response,
        }
    }

    /// Either of the two.
    ///
    /// # Errors
    ///
    /// The whole refusal, where the server answers with another status than 101.
    #[track_caller]
    pub fn try_open(self) -> Result<Client, HttpResponse> {
        let key = fresh_key();
        let host = if self.certificate.is_some() { "localhost".to_owned() } else { self.server.to_string() };
        let request = ClientRequest {
            host: &host,
            target: self.target,
            key,
            origin: self.origin,
            subprotocols: self.subprotocols,
            deflate: None,
            headers: &self.headers,
        };
        let mut head = Vec::new();
        request.append(&mut head);
        head.extend_from_slice(self.trailer);

        let mut client = self.connect();
        client.send_bytes(&head);
        client.read_consent(key)
    }

    /// Connects without a word of HTTP.
    ///
    /// # Panics
    ///
    /// If nobody listens, or the server's certificate is not the expected one.
    #[track_caller]
    pub fn connect(&self) -> Client {
        let stream = Stream::connect(self.server, self.source, self.receive_buffer_bytes, self.preamble);
        let stream = match self.certificate {
            Some(certificate) => stream.into_tls(certificate),
            None => stream,
        };
        Client {
            stream,
            inbox: Vec::new(),
            frames: VecDeque::new(),
            subprotocol: None,
            extensions: None,
            frames_sent: 0,
        }
    }
}

/// Sixteen bytes that no other request of this process has.
fn fresh_key() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut key = [0x54; 16];
    key[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_have_the_same_key() {
        assert_ne!(fresh_key(), fresh_key());
    }
}
