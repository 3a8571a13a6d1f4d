//! Slowloris: many handshakes that never finish, a byte at a time, beside well-behaved clients.
//!
//! Measured: p99 of the well-behaved without and with the offenders, the server's memory, and how each offender ended: answered
//! with a status (408 is the right one) and closed, closed without a word, reset, or still open.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Common;
use super::neighbours::{NeighbourPlan, Neighbours};
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Engine, Lane, Load, Opening, Setup, Wake};
use crate::failure::Failure;
use crate::procfs::Snapshot;
use crate::report::{Report, ServerUse, per_second};
use crate::schedule::Schedule;

/// A slowloris run.
#[derive(Clone, Debug)]
pub(crate) struct SlowlorisPlan {
    pub(crate) common: Common,
    pub(crate) neighbours: NeighbourPlan,
    pub(crate) offenders: usize,
    /// Offenders that connect a second.
    pub(crate) offender_rate: u64,
    /// Between two bytes of one offender.
    pub(crate) byte_interval: Duration,
    /// Most time for the part with offenders; it ends earlier if the server has dealt with all of them.
    pub(crate) duration: Duration,
}

/// How long the last answers to the well-behaved may take.
const DRAIN: Duration = Duration::from_secs(5);
/// Bytes of an answer that are looked at: the status line's beginning.
const STATUS_LINE_BYTES: usize = 12;

/// Runs it to the end.
pub(crate) fn run(plan: SlowlorisPlan) -> Result<Report, Failure> {
    let mut engine = Engine::new(Setup {
        endpoints: vec![plan.common.echo_endpoint()],
        sources: plan.common.sources,
        lanes: plan.neighbours.count + plan.offenders,
        message_bytes_max: plan.neighbours.messages.size_bytes,
        progress: plan.common.progress,
    })?;
    let target = &plan.common.target;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Slow: ",
        target.path, target.host
    );
    let mut offenders = Vec::new();
    offenders.resize_with(plan.offenders, Offender::default);
    let mut slowloris = Slowloris {
        neighbours: Neighbours::new(plan.neighbours, target.to_string()),
        offenders,
        request: request.into_bytes(),
        attack: None,
        drain_until: None,
        dialled: 0,
        bytes_sent: 0,
        ended: 0,
        before: None,
        after: None,
        measured_ns: 0,
        endings: BTreeMap::new(),
        plan,
    };
    engine.run(&mut slowloris)?;
    Ok(slowloris.report())
}

struct Slowloris {
    plan: SlowlorisPlan,
    neighbours: Neighbours,
    offenders: Vec<Offender>,
    /// A request that lacks its end; after it, letters.
    request: Vec<u8>,
    attack: Option<Attack>,
    drain_until: Option<Nanos>,
    dialled: usize,
    bytes_sent: u64,
    ended: usize,
    before: Option<Snapshot>,
    after: Option<Snapshot>,
    measured_ns: u64,
    endings: BTreeMap<String, u64>,
}

/// The part with offenders.
#[derive(Clone, Copy, Debug)]
struct Attack {
    from: Nanos,
    until: Nanos,
    dials: Schedule,
    /// One entry a byte, over all offenders in turn.
    bytes: Schedule,
}

#[derive(Clone, Debug, Default)]
struct Offender {
    open: bool,
    sent: usize,
    /// The beginning of what the server said.
    answer: Vec<u8>,
}

impl Slowloris {
    fn begin_attack(&mut self, now: Nanos) -> Result<Attack, Failure> {
        self.before = self.snapshot()?;
        let interval_ns = self.plan.byte_interval.as_nanos().max(1);
        let bytes_per_second = self.plan.offenders as u128 * 1_000_000_000 / interval_ns;
        Ok(Attack {
            from: now,
            until: now + self.plan.duration,
            dials: Schedule::new(now, self.plan.offender_rate),
            bytes: Schedule::new(now, u64::try_from(bytes_per_second).unwrap_or(u64::MAX).max(1)),
        })
    }

    /// Connects who is due and sends the bytes that are due. Says when there is more to do.
    fn drive(&mut self, attack: &Attack, now: Nanos, out: &mut Commands) -> Nanos {
        let dials_due = usize::try_from(attack.dials.due_count(now)).unwrap_or(usize::MAX);
        while self.dialled < dials_due.min(self.offenders.len()) {
            let dial = Dial { opening: Opening::Raw, ..Dial::default() };
            out.dial(self.plan.neighbours.count + self.dialled, dial);
            self.dialled += 1;
        }
        let bytes_due = attack.bytes.due_count(now);
        while self.bytes_sent < bytes_due {
            let turn = self.bytes_sent % self.offenders.len() as u64;
            let index = usize::try_from(turn).expect("the remainder of a division by a usize is one");
            let offender = &mut self.offenders[index];
            if offender.open {
                let byte = self.request.get(offender.sent).copied().unwrap_or(b'a');
                offender.sent += 1;
                out.send_raw(self.plan.neighbours.count + index, &[byte]);
            }
            self.bytes_sent += 1;
        }
        let next_dial = if self.dialled < self.offenders.len() {
            attack.dials.due_at(self.dialled as u64)
        } else {
            Nanos(u64::MAX)
        };
        next_dial.min(attack.bytes.due_at(self.bytes_sent)).min(attack.until)
    }

