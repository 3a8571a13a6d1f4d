//! What happens because time goes by: no `connect`, no sign of life, a token's end.
//!
//! Place in the data path: the driver's timer asks for the deadline and comes back when it has passed.

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event;
use tidegate_protocol::time::{Millis, whole_ms};

use crate::session::{Cx, Phase, Session};

#[cfg(test)]
mod tests;

impl Session {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None`: not any more.
    ///
    /// It may move to any later time by itself: traffic does not reset it, the call at the old time finds nothing to do.
    /// Only handing in an answer or a command can make it earlier.
    pub fn deadline(&self) -> Option<Millis> {
        match &self.phase {
            Phase::AwaitingConnect { until } => Some(*until),
            Phase::Connecting(connecting) => Some(connecting.until),
            Phase::Ready => Some(self.ping_at.min(self.notice_at).min(self.expires_at)),
            Phase::Closed(_) => None,
        }
    }

    /// Bytes came from the client: it lives.
    pub fn handle_traffic(&mut self, now: Millis) {
        self.heard_at = now;
        self.pings_unanswered = 0;
    }

    /// The deadline may have come.
    pub fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.deadline().is_none_or(|deadline| cx.now < deadline) {
            return;
        }
        match &self.phase {
            Phase::AwaitingConnect { .. } => self.close(CloseCause::ConnectTimeout, cx),
            Phase::Connecting(_) => {
                // Not the client's fault, so not its time-out: it may come back.
                let error = ErrorBody::new(ErrorCode::Unavailable, "connecting took too long on our side");
                self.fail_connect(&error, CloseCause::Unavailable, cx);
            }
            Phase::Ready => self.handle_ready_timeout(cx),
            Phase::Closed(_) => {}
        }
    }

    fn handle_ready_timeout(&mut self, cx: &mut Cx<'_>) {
        if cx.now >= self.expires_at {
            return self.close(CloseCause::TokenExpired, cx);
        }
        if cx.now >= self.notice_at {
            self.notice_at = Millis::MAX;
            let in_ms = whole_ms(self.expires_at.since(cx.now));
            cx.out.push(|out| event::append_expiring(out, in_ms));
        }
        if cx.now >= self.ping_at {
            self.look_for_life(cx);
        }
    }

    fn look_for_life(&mut self, cx: &mut Cx<'_>) {
        let silent_until = self.heard_at + cx.policy.ping_interval;
        if silent_until > cx.now {
            self.ping_at = silent_until;
        } else if self.pings_unanswered >= cx.policy.pings_missed {
            self.close(CloseCause::PingTimeout, cx);
        } else {
            self.pings_unanswered += 1;
            // From now on, not from when it was due: after a pause of this node, the client has its time to answer.
            self.ping_at = cx.now + cx.policy.ping_interval;
            cx.out.push(event::append_ping);
        }
    }
}
