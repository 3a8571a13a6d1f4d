//! Who carries the faults out: a thread of its own, because starting a process again takes its time and the clients must not
//! wait for it.
//!
//! Place in the data path: none; `verify` tells it when the first message is due, and asks at the end what became of it.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

use super::Stage;
use crate::clock::Nanos;
use crate::failure::Failure;
use crate::fault::{Fault, Step};

/// A stage whose faults are on their way.
#[derive(Debug)]
pub(crate) struct Stagehand {
    thread: JoinHandle<(Stage, Vec<Done>)>,
    /// Dropped: no further step is taken.
    stop: Sender<()>,
}

/// A step that was taken.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Done {
    /// The fault it is a part of, as it was written.
    pub(crate) fault: String,
    /// What was done to whom.
    pub(crate) step: String,
    /// When, in seconds from the first message.
    pub(crate) at_seconds: f64,
    /// When it was over: a process that was started again is ready.
    pub(crate) done_at_seconds: f64,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
    /// Was everything as before after it?
    pub(crate) heals: bool,
    #[serde(skip)]
    pub(crate) done_at: Nanos,
}

impl Stagehand {
    /// Takes each step when it is due, counted from now. `respawns`: starts gateways again that have ended well by themselves.
    pub(crate) fn begin(mut stage: Stage, faults: &[Fault], respawns: bool) -> Self {
        let mut steps: Vec<Step> = faults.iter().flat_map(Fault::steps).collect();
        steps.sort_by_key(|step| step.at);
        let from = Nanos::now();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut steps = steps.into_iter().peekable();
            let mut done = Vec::new();
            loop {
                let wait = match steps.peek() {
                    Some(step) => Duration::from_nanos((from + step.at).since(Nanos::now())),
                    None if respawns => LOOK,
                    None => break,
                };
                let wait = if respawns { wait.min(LOOK) } else { wait };
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                if respawns {
                    stage.respawn();
                }
                if let Some(step) = steps.next_if(|step| Nanos::now() >= from + step.at) {
                    done.push(take(&mut stage, step, from));
                }
            }
            (stage, done)
        });
        Self { thread, stop }
    }

    /// No more steps; gives the stage back, and what was done.
    pub(crate) fn finish(self) -> Result<(Stage, Vec<Done>), Failure> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|_| Failure::Stage("the thread that carries the faults out panicked".into()))
    }
}

/// How often ended processes are looked for.
const LOOK: Duration = Duration::from_millis(50);

fn take(stage: &mut Stage, step: Step, from: Nanos) -> Done {
    let at = Nanos::now();
    let failure = stage.carry_out(&step).err();
    let done_at = Nanos::now();
    Done {
        fault: step.fault,
        step: format!("{} {}", step.name, step.what),
        at_seconds: seconds(at.since(from)),
        done_at_seconds: seconds(done_at.since(from)),
        failure,
        heals: step.heals,
        done_at,
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}
