//! Faults on a schedule, as they are written on the command line: `ACTION:NAME[=VALUE]@AT[+FOR]`.
//!
//! Place in the data path: none; `cli` parses them, `stage` carries their steps out. `AT` counts from the first message, `FOR` is
//! how long the fault lasts: then a frozen process goes on, an ended one is started again, and a link is as it was.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// As it was written.
    text: String,
    pub(crate) deed: Deed,
    pub(crate) name: String,
    pub(crate) at: Duration,
    /// How long it lasts; `None`: for good.
    pub(crate) lasts: Option<Duration>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deed {
    Process(ProcessDeed),
    Link(Weather),
    Redis(RedisDeed),
}

/// To a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProcessDeed {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
    /// SIGSTOP, for good or until `cont`.
    Stop,
    /// SIGCONT.
    Cont,
    /// SIGSTOP, and SIGCONT when it is over.
    Freeze,
    /// SIGTERM, its end, and a new start.
    Restart,
    /// A new start.
    Start,
}

/// To a Redis server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RedisDeed {
    /// It forgets everything.
    Flush,
    /// A replica becomes the master, and all links lead to it.
    Promote,
}

/// What a link does to the bytes on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    /// Connections end, and new ones do too.
    Cut,
    /// Nothing gets through and nothing is lost, as while packets are dropped and repeated.
    Hold(Direction),
    /// Everything takes so much longer, each way.
    Delay(Duration),
    /// So many bytes a second, each way.
    Throttle(u64),
    /// This share of reads is late by a retransmission, and so is what follows it.
    Loss { percent: f64 },
    /// This share of reads ends its connection.
    Reset { percent: f64 },
}

/// Which way nothing gets through. A link's name has the end that connects first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    Both,
    /// From the end that connects.
    Out,
    /// Towards it.
    In,
}

/// A part of a fault, at a point in time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) what: StepDeed,
    pub(crate) name: String,
    /// Is everything as it was after this?
    pub(crate) heals: bool,
    /// The fault's text.
    pub(crate) fault: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum StepDeed {
    Process(ProcessDeed),
    /// `None`: fair weather.
    Link(Option<Weather>),
    Redis(RedisDeed),
}

const ACTIONS: &str = "term, kill, stop, cont, freeze, restart, start (a process), cut, hold, hold-out, hold-in, delay, throttle, \
    loss, reset (a link), flush, promote (a Redis)";

impl Fault {
    /// What is to be done when.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let step =
            |at, what, heals| Step { at, what, name: self.name.clone(), heals, fault: self.text.clone() };
        let over_at = self.lasts.map(|lasts| self.at + lasts);
        let (first, undo) = match self.deed {
            Deed::Process(ProcessDeed::Freeze) => {
                (StepDeed::Process(ProcessDeed::Stop), Some(StepDeed::Process(ProcessDeed::Cont)))
            }
            Deed::Process(deed @ (ProcessDeed::Term | ProcessDeed::Kill)) => {
                (StepDeed::Process(deed), Some(StepDeed::Process(ProcessDeed::Start)))
            }
            Deed::Process(deed) => (StepDeed::Process(deed), None),
            Deed::Link(weather) => (StepDeed::Link(Some(weather)), Some(StepDeed::Link(None))),
            Deed::Redis(deed) => (StepDeed::Redis(deed), None),
        };
        let undo = over_at.zip(undo).map(|(at, what)| step(at, what, true));
        // What is never undone has done all its harm at once.
        std::iter::once(step(self.at, first, undo.is_none())).chain(undo).collect()
    }

    /// When nothing more of it is to come.
    pub(crate) fn ends_at(&self) -> Duration {
        self.at + self.lasts.unwrap_or_default()
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("`{text}`: {what}");
        let (what, when) = text.rsplit_once('@').ok_or_else(|| {
            wrong("it does not say when: put @ and a time behind it, as in `kill:node-2@10s`".into())
        })?;
        let (action, whom) = what.split_once(':').ok_or_else(|| {
            wrong("it does not say to whom: `ACTION:NAME@TIME`, as in `kill:node-2@10s`".into())
        })?;
        let (name, value) = match whom.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (whom, None),
        };
        if name.is_empty() {
            return Err(wrong("there is no name behind the colon".into()));
        }
        let (at, lasts) = match when.split_once('+') {
            Some((at, lasts)) => (at, Some(parse_time(lasts).map_err(wrong)?)),
            None => (when, None),
        };
        let deed = parse_deed(action, value).map_err(wrong)?;
        check_length(action, deed, lasts).map_err(wrong)?;
        Ok(Self {
            text: text.to_owned(),
            deed,
            name: name.to_owned(),
            at: parse_time(at).map_err(wrong)?,
            lasts,
        })
    }
}

