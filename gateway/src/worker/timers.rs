//! Many times a second: whose handshake, frame, outbox, ping or farewell has taken too long.

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::time::Millis;
use tidegate_wire::decode::State;
use tidegate_wire::frame::{self, OpCode};

use super::wheel::{Tick, tick_of, ticks};
use super::{TIMERS_A_TURN, Worker};
use crate::connection::{Endpoint, Phase, Reading};
use crate::ending::{HandshakeOutcome, Stage};

/// What is due for an open connection.
#[derive(Debug, Eq, PartialEq)]
enum Due {
    End(CloseCause),
    Ping,
    /// What its session waits for.
    Session,
    /// Nothing before this tick.
    Nothing(Tick),
}

impl Worker {
    /// Notes what came due since the last tick.
    pub(super) fn tick(&mut self) {
        while let Some((tick, entries)) = self.wheel.take_due(self.now) {
            self.due.extend(entries.iter().map(|&entry| (tick, entry)));
            self.wheel.recycle(tick, entries);
        }
        self.repair_gaps();
        let pool = self.pool.stats();
        self.stats.pool_in_use_bytes.set(pool.in_use_bytes as u64);
        self.stats.pool_free_bytes.set(pool.free_bytes as u64);
        self.stats.pool_allocations.set(pool.allocated_total);
        self.stats.pool_refusals.set(pool.refused_total);
    }

    /// Handles some of what is due.
    pub(super) fn handle_timers(&mut self) {
        for _ in 0..TIMERS_A_TURN {
            let Some((tick, entry)) = self.due.pop_front() else { return };
            self.handle_timer(entry as usize, tick);
        }
    }

    /// Files the connection under the tick at which it has to be looked at, unless it already is under an earlier one.
    pub(super) fn schedule(&mut self, slot: usize, at: Tick) {
        self.connections[slot].schedule(&mut self.wheel, slot, at);
    }

    fn handle_timer(&mut self, slot: usize, tick: Tick) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.timer != tick {
            return;
        }
        connection.timer = 0;
        match &connection.phase {
            Phase::Handshaking(handshake) => {
                let (stage, due) = (handshake.stage, connection.since + self.handshake_ticks());
                if self.now < due { self.schedule(slot, due) } else { self.reap_handshake(slot, stage) }
            }
            Phase::Open(_) => match self.due(slot) {
                Due::End(cause) => self.end(slot, cause),
                Due::Nothing(next) => self.schedule(slot, next),
                Due::Ping => self.ping(slot),
                Due::Session => self.handle_session_timer(slot),
            },
            Phase::Closing(_) => {
                let due = connection.since + self.close_ticks();
                if self.now < due { self.schedule(slot, due) } else { self.remove(slot) }
            }
        }
    }

    fn reap_handshake(&mut self, slot: usize, stage: Stage) {
        self.stats.handshakes_reaped[stage as usize].add(1);
        match stage {
            Stage::Request => self.refuse_slow(slot),
            Stage::Proxy | Stage::Tls => self.abandon_handshake(slot, HandshakeOutcome::Timeout),
        }
    }

    fn due(&self, slot: usize) -> Due {
        let (connection, limits) = (&self.connections[slot], &self.node.limits);
        let mut next = Tick::MAX;
        if connection.has_unsent() {
            let due = connection.progress.saturating_add(self.write_ticks());
            if self.now >= due {
                return Due::End(CloseCause::SlowConsumer);
            }
            next = next.min(due);
        }
        if connection.parser_state != State::Idle {
            let due = connection.since.saturating_add(self.frame_ticks());
            if self.now >= due && connection.reading == Reading::Wanted {
                return Due::End(CloseCause::FrameTimeout);
            }
            next = next.min(due);
        }
        if connection.reading == Reading::Paused {
            // Its pongs would not be read either: only the outbox tells whether it lives.
            return Due::Nothing(next);
        }
        if let Phase::Open(Endpoint::Native(client)) = &connection.phase {
            let deadline = client.session.deadline().map_or(Tick::MAX, |at| self.tick_at(at));
            return if self.now >= deadline { Due::Session } else { Due::Nothing(next.min(deadline)) };
        }
        let interval = ticks(limits.ping_interval);
        let unanswered = u32::from(connection.pings_unanswered);
        let due = connection.seen.saturating_add(interval.saturating_mul(unanswered + 1));
        if self.now < due {
            return Due::Nothing(next.min(due));
        }
        if unanswered >= limits.pings_missed { Due::End(CloseCause::PingTimeout) } else { Due::Ping }
    }

    fn ping(&mut self, slot: usize) {
        self.connections[slot].pings_unanswered += 1;
        self.stats.pings_sent.add(1);
        self.replies.clear();
        frame::append(&mut self.replies, OpCode::Ping, &[]);
        if self.send_replies(slot) {
            self.schedule(slot, self.now + ticks(self.node.limits.ping_interval));
        }
    }

    /// Files a session's next deadline.
    pub(super) fn schedule_session(&mut self, slot: usize) {
        let deadline = self.native_mut(slot).and_then(|client| client.session.deadline());
        if let Some(deadline) = deadline {
            self.schedule(slot, self.tick_at(deadline));
        }
    }

    /// The first tick at which a Unix time has come.
    fn tick_at(&self, at: Millis) -> Tick {
        tick_of(at.since(self.node.started_unix)) + 1
    }

    pub(super) fn frame_ticks(&self) -> Tick {
        ticks(self.node.limits.frame_timeout)
    }

    pub(super) fn write_ticks(&self) -> Tick {
        ticks(self.node.limits.write_timeout)
    }

    pub(super) fn handshake_ticks(&self) -> Tick {
        ticks(self.node.limits.handshake_timeout)
    }

    pub(super) fn close_ticks(&self) -> Tick {
        ticks(self.node.limits.close_timeout)
    }
}
