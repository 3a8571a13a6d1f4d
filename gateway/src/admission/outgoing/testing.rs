//! An HTTP server for tests of what the gateway asks of others: it answers as a test says, and tells when it was asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time;

/// What a test's server answers to the body it was sent: status and text.
pub(crate) type Reply = Pin<Box<dyn Future<Output = (u16, String)> + Send>>;

/// A server on this machine; it ends with its test's runtime.
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// Starts on a free port.
    pub(crate) async fn start(answer: impl Fn(String) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                    async move {
                        count.fetch_add(1, Ordering::SeqCst);
                        let body = request.into_body().collect().await?.to_bytes();
                        let (status, text) = answer(String::from_utf8(body.to_vec()).unwrap()).await;
                        let response = Response::builder().status(status).body(Full::new(Bytes::from(text)));
                        Ok::<_, hyper::Error>(response.unwrap())
                    }
                });
                // A client that leaves in the middle is what some tests are about.
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self { url, asked }
    }

    /// How many requests have come.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// An answer that is there at once.
pub(crate) fn ready(status: u16, text: impl Into<String>) -> Reply {
    let text = text.into();
    Box::pin(async move { (status, text) })
}

/// No answer, ever.
pub(crate) fn never() -> Reply {
    Box::pin(std::future::pending())
}

/// Lets `duration` pass at once for all timers, and for those only: sockets go on in their own time.
pub(crate) async fn pass(duration: Duration) {
    time::pause();
    time::advance(duration).await;
    time::resume();
}
