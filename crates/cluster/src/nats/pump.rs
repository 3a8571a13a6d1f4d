//! Sends what waits in the outbox, batch by batch; and past it, when nothing waits.
//!
//! While async-nats has written all that it was given, a message is handed to it in place and its answer is ready: a quiet
//! node pays for no task. Otherwise messages wait for the pump's turn, and those that meet there share one.
//!
//! async-nats takes a message when it has room for it, which on a connection that carries it has; whoever published hears
//! that it is on its way. It may still be lost with the connection: delivery is at most once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use async_nats::client::PublishErrorKind;
use async_nats::connection::State as Connection;
use async_nats::{Client, HeaderMap, PublishError, Subject};
use bytes::Bytes;
use tokio::time::timeout;

use crate::answer::Unavailable;

use super::outbox::{Batch, Outcome};
use super::{DOWN, FAULTY, Shared, envelope};

/// Room for the headers of a batch under the server's bound.
const HEADERS_BYTES_MAX: usize = 4096;

/// Ends with the bus.
pub(super) async fn run(shared: Arc<Shared>, client: Client) {
    loop {
        let room = client.max_payload().saturating_sub(HEADERS_BYTES_MAX);
        let batch = shared.outbox.next(shared.config.batch_bytes_max.min(room)).await;
        let outcome = send(&shared, &client, &batch).await;
        shared.outbox.finish(batch, outcome);
    }
}

/// Sends a message at once, if it can: without waiting, and without overtaking any. `None`: it has to wait its turn.
pub(super) fn try_send(
    shared: &Shared,
    client: &Client,
    subject: &Subject,
    message: &Bytes,
) -> Option<Outcome> {
    let written = client.statistics().out_messages.load(Ordering::Relaxed);
    if written < shared.handed.load(Ordering::Relaxed) || !shared.outbox.is_idle() {
        return None;
    }
    if client.connection_state() != Connection::Connected {
        return None;
    }
    let (headers, payload) = envelope::seal(std::slice::from_ref(message), shared.config.headers);
    let mut publishing = pin!(publish(client, subject.clone(), headers, payload));
    match publishing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => {
            shared.count_sent(1, message.len() as u64);
            Some(Ok(()))
        }
        Poll::Ready(Err(error)) => Some(Err(refuse(shared, &error, 1))),
        // Dropped, it has taken nothing.
        Poll::Pending => None,
    }
}

async fn publish(
    client: &Client,
    subject: Subject,
    headers: Option<HeaderMap>,
    payload: Bytes,
) -> Result<(), PublishError> {
    match headers {
        Some(headers) => client.publish_with_headers(subject, headers, payload).await,
        None => client.publish(subject, payload).await,
    }
}

async fn send(shared: &Shared, client: &Client, batch: &Batch) -> Outcome {
    let count = batch.messages.len() as u64;
    // The link sees to it that the servers know all subjects again before the state says so.
    if !shared.is_reachable() || client.connection_state() != Connection::Connected {
        shared.counts.refused_down.add(count);
        return Err(DOWN);
    }
    let (headers, payload) = envelope::seal(&batch.messages, shared.config.headers);
    let bytes = payload.len() as u64;
    let publishing = publish(client, batch.subject.clone(), headers, payload);
    match timeout(shared.config.timeout, publishing).await {
        Ok(Ok(())) => {
            shared.count_sent(count, bytes);
            Ok(())
        }
        Ok(Err(error)) => Err(refuse(shared, &error, count)),
        Err(_) => {
            // Nothing was taken. What waits behind it has waited as long.
            let refused = shared.outbox.refuse(DOWN);
            shared.counts.refused_down.add(count + refused as u64);
            Err(DOWN)
        }
    }
}

fn refuse(shared: &Shared, error: &PublishError, count: u64) -> Unavailable {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => {
            shared.counts.oversized.add(count);
            FAULTY
        }
        PublishErrorKind::InvalidSubject | PublishErrorKind::Send => {
            shared.counts.refused_down.add(count);
            DOWN
        }
    }
}

impl Shared {
    /// One NATS message with so many messages is on its way.
    fn count_sent(&self, messages: u64, bytes: u64) {
        self.handed.fetch_add(1, Ordering::Relaxed);
        self.counts.published.add(messages);
        self.counts.batches.add(1);
        self.counts.published_bytes.add(bytes);
    }
}
