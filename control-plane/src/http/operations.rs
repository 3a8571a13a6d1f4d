//! The calls about operations: to begin one, to look at it, to change it, to tell it something.

use std::fmt::Write;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tidegate_protocol::drain::OperationId;
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::audit::Notes;
use super::auth::{Caller, Role};
use super::call::Call;
use super::control::{OperationsQuery, Put, Scope};
use super::cursor;
use super::document::{BeginProblems, ChangeProblems, ReadProblems};
use super::problem::Problem;
use super::request::{self, JsonBody, OperationPath, Params, check_reason, fault, in_query};
use crate::model::{Forecast, Kind, Operation, Patch, Spec};

/// Operations of a page.
pub(super) const PAGE_MAX: usize = 200;
const PAGE_DEFAULT: usize = 50;

/// Longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 255;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BeginParams {
    /// Begin although the numbers speak against it; needs the role `admin`. The same as `force` in the body.
    #[param(required = false)]
    #[serde(default)]
    force: bool,
}

/// Which operations to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// `active`: those that are not over; `finished`: those that are; `all`.
    #[param(value_type = Option<String>, default = "all")]
    #[serde(default)]
    state: ScopeParam,
    /// Only of this kind.
    kind: Option<Kind>,
    /// Operations of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// `next` of the page before, with the same other parameters.
    cursor: Option<String>,
}

/// [`Scope`] as the query has it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScopeParam {
    #[default]
    All,
    Active,
    Finished,
}

/// Why a call is made.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReasonParams {
    /// Why, for the audit: at most 256 bytes.
    #[param(max_length = 256)]
    pub(super) reason: Option<String>,
}

/// A page of operations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OperationsAnswer {
    /// They, the newest first.
    operations: Vec<Operation>,
    /// Where the next page begins: hand it back as `cursor`. Not there on the last page.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Begin an operation
///
/// The id is yours, so that the same request can be sent again: the same body is answered with the operation as it is
/// (200), another one with 409 `id_reused`. Nodes belong to one operation at a time: 409 `conflict` names the other.
/// Without room for the clients that would move it is refused with 422 and the numbers.
#[utoipa::path(
    put,
    path = "/v1/operations/{id}",
    operation_id = "put_operation",
    tag = "Operations",
    security(("token" = ["operate"])),
    params(
        ("id" = String, Path, description = "1 to 64 characters of `A-Z a-z 0-9 . _ -`.", example = "deploy-42"),
        BeginParams,
    ),
    request_body = Spec,
    responses(
        (status = 201, description = "It was taken down; the leader starts it within a second.", body = Operation,
            headers(("ETag" = String, description = "Its revision."), ("Location" = String, description = "Its path."))),
        (status = 200, description = "It was there already, with the same body.", body = Operation,
            headers(("ETag" = String, description = "Its revision."))),
        BeginProblems,
    ),
)]
pub(super) async fn put_operation(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    notes: Notes,
    OperationPath(id): OperationPath,
    Params(params): Params<BeginParams>,
    body: JsonBody,
) -> Result<Response, Problem> {
    begin(&shared, &caller, &notes, id, &params, &body).await
}

/// Begin an operation under an id of ours
///
/// With an `Idempotency-Key` the same caller's same request can be sent again. Else as `PUT`.
#[utoipa::path(
    post,
    path = "/v1/operations",
    operation_id = "post_operation",
    tag = "Operations",
    security(("token" = ["operate"])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters."),
        BeginParams,
    ),
    request_body = Spec,
    responses(
        (status = 201, description = "It was taken down; the leader starts it within a second.", body = Operation,
            headers(("ETag" = String, description = "Its revision."), ("Location" = String, description = "Its path."))),
        (status = 200, description = "It was there already, with the same key and body.", body = Operation,
            headers(("ETag" = String, description = "Its revision."))),
        BeginProblems,
    ),
)]
pub(super) async fn post_operation(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    notes: Notes,
    Params(params): Params<BeginParams>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let id = id_for(&headers, &caller)?;
    notes.subject(id.as_str());
    begin(&shared, &caller, &notes, id, &params, &body).await
}

