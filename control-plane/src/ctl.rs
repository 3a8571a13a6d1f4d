//! `tidegate-control-plane ctl …`: the API for people at a command line.
//!
//! Place in the path: a client of the API like any other. A command line becomes a request (`args`, `client`), its answer
//! becomes a table or JSON (`show`, `table`), and `--wait` follows the operation to its end (`follow`).

mod args;
mod client;
mod failure;
mod follow;
mod show;
mod table;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use tidegate_protocol::drain::OperationId;

use self::args::{Begin, Change, Cli, Command, Output, Waiting};
use self::client::Client;
use self::failure::Failure;
use self::follow::Follower;
use crate::model::{ClusterHealth, Forecast, Operation, OperationState};

/// How a command ended that got its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// As asked for.
    Good,
    /// The operation failed or was aborted, or clients are not well served.
    Bad,
}

/// Where a command writes to.
struct Terminal<'t> {
    /// Answers.
    out: &'t mut (dyn Write + Send),
    /// Progress and hints.
    err: &'t mut (dyn Write + Send),
    /// `err` is a terminal: its last line can be written anew.
    is_live: bool,
    output: Output,
}

/// Runs one command; `args` is what stands behind `ctl`.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let program = OsString::from("tidegate-control-plane ctl");
    let cli = match Cli::try_parse_from([program].into_iter().chain(args)) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` is such an error, too.
            let _ = error.print();
            return if error.use_stderr() { Failure::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(&Failure::Local(error.to_string())),
    };
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let is_live = err.is_terminal();
    let mut terminal = Terminal { out: &mut out, err: &mut err, is_live, output: cli.output };
    match runtime.block_on(execute(&cli, &mut terminal, interrupted)) {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::Bad) => Failure::BAD_END.into(),
        Err(failure) => tell(&failure),
    }
}

fn tell(failure: &Failure) -> ExitCode {
    // With standard error closed the exit code has to do.
    let _ = writeln!(io::stderr(), "{failure}");
    failure.exit_code().into()
}

async fn execute(
    cli: &Cli,
    terminal: &mut Terminal<'_>,
    interrupted: impl Future<Output = ()>,
) -> Result<End, Failure> {
    let client = Client::new(cli)?;
    match &cli.command {
        Command::Begin(begin) => {
            let operation = begin_operation(&client, begin).await?;
            let waiting = begin.common().waiting;
            conclude(&client, terminal, operation, waiting, interrupted).await
        }
        Command::Plan { what } => {
            let path = format!("/v1/operations:plan{}", force_query(what));
            let forecast: Forecast = client.post(&path, Some(&what.body()?)).await?;
            terminal.show(&forecast, show::forecast)
        }
        Command::Status { id: Some(id) } => show_operation(&client, terminal, id).await,
        Command::Status { id: None } => {
            let cluster: ClusterHealth = client.get("/v1/cluster").await?;
            terminal.show(&cluster, show::cluster)
        }
        Command::Health => {
            let cluster = client.health().await?;
            terminal.show(&cluster, show::health)?;
            Ok(if cluster.serves_well { End::Good } else { End::Bad })
        }
        Command::Nodes => {
            let cluster: ClusterHealth = client.get("/v1/cluster").await?;
            terminal.show(&cluster.nodes, |nodes| show::nodes(nodes))
        }
        Command::List(list) => {
            let page: show::Page = client.get(&list.path()).await?;
            terminal.show(&page, show::page)
        }
        Command::Watch { id, timeout } => {
            let operation: Operation = client.get(&path_of(id)).await?;
            let waiting = Waiting { wait: true, timeout: *timeout };
            conclude(&client, terminal, operation, waiting, interrupted).await
        }
        Command::Change(change) => {
            let operation = change_operation(&client, change).await?;
            terminal.show(&operation, show::operation)
        }
        Command::Tell(tell) => {
            let (verb, told) = tell.parts();
            let path = format!("{}:{verb}{}", path_of(&told.id), told.query());
            let operation: Operation = client.post(&path, None).await?;
            conclude(&client, terminal, operation, told.waiting, interrupted).await
        }
        Command::Cordon(node) => {
            let answer: show::Cordoned = client.post(&node.path("cordon"), None).await?;
            terminal.show(&answer, show::cordoned)
        }
        Command::Uncordon(node) => {
            let answer: show::Cordoned = client.post(&node.path("uncordon"), None).await?;
            terminal.show(&answer, show::cordoned)
        }
    }
}

/// Sends the same request again where no answer came: the id makes that safe.
async fn begin_operation(client: &Client, begin: &Begin) -> Result<Operation, Failure> {
    let id = begin.id()?;
    let path = format!("{}{}", path_of(&id), force_query(begin));
    client.put(&path, &begin.body()?).await
}

async fn change_operation(client: &Client, change: &Change) -> Result<Operation, Failure> {
    let path = path_of(&change.id);
    let seen: Operation = client.get(&path).await?;
    client.patch(&path, seen.revision, &change.body()?).await
}

async fn show_operation(
    client: &Client,
    terminal: &mut Terminal<'_>,
    id: &OperationId,
) -> Result<End, Failure> {
    let operation: Operation = client.get(&path_of(id)).await?;
    terminal.show(&operation, show::operation)?;
    Ok(end_of(&operation))
}

/// Shows an operation, at its end where that was asked for.
async fn conclude(
    client: &Client,
    terminal: &mut Terminal<'_>,
    operation: Operation,
    waiting: Waiting,
    interrupted: impl Future<Output = ()>,
) -> Result<End, Failure> {
    let operation = if waiting.wait {
        let mut follower = Follower::new(client, terminal);
        tokio::select! {
            ended = follower.follow(operation.clone(), waiting.timeout) => ended?,
            () = interrupted => return Err(Failure::Interrupted(operation.id)),
        }
    } else {
        operation
    };
    terminal.show(&operation, show::operation)?;
    Ok(if waiting.wait { end_of(&operation) } else { End::Good })
}

const fn end_of(operation: &Operation) -> End {
    match operation.state {
        OperationState::Failed | OperationState::Aborted => End::Bad,
        OperationState::Pending
        | OperationState::Planning
        | OperationState::Running(_)
        | OperationState::Succeeded => End::Good,
    }
}

fn path_of(id: &OperationId) -> String {
    format!("/v1/operations/{id}")
}

fn force_query(begin: &Begin) -> &'static str {
    if begin.common().force { "?force=true" } else { "" }
}

impl Terminal<'_> {
    /// Writes an answer, as JSON or for people.
    fn show<T: Serialize>(&mut self, answer: &T, as_text: impl FnOnce(&T) -> String) -> Result<End, Failure> {
        let text = match self.output {
            Output::Json => serde_json::to_string_pretty(answer).expect("answers have text for keys") + "\n",
            Output::Table => as_text(answer),
        };
        // Whoever closes the pipe early has read enough.
        match self.out.write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Local(error.to_string())),
            Ok(()) | Err(_) => Ok(End::Good),
        }
    }
}
