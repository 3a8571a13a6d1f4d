//! Several commands in one request, each with a result of its own.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::Shared;
use super::answers::{BatchAnswer, BatchResult};
use super::bodies::{BatchBody, BatchCommand};
use super::document::CommandProblems;
use super::guard::Caller;
use super::problem::Problem;
use super::request::{JsonBody, Trace, parse};
use crate::config::api::Right;

/// Carry out several commands
///
/// Takes at most 1,000 commands and carries them out one after the other, so messages on one channel keep their order.
/// One that fails does not stop those behind it: the results, one for each command and in the same order, say what became
/// of it. Each command needs the right that its own call needs.
#[utoipa::path(
    post,
    path = "/v1/batch",
    tag = "Messages",
    security(("key" = [])),
    params(("traceparent" = Option<String>, Header, description = "W3C trace context: the messages join this trace.")),
    request_body = BatchBody<'_>,
    responses((status = 200, description = "What became of each command.", body = BatchAnswer), CommandProblems),
)]
pub(super) async fn batch(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    trace: Trace,
    body: JsonBody,
) -> Result<Json<BatchAnswer>, Problem> {
    let commands = body.parse::<BatchBody<'_>>()?.commands.into_inner();
    let mut results = Vec::with_capacity(commands.len());
    for (index, command) in commands.into_iter().enumerate() {
        let result = match parse::<BatchCommand>(command.get()) {
            Ok(command) => {
                let name = command.name();
                carry_out(&shared, &caller, &trace, command)
                    .await
                    .map_err(|problem| problem.below(&format!("/commands/{index}/{name}")))
            }
            Err(problem) => Err(problem.below(&format!("/commands/{index}"))),
        };
        results.push(result.unwrap_or_else(BatchResult::Error));
    }
    Ok(Json(BatchAnswer { results }))
}

async fn carry_out(
    shared: &Shared,
    caller: &Caller,
    Trace(trace): &Trace,
    command: BatchCommand,
) -> Result<BatchResult, Problem> {
    caller.check(command.right())?;
    let (services, data_bytes_max) = (&shared.services, shared.limits.data_bytes_max);
    Ok(match command {
        BatchCommand::Publish(body) => {
            let publish = body.into_publish(data_bytes_max, trace.clone())?;
            BatchResult::Publish(services.publish(publish).await?)
        }
        BatchCommand::Send(body) => BatchResult::Send(services.send(body.into_send(data_bytes_max)?).await?),
        BatchCommand::Subscribe(body) => {
            BatchResult::Subscribe(services.subscribe(body.into_change()?).await?)
        }
        BatchCommand::Unsubscribe(body) => {
            BatchResult::Unsubscribe(services.unsubscribe(body.into_change()?).await?)
        }
        BatchCommand::Disconnect(body) => {
            BatchResult::Disconnect(services.disconnect(body.into_disconnect()?).await?)
        }
    })
}

impl BatchCommand {
    /// The one key of its object.
    const fn name(&self) -> &'static str {
        match self {
            Self::Publish(_) => "publish",
            Self::Send(_) => "send",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Disconnect(_) => "disconnect",
        }
    }

    const fn right(&self) -> Right {
        match self {
            Self::Publish(_) => Right::Publish,
            Self::Send(_) => Right::Send,
            Self::Subscribe(_) | Self::Unsubscribe(_) => Right::Subscribe,
            Self::Disconnect(_) => Right::Disconnect,
        }
    }
}
