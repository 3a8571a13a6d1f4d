//! Whether the whole cluster has room for a client of the raw dialect: asked before its upgrade is answered.
//!
//! Place in the data path: within the handshake. Mostly the answer is there at once; where the store has to be asked, the
//! request is kept and judged again when the answer has come by mail. A client of the native dialect is asked about when it
//! says whether it is new.

use std::sync::Arc;
use std::time::Duration;

use mio::Token;
use tidegate_service::trace::Span;

use super::Worker;
use super::mail::Mail;
use crate::admission::cluster::Arrival;
use crate::admission::upgrade::{Leave, Target};
use crate::broker::outcome::Outcome;
use crate::connection::Phase;
use crate::node::Node;

impl Worker {
    /// Whether a request waits for an answer, of which `len` bytes are kept now. RFC 6455, section 4.1 has its client wait
    /// too: what it sends all the same has to fit into the buffer.
    pub(super) fn waits_for_leave(&mut self, slot: usize, len: usize) -> bool {
        let Phase::Handshaking(state) = &self.connections[slot].phase else { return false };
        let waits = state.partial.as_ref().is_some_and(|partial| partial.leave == Leave::Asked);
        if waits && len > self.input.len() {
            self.refuse_overloaded(slot);
        }
        waits
    }

    /// Keeps a request until there is an answer. Whose bytes found no buffer was refused instead.
    pub(super) fn await_leave(&mut self, slot: usize, span: Span) {
        if let Phase::Handshaking(state) = &mut self.connections[slot].phase
            && let Some(partial) = &mut state.partial
        {
            partial.await_leave(span);
        }
    }

    /// Goes on with a request that was kept for this answer.
    pub(super) fn handle_leave(&mut self, token: Token, leave: Result<(), Duration>) {
        let Some(slot) = self.slot_of(token) else { return };
        // It may have been refused in the meantime, for being slow.
        let Phase::Handshaking(state) = &mut self.connections[slot].phase else { return };
        let Some(partial) = &mut state.partial else { return };
        partial.leave = leave_of(leave);
        self.handle_request(slot, 0);
    }
}

/// Asks for leave, unless it was given already or is not needed yet.
pub(super) fn ask(node: &Arc<Node>, target: &Target, known: Leave, worker: usize, token: Token) -> Leave {
    if known == Leave::Given || matches!(target, Target::Native(_)) {
        return Leave::Given;
    }
    match Outcome::begin(Arc::clone(&node.broker.budget).admit(Arrival::New)) {
        Outcome::Now(leave) => leave_of(leave),
        Outcome::Later(later) => {
            let broker = Arc::clone(&node.broker);
            node.runtime.spawn(async move {
                let leave = later.await;
                broker.post(worker, Mail::Leave(token, leave)).await;
            });
            Leave::Asked
        }
    }
}

fn leave_of(leave: Result<(), Duration>) -> Leave {
    match leave {
        Ok(()) => Leave::Given,
        Err(retry_after) => Leave::Refused { retry_after },
    }
}