async fn begin(
    shared: &Shared,
    caller: &Caller,
    notes: &Notes,
    id: OperationId,
    params: &BeginParams,
    body: &JsonBody,
) -> Result<Response, Problem> {
    let mut spec = body.spec()?;
    notes.reason(spec.common().reason.as_deref());
    spec.common_mut().force |= params.force;
    if spec.common().force {
        caller.check(Role::Admin)?;
    }
    match shared.control.put_operation(id, spec, caller.requester()).await? {
        Put::Created(operation) => {
            let location = format!("/v1/operations/{}", operation.id);
            let location = HeaderValue::try_from(location).expect("ids are plain ASCII");
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], answer(&operation)).into_response())
        }
        Put::Same(operation) => Ok(answer(&operation)),
    }
}

/// The id of an operation that came without one. The same key of the same caller is the same id.
fn id_for(headers: &HeaderMap, caller: &Caller) -> Result<OperationId, Problem> {
    let (prefix, bytes): (&str, Vec<u8>) = match headers.get(IDEMPOTENCY_KEY) {
        Some(key) => {
            let key = key.as_bytes();
            if !(1..=KEY_BYTES_MAX).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
                let message = format!("has to have 1 to {KEY_BYTES_MAX} visible characters");
                return Err(Problem::invalid(fault("Idempotency-Key:".to_owned(), message)));
            }
            // The length keeps "ann" with "x" apart from "an" with "nx".
            let text = [caller.name.len().to_string().as_bytes(), caller.name.as_bytes(), key].concat();
            ("key-", digest(&SHA256, &text).as_ref().to_vec())
        }
        None => {
            let mut bytes = vec![0; ID_BYTES];
            getrandom::fill(&mut bytes).expect("the kernel gives random bytes once it has booted");
            ("op-", bytes)
        }
    };
    let mut id = prefix.to_owned();
    for byte in &bytes[..ID_BYTES] {
        write!(id, "{byte:02x}").expect("a string takes everything");
    }
    Ok(OperationId::parse(&id).expect("letters, digits and a hyphen, far below 64"))
}

/// Bytes of an id that is made here: enough that no two are the same.
const ID_BYTES: usize = 12;

/// Plan without doing
///
/// Waves, time, the peak of reconnects, the room that is left, the guards as they read now. What would be refused is
/// refused here with the same numbers.
#[utoipa::path(
    post,
    path = "/v1/operations:plan",
    operation_id = "plan",
    tag = "Operations",
    security(("token" = ["view"])),
    params(BeginParams),
    request_body = Spec,
    responses((status = 200, description = "What it would do now.", body = Forecast), BeginProblems),
)]
pub(super) async fn plan(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<BeginParams>,
    body: JsonBody,
) -> Result<Json<Forecast>, Problem> {
    let mut spec = body.spec()?;
    spec.common_mut().force |= params.force;
    Ok(Json(shared.control.plan(spec).await?))
}

/// List operations
///
/// The newest first. Those that are over are kept for 30 days, 1,000 of them at most.
#[utoipa::path(
    get,
    path = "/v1/operations",
    operation_id = "operations",
    tag = "Operations",
    security(("token" = ["view"])),
    params(ListParams),
    responses((status = 200, description = "A page of operations.", body = OperationsAnswer), ReadProblems),
)]
pub(super) async fn operations(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ListParams>,
) -> Result<Json<OperationsAnswer>, Problem> {
    let limit = match params.limit.as_deref().map_or(Ok(PAGE_DEFAULT), str::parse) {
        Ok(limit) if (1..=PAGE_MAX).contains(&limit) => limit,
        Ok(_) | Err(_) => return Err(in_query("limit", format!("must be a number from 1 to {PAGE_MAX}"))),
    };
    let scope = match params.state {
        ScopeParam::All => Scope::All,
        ScopeParam::Active => Scope::Active,
        ScopeParam::Finished => Scope::Finished,
    };
    let after = params.cursor.as_deref().map(cursor::decode).transpose()?;
    let page = shared.control.operations(OperationsQuery { scope, kind: params.kind, after, limit }).await?;
    let next = page.next.as_ref().map(cursor::encode);
    Ok(Json(OperationsAnswer { operations: page.operations, next }))
}