fn parse_deed(action: &str, value: Option<&str>) -> Result<Deed, String> {
    let needs =
        |example: &str| value.ok_or_else(|| format!("{action} needs a value: `{action}:LINK={example}@…`"));
    let deed = match action {
        "term" => Deed::Process(ProcessDeed::Term),
        "kill" => Deed::Process(ProcessDeed::Kill),
        "stop" => Deed::Process(ProcessDeed::Stop),
        "cont" => Deed::Process(ProcessDeed::Cont),
        "freeze" => Deed::Process(ProcessDeed::Freeze),
        "restart" => Deed::Process(ProcessDeed::Restart),
        "start" => Deed::Process(ProcessDeed::Start),
        "cut" => Deed::Link(Weather::Cut),
        "hold" => Deed::Link(Weather::Hold(Direction::Both)),
        "hold-out" => Deed::Link(Weather::Hold(Direction::Out)),
        "hold-in" => Deed::Link(Weather::Hold(Direction::In)),
        "delay" => return Ok(Deed::Link(Weather::Delay(parse_time(needs("200ms")?)?))),
        "throttle" => return Ok(Deed::Link(Weather::Throttle(parse_rate(needs("64KiB")?)?))),
        "loss" => return Ok(Deed::Link(Weather::Loss { percent: parse_percent(needs("1%")?)? })),
        "reset" => return Ok(Deed::Link(Weather::Reset { percent: parse_percent(needs("1%")?)? })),
        "flush" => Deed::Redis(RedisDeed::Flush),
        "promote" => Deed::Redis(RedisDeed::Promote),
        _ => return Err(format!("there is no action `{action}`; take one of {ACTIONS}")),
    };
    match value {
        Some(value) => Err(format!("{action} takes no value: leave `={value}` out")),
        None => Ok(deed),
    }
}

fn check_length(action: &str, deed: Deed, lasts: Option<Duration>) -> Result<(), String> {
    match (deed, lasts) {
        (Deed::Process(ProcessDeed::Freeze), None) => {
            Err("freeze needs its length: `freeze:NAME@10s+5s`, or use stop and cont".into())
        }
        (
            Deed::Process(ProcessDeed::Stop | ProcessDeed::Cont | ProcessDeed::Restart | ProcessDeed::Start)
            | Deed::Redis(_),
            Some(_),
        ) => Err(format!("{action} is done at once: leave `+` and the time behind it out")),
        _ => Ok(()),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("`{text}` is no time; write it as 10s, 200ms or 1m"))
}

/// Bytes a second.
fn parse_rate(text: &str) -> Result<u64, String> {
    match text.parse::<ByteSize>() {
        Ok(size) if size.as_u64() > 0 => Ok(size.as_u64()),
        _ => Err(format!("`{text}` is no number of bytes a second; write it as 64KiB or 1MB")),
    }
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| format!("`{text}` is no share; write it as 1% or 0.5%"))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for StepDeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Process(ProcessDeed::Term) => "asked to end (SIGTERM)",
            Self::Process(ProcessDeed::Kill) => "killed (SIGKILL)",
            Self::Process(ProcessDeed::Stop | ProcessDeed::Freeze) => "stopped (SIGSTOP)",
            Self::Process(ProcessDeed::Cont) => "continued (SIGCONT)",
            Self::Process(ProcessDeed::Restart) => "ended and started again",
            Self::Process(ProcessDeed::Start) => "started again",
            Self::Link(Some(Weather::Cut)) => "cut",
            Self::Link(Some(Weather::Hold(_))) => "held",
            Self::Link(Some(Weather::Delay(_))) => "delayed",
            Self::Link(Some(Weather::Throttle(_))) => "throttled",
            Self::Link(Some(Weather::Loss { .. })) => "made lossy",
            Self::Link(Some(Weather::Reset { .. })) => "made to reset",
            Self::Link(None) => "healed",
            Self::Redis(RedisDeed::Flush) => "flushed",
            Self::Redis(RedisDeed::Promote) => "promoted",
        };
        f.write_str(words)
    }
}

#[cfg(test)]
mod tests;
