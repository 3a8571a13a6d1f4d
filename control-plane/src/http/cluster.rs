//! The calls about the cluster and its nodes. Where there is no Kubernetes, `pods` is another word for `nodes`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::audit::Notes;
use super::auth::Caller;
use super::call::Call;
use super::control::Cordon;
use super::document::ReadProblems;
use super::operations::ReasonParams;
use super::problem::Problem;
use super::request::{NodePath, Params, check_reason};
use crate::model::{ClusterHealth, NodeHealth};

/// All nodes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodesAnswer {
    /// They, by name.
    nodes: Vec<NodeHealth>,
}

/// What a node was told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "node": "gw-1", "cordoned": true }))]
pub(super) struct CordonAnswer {
    /// The node.
    #[schema(value_type = String)]
    node: Arc<str>,
    /// Whether it is to take in no clients; it is told within a second.
    cordoned: bool,
}

/// See the cluster
///
/// Every node with its last report, the leader, the budget, the backends and the operations that are not over.
#[utoipa::path(
    get,
    path = "/v1/cluster",
    operation_id = "cluster",
    tag = "Cluster",
    security(("token" = ["view"])),
    responses((status = 200, description = "The cluster as this replica sees it.", body = ClusterHealth), ReadProblems),
)]
pub(super) async fn cluster(State(shared): State<Arc<Shared>>) -> Json<Arc<ClusterHealth>> {
    Json(latest(&shared))
}

/// Ask whether clients are well served
///
/// 200 if they are, else 503; the document's `complaints` say why not. A severe one is one that clients feel.
#[utoipa::path(
    get,
    path = "/v1/health",
    operation_id = "health",
    tag = "Cluster",
    security(("token" = ["view"])),
    responses(
        (status = 200, description = "Clients are well served.", body = ClusterHealth),
        (status = 503, description = "They are not.", body = ClusterHealth),
    ),
)]
pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let health = latest(&shared);
    let status = if health.serves_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

/// List nodes
///
/// Every node with its last report, by name.
#[utoipa::path(
    get,
    path = "/v1/nodes",
    operation_id = "nodes",
    tag = "Nodes",
    security(("token" = ["view"])),
    responses((status = 200, description = "The nodes.", body = NodesAnswer), ReadProblems),
)]
pub(super) async fn nodes(State(shared): State<Arc<Shared>>) -> Json<NodesAnswer> {
    Json(NodesAnswer { nodes: latest(&shared).nodes.clone() })
}

/// List pods
///
/// The same as `GET /v1/nodes`: a pod's name is its node's.
#[utoipa::path(
    get,
    path = "/v1/pods",
    operation_id = "pods",
    tag = "Nodes",
    security(("token" = ["view"])),
    responses((status = 200, description = "The nodes.", body = NodesAnswer), ReadProblems),
)]
pub(super) async fn pods(state: State<Arc<Shared>>) -> Json<NodesAnswer> {
    nodes(state).await
}

/// Look at a node
#[utoipa::path(
    get,
    path = "/v1/nodes/{node}",
    operation_id = "node",
    tag = "Nodes",
    security(("token" = ["view"])),
    params(("node" = String, Path, description = "The node's name.", example = "gw-1")),
    responses((status = 200, description = "The node.", body = NodeHealth), ReadProblems),
)]
pub(super) async fn node(
    State(shared): State<Arc<Shared>>,
    NodePath(name): NodePath,
) -> Result<Json<NodeHealth>, Problem> {
    let found = latest(&shared).nodes.iter().find(|node| node.name == name).cloned();
    found.map(Json).ok_or_else(|| {
        Problem::not_found(format!("there is no node {name}, or none any more: GET /v1/nodes lists them"))
    })
}

/// Look at a pod
#[utoipa::path(
    get,
    path = "/v1/pods/{pod}",
    operation_id = "pod",
    tag = "Nodes",
    security(("token" = ["view"])),
    params(("pod" = String, Path, description = "The pod's name.", example = "gw-1")),
    responses((status = 200, description = "The node.", body = NodeHealth), ReadProblems),
)]
pub(super) async fn pod(state: State<Arc<Shared>>, path: NodePath) -> Result<Json<NodeHealth>, Problem> {
    node(state, path).await
}

/// `POST /v1/nodes/{node}:cordon` and its likes; [`document`](super::document) describes each.
pub(super) async fn cordon(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    caller: Result<Caller, Problem>,
    notes: Notes,
    NodePath(node): NodePath,
    Params(params): Params<ReasonParams>,
) -> Result<Json<CordonAnswer>, Problem> {
    let cordon = match call {
        Call::CordonNode | Call::CordonPod => Cordon::On,
        Call::UncordonNode | Call::UncordonPod => Cordon::Off,
        _ => return Err(Problem::not_found("a node can be told `:cordon` or `:uncordon`")),
    };
    let caller = caller?;
    check_reason(params.reason.as_deref(), "?reason")?;
    notes.reason(params.reason.as_deref());
    shared.control.cordon(Arc::clone(&node), cordon, caller.requester()).await?;
    Ok(Json(CordonAnswer { node, cordoned: cordon == Cordon::On }))
}

fn latest(shared: &Shared) -> Arc<ClusterHealth> {
    Arc::clone(&shared.control.watch_cluster().borrow())
}