    fn end_attack(&mut self, attack: &Attack, now: Nanos) -> Result<(), Failure> {
        self.after = self.snapshot()?;
        self.measured_ns = now.since(attack.from);
        self.neighbours.stop(now);
        self.drain_until = Some(now + DRAIN);
        let still_open = self.offenders.iter().filter(|offender| offender.open).count();
        if still_open > 0 {
            self.endings.insert("still open".to_owned(), still_open as u64);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, Failure> {
        self.plan.common.pid.map(Snapshot::read).transpose()
    }

    fn report(self) -> Report {
        let conclusion = self.neighbours.conclude();
        let units = self.plan.offenders as u64;
        let server = self
            .before
            .as_ref()
            .zip(self.after.as_ref())
            .map(|(before, after)| ServerUse::between(before, after, units));
        Report {
            scenario: "slowloris",
            url: self.plan.common.target.to_string(),
            verdict: conclusion.faults.verdict(),
            measured_seconds: Duration::from_nanos(self.measured_ns).as_secs_f64(),
            unit: "offender",
            units,
            units_per_second: per_second(units, self.measured_ns),
            counts: conclusion.counts,
            latencies: conclusion.latencies,
            server,
            derived: conclusion.derived,
            endings: self.endings,
            details: BTreeMap::new(),
            conclusion: None,
            faults: conclusion.faults,
        }
    }
}

/// How an offender ended: by what the server said first, if anything.
fn describe(answer: &[u8], ending: &Ending) -> String {
    let status = answer
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| std::str::from_utf8(digits).ok());
    match (status, ending) {
        (Some(status), _) => format!("answered with status {status}"),
        (None, Ending::Eof) => "closed without an answer".to_owned(),
        (None, other) => other.to_string(),
    }
}

impl Load for Slowloris {
    fn handle_open(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        if self.neighbours.owns(lane) {
            self.neighbours.handle_open(lane, now, out);
        } else {
            self.offenders[lane - self.plan.neighbours.count].open = true;
        }
    }

    fn handle_message(&mut self, lane: Lane, message: &[u8], now: Nanos, out: &mut Commands) {
        self.neighbours.handle_message(lane, message, now, out);
    }

    fn handle_bytes(&mut self, lane: Lane, bytes: &[u8]) {
        let answer = &mut self.offenders[lane - self.plan.neighbours.count].answer;
        let room = STATUS_LINE_BYTES - answer.len();
        answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn handle_end(&mut self, lane: Lane, ending: Ending, _now: Nanos, _out: &mut Commands) {
        if self.neighbours.owns(lane) {
            self.neighbours.handle_end(lane, &ending);
            return;
        }
        let offender = &mut self.offenders[lane - self.plan.neighbours.count];
        offender.open = false;
        self.ended += 1;
        if self.drain_until.is_none() {
            *self.endings.entry(describe(&offender.answer, &ending)).or_default() += 1;
        }
    }

    fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Wake, Failure> {
        let mut next = self.neighbours.handle_time(now, out)?;
        if let Some(until) = self.drain_until {
            let over = now >= until || self.neighbours.in_flight() == 0;
            return Ok(if over { Wake::Done } else { Wake::At(until) });
        }
        if self.attack.is_none() && self.neighbours.is_beset() {
            self.attack = Some(self.begin_attack(now)?);
        }
        if let Some(attack) = self.attack {
            if now >= attack.until || self.ended == self.offenders.len() {
                self.end_attack(&attack, now)?;
                return Ok(Wake::At(now));
            }
            next = next.min(self.drive(&attack, now, out));
        }
        Ok(Wake::At(next))
    }

    fn progress(&self) -> String {
        let part = if self.neighbours.is_beset() { "with offenders" } else { "without offenders" };
        format!("{part}: {} offenders connected, {} ended", self.dialled, self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_outweighs_how_tcp_ended() {
        assert_eq!(describe(b"HTTP/1.1 408", &Ending::Reset), "answered with status 408");
        assert_eq!(describe(b"", &Ending::Eof), "closed without an answer");
        assert_eq!(describe(b"HTT", &Ending::Reset), "reset");
    }
}
