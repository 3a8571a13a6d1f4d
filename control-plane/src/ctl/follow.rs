//! `--wait`: follows an operation to its end and shows how far it is.
//!
//! It asks for the next revision again and again, so it also lives through a restart of the replica that it asks.

use std::time::{Duration, Instant};

use super::client::Client;
use super::failure::Failure;
use super::show::{share_done, state_with_conditions};
use super::table::count;
use super::{Terminal, path_of};
use crate::model::{Operation, Period};

/// How long one question waits for a change.
const QUESTION_WAIT: Duration = Duration::from_secs(20);

/// How long nobody may answer before following is given up: longer than a replica takes to be replaced.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Pause before a question is asked again that nobody answered, and between two that were.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const REFRESH_DELAY: Duration = Duration::from_millis(200);

/// Characters of the bar.
const BAR_WIDTH: usize = 24;

/// Follows operations, one at a time.
pub(super) struct Follower<'f, 't> {
    client: &'f Client,
    terminal: &'f mut Terminal<'t>,
    told: String,
}

impl<'f, 't> Follower<'f, 't> {
    pub(super) fn new(client: &'f Client, terminal: &'f mut Terminal<'t>) -> Self {
        Self { client, terminal, told: String::new() }
    }

    /// The operation at its end.
    pub(super) async fn follow(
        &mut self,
        mut operation: Operation,
        timeout: Option<Period>,
    ) -> Result<Operation, Failure> {
        let until = timeout.map(|timeout| Instant::now() + timeout.duration());
        let mut heard = Instant::now();
        loop {
            self.tell(&operation);
            if operation.state.is_terminal() {
                self.end_line();
                return Ok(operation);
            }
            let left = until.map_or(QUESTION_WAIT, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                self.end_line();
                return Err(Failure::TimedOut(operation.id));
            }
            // Whole seconds, rounded up: a question that waits for no time would be asked without end.
            let wait = Duration::from_secs(left.min(QUESTION_WAIT).as_secs().max(1));
            match self.client.change_of(&path_of(&operation.id), operation.revision, wait).await {
                Ok(changed) => {
                    heard = Instant::now();
                    operation = changed.unwrap_or(operation);
                    tokio::time::sleep(REFRESH_DELAY).await;
                }
                Err(failure) if failure.may_pass() && heard.elapsed() < SILENCE_MAX => {
                    self.write("no answer; asking again");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(failure) => {
                    self.end_line();
                    return Err(failure);
                }
            }
        }
    }

    fn tell(&mut self, operation: &Operation) {
        let text = if self.terminal.is_live { bar(operation) } else { milestone(operation) };
        self.write(&text);
    }

    /// On a terminal over the line that stands there, else as a line of its own; nothing twice.
    fn write(&mut self, text: &str) {
        if text == self.told {
            return;
        }
        text.clone_into(&mut self.told);
        // Progress that nobody can see is none that is missed.
        let _ = if self.terminal.is_live {
            write!(self.terminal.err, "\r\x1b[K{text}").and_then(|()| self.terminal.err.flush())
        } else {
            writeln!(self.terminal.err, "{text}")
        };
    }

    fn end_line(&mut self) {
        if self.terminal.is_live {
            let _ = writeln!(self.terminal.err);
        }
    }
}

/// `[######------------------]  25 %  Running (Draining)  1,500 moved, 3 away, 1 of 4 nodes over`.
fn bar(operation: &Operation) -> String {
    let share = share_done(operation).clamp(0.0, 1.0);
    let filled = (share * BAR_WIDTH as f64) as usize;
    let counters = &operation.counters;
    format!(
        "[{}{}] {:>3.0} %  {}  {} moved, {} away, {} of {} nodes over",
        "#".repeat(filled),
        "-".repeat(BAR_WIDTH - filled),
        share * 100.0,
        state_with_conditions(operation),
        count(counters.moved),
        count(counters.displaced),
        counters.nodes_over,
        counters.nodes,
    )
}

/// What is worth a line in a log.
fn milestone(operation: &Operation) -> String {
    let counters = &operation.counters;
    let nodes = format!("{} of {} nodes over", counters.nodes_over, counters.nodes);
    format!("{}: {}, {nodes}", operation.id, state_with_conditions(operation))
}

#[cfg(test)]
mod tests {
    use super::super::tests::operation_at;
    use super::*;

    #[test]
    fn the_bar_grows_with_the_clients_that_have_moved() {
        let text = bar(&operation_at(50, 100));
        assert!(text.starts_with("[############------------]  50 %  Running (Draining)  50 moved"), "{text}");
        assert!(bar(&operation_at(0, 100)).contains("[########################] 100 %"));
    }
}
