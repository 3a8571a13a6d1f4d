//! The drain's paths on the admin port: where the node stands, what it is to do, whom it is to refuse.
//!
//! Place in the data path: none. Bodies and answers are words of `tidegate_protocol::drain`; a refusal is a problem
//! document (RFC 9457) whose `code` programs look at.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::json;
use tidegate_protocol::drain::{Blocklist, DrainOrder};
use tidegate_service::admin::{Extension, Probe};

use super::machine::Refusal;
use super::report::slow_addresses;
use crate::probe::GatewayProbe;

/// A list of as many addresses as can be blocked fits.
const BODY_BYTES_MAX: usize = 96 << 10;

const PATHS: &str = "\
GET /drain              phase, counts, deadline and load (JSON)
PUT /drain/order        what the control plane wants: phase, rate, deadline (JSON)
PUT /admission/blocked  addresses to be refused for a while (JSON)
";

/// The paths of a gateway's drain.
pub(crate) fn extension(probe: Arc<GatewayProbe>) -> Extension {
    let routes = Router::new()
        .route("/drain", get(report))
        .route("/drain/order", put(order))
        .route("/admission/blocked", put(block))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(probe);
    Extension { routes, paths: PATHS }
}

type Ask = State<Arc<GatewayProbe>>;

async fn report(State(probe): Ask) -> Response {
    let mut report = probe.node.drain.report(&probe.node, probe.ready());
    report.slow_addresses = slow_addresses(&probe.node).await;
    Json(report).into_response()
}

async fn order(State(probe): Ask, body: Bytes) -> Response {
    let order: DrainOrder = match read(&body) {
        Ok(order) => order,
        Err(refused) => return refuse(&refused),
    };
    match probe.node.drain.handle_order(order) {
        Ok(()) => Json(probe.node.drain.report(&probe.node, probe.ready())).into_response(),
        Err(refused) => refuse(&refused),
    }
}

async fn block(State(probe): Ask, body: Bytes) -> Response {
    let list: Blocklist = match read(&body) {
        Ok(list) => list,
        Err(refused) => return refuse(&refused),
    };
    match probe.node.drain.blocked.replace(&list, Instant::now()) {
        Ok(()) => Json(probe.node.drain.report(&probe.node, probe.ready())).into_response(),
        Err(refused) => refuse(&refused),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Senseless(error.to_string()))
}

fn refuse(refused: &Refusal) -> Response {
    let status = match refused {
        Refusal::Senseless(_) => StatusCode::BAD_REQUEST,
        Refusal::StaleEpoch { .. } | Refusal::Owned { .. } | Refusal::ShuttingDown => StatusCode::CONFLICT,
    };
    let mut problem = json!({
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": refused.code(),
        "detail": refused.to_string(),
    });
    match refused {
        Refusal::StaleEpoch { epoch, seq } => {
            problem["epoch"] = json!(epoch);
            problem["seq"] = json!(seq);
        }
        Refusal::Owned { op } => problem["op"] = json!(op),
        Refusal::ShuttingDown | Refusal::Senseless(_) => {}
    }
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, headers, problem.to_string()).into_response()
}
