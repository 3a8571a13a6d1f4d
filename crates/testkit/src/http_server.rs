//! The least HTTP/1.1 server that can stand in for what a gateway asks: an identity provider, an application's hook.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::DEADLINE;

/// A server on this machine that answers as a test says. Its threads end with the test's process.
pub struct HttpServer {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl HttpServer {
    /// Starts on a free port. `answer` is given a request's body, and gives status and body; `None`: the client waits in vain.
    pub fn start(answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
        let asked = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                // A client that leaves in the middle is what some tests are about.
                thread::spawn(move || serve(&stream, &*answer, &count));
            }
        });
        Self { url, asked }
    }

    /// Where it is, with a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many requests have come.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// One request, then the connection is closed.
fn serve(
    stream: &TcpStream,
    answer: &dyn Fn(&str) -> Option<(u16, String)>,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && line.trim_end() != "" {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    asked.fetch_add(1, Ordering::SeqCst);
    match answer(&String::from_utf8_lossy(&body)) {
        Some((status, text)) => {
            let length = text.len();
            let head =
                format!("HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            (&*stream).write_all((head + &text).as_bytes())
        }
        // Until the client has had enough.
        None => reader.read(&mut [0]).map(drop),
    }
}
