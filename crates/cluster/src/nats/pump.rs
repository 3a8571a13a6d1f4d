//! Sends what waits in the outbox, batch by batch.
//!
//! async-nats takes a message when it has room for it, which on a connection that carries it has; whoever published hears
//! that it is on its way. It may still be lost with the connection: delivery is at most once.

use std::sync::Arc;

use async_nats::client::PublishErrorKind;
use async_nats::connection::State as Connection;
use async_nats::{Client, PublishError};
use tokio::time::timeout;

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
        batch.answer(outcome);
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
    let publishing = async {
        let subject = batch.subject.clone();
        match headers {
            Some(headers) => client.publish_with_headers(subject, headers, payload).await,
            None => client.publish(subject, payload).await,
        }
    };
    match timeout(shared.config.timeout, publishing).await {
        Ok(Ok(())) => {
            shared.counts.published.add(count);
            shared.counts.batches.add(1);
            shared.counts.published_bytes.add(bytes);
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

fn refuse(shared: &Shared, error: &PublishError, count: u64) -> crate::answer::Unavailable {
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