/// Change an operation while it runs
///
/// A key that is not there changes nothing; `null` goes back to the default.
#[utoipa::path(
    patch,
    path = "/v1/operations/{id}",
    operation_id = "change_operation",
    tag = "Operations",
    security(("token" = ["operate"])),
    params(
        ("id" = String, Path, description = "The operation's id.", example = "deploy-42"),
        ("If-Match" = String, Header, description = "The `ETag` that GET gave; `*` for whatever it is.", example = "\"7\""),
    ),
    request_body = Patch,
    responses(
        (status = 200, description = "The operation as it is now.", body = Operation,
            headers(("ETag" = String, description = "Its revision."))),
        ChangeProblems,
    ),
)]
pub(super) async fn change_operation(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    OperationPath(id): OperationPath,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let expected = request::expected(&headers)?;
    let patch = body.parse::<Patch>()?;
    check_patch(&patch)?;
    let operation = shared.control.change(id, expected, patch, caller.requester()).await?;
    Ok(answer(&operation))
}

/// The same rules as for the parameters of a new operation.
fn check_patch(patch: &Patch) -> Result<(), Problem> {
    let require = |holds: bool, key: &str, message: &str| {
        if holds { Ok(()) } else { Err(Problem::invalid(fault(format!("/{key}"), message.to_owned()))) }
    };
    if *patch == Patch::default() {
        return require(false, "", "nothing to change: give `maxRate`, `deadline`, `paused` or others");
    }
    let is_rate =
        |rate: Option<Option<f64>>| rate.flatten().is_none_or(|rate| rate.is_finite() && rate > 0.0);
    let above_zero = "a rate is a number of clients a second, above 0; to stop, pause it";
    require(is_rate(patch.rate), "rate", above_zero)?;
    require(is_rate(patch.max_rate), "maxRate", above_zero)?;
    require(patch.max_displaced != Some(Some(0)), "maxDisplaced", "at least 1; to stop, pause it")?;
    let window_fits = patch.window.is_none_or(|window| window > crate::model::Period::ZERO);
    require(window_fits, "window", "more than no time")?;
    let parallel_fits = patch.max_parallel.is_none_or(|amount| amount.of_rounded_up(100) > 0);
    require(parallel_fits, "maxParallel", "at least 1")
}

/// `POST /v1/operations/{id}:pause` and its likes; [`document`](super::document) describes each.
pub(super) async fn command(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    caller: Result<Caller, Problem>,
    notes: Notes,
    OperationPath(id): OperationPath,
    Params(params): Params<ReasonParams>,
) -> Result<Response, Problem> {
    let Some(command) = call.command() else {
        let detail =
            "an operation can be told `:pause`, `:resume`, `:abort`, `:force` or `:retry`; PUT begins one";
        return Err(Problem::not_found(detail));
    };
    let caller = caller?;
    check_reason(params.reason.as_deref(), "?reason")?;
    notes.reason(params.reason.as_deref());
    let operation = shared.control.command(id, command, caller.requester()).await?;
    Ok(answer(&operation))
}

/// An operation with its revision as `ETag`.
pub(super) fn answer(operation: &Operation) -> Response {
    ([(header::ETAG, etag(operation.revision))], Json(operation)).into_response()
}

pub(super) fn etag(revision: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{revision}\"")).expect("digits and quotes")
}

/// 404 for an operation.
pub(super) fn no_operation(id: &OperationId) -> Problem {
    Problem::not_found(format!(
        "there is no operation {id}, or none any more: GET /v1/operations lists those that are kept"
    ))
}
