//! Requests to the API: one connection each, everything bounded.

use std::time::Duration;

use axum::http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::args::Cli;
use super::failure::Failure;
use crate::model::{ClusterHealth, Operation};

/// Longest answer: a thousand nodes are about one million bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How long an answer may take, the time it was asked to wait not counted.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// How often a request that is safe to repeat is sent, and the pause before each further one.
const ATTEMPTS_MAX: u32 = 4;
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Where the API is and who asks.
#[derive(Debug)]
pub(super) struct Client {
    server: String,
    authority: String,
    base: String,
    token: Option<String>,
}

/// An answer, not looked at yet.
struct Answer {
    status: u16,
    body: Bytes,
}

impl Client {
    pub(super) fn new(cli: &Cli) -> Result<Self, Failure> {
        let server = cli.server();
        let wrong = |why: &str| Failure::Usage(format!("--server {server}: {why}"));
        let uri: Uri = server.parse().map_err(|_| wrong("not an address such as http://127.0.0.1:8080"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong("TLS is left to a proxy or `kubectl port-forward`; use http://"));
            }
            _ => return Err(wrong("has to begin with http://")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("no host"))?;
        let port = authority.port_u16().unwrap_or(80);
        let base = uri.path().trim_end_matches('/').to_owned();
        let authority = format!("{}:{port}", authority.host());
        Ok(Self { authority, base, token: cli.token()?, server })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask_again(Method::GET, path, &[], None).await?.into_value()
    }

    pub(super) async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.ask_again(Method::PUT, path, &[], Some(body)).await?.into_value()
    }

    /// Once: what it tells may have been done although no answer came.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        self.ask(Method::POST, path, &[], body, ANSWER_TIMEOUT).await?.into_value()
    }

    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        revision: u64,
        body: &Value,
    ) -> Result<T, Failure> {
        let condition = (header::IF_MATCH, format!("\"{revision}\""));
        self.ask(Method::PATCH, path, &[condition], Some(body), ANSWER_TIMEOUT).await?.into_value()
    }

    /// The health document, which comes with 503 where clients are not well served.
    pub(super) async fn health(&self) -> Result<ClusterHealth, Failure> {
        let answer = self.exchange(Method::GET, "/v1/health", &[], None, ANSWER_TIMEOUT).await?;
        match serde_json::from_slice(&answer.body) {
            Ok(health) if matches!(answer.status, 200 | 503) => Ok(health),
            Ok(_) | Err(_) => answer.checked()?.into_value(),
        }
    }

    /// The operation once it is another revision than `known`; `None`: it was not, for that long.
    pub(super) async fn change_of(
        &self,
        path: &str,
        known: u64,
        wait: Duration,
    ) -> Result<Option<Operation>, Failure> {
        let path = format!("{path}?wait={}s&until=change", wait.as_secs());
        let condition = (header::IF_NONE_MATCH, format!("\"{known}\""));
        let answer = self.ask(Method::GET, &path, &[condition], None, wait + ANSWER_TIMEOUT).await?;
        if answer.status == 304 { Ok(None) } else { answer.into_value().map(Some) }
    }

    async fn ask_again(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, String)],
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let mut attempt = 1;
        loop {
            match self.ask(method.clone(), path, headers, body, ANSWER_TIMEOUT).await {
                Err(failure) if failure.may_pass() && attempt < ATTEMPTS_MAX => {
                    tokio::time::sleep(RETRY_DELAY * attempt).await;
                    attempt += 1;
                }
                ended => return ended,
            }
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, String)],
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        self.exchange(method, path, headers, body, patience).await?.checked()
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, String)],
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = body.map(|body| body.to_string().into()).unwrap_or_default();
        let request = request
            .body(Full::<Bytes>::new(body))
            .map_err(|error| Failure::Usage(format!("this cannot be sent: {error}")))?;
        match timeout(patience, self.send(request)).await {
            Ok(sent) => sent.map_err(|cause| self.unreachable(cause.to_string())),
            Err(_elapsed) => Err(self.unreachable(format!("no answer within {} s", patience.as_secs()))),
        }
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let socket = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok(Answer { status, body })
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The connection's end may come with the answer still to be taken.
            _ended = connection => exchange.await,
        }
    }

    fn unreachable(&self, cause: String) -> Failure {
        Failure::Unreachable { server: self.server.clone(), cause }
    }
}

impl Answer {
    /// Turns a refusal into a failure.
    fn checked(self) -> Result<Self, Failure> {
        if self.status < 400 {
            return Ok(self);
        }
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        let (status, details) = (self.status, problem["details"].clone());
        Err(Failure::Refused { status, code: text("code"), detail: text("detail"), details })
    }

    fn into_value<T: DeserializeOwned>(self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Local(format!("the answer is none of this version: {error}")))
    }
}
