//! The calls of the API: one table for the guard, the metrics, the audit and the check of the description.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use super::auth::Role;
use crate::model::Command;

/// Longest name that is quoted in the audit.
const SUBJECT_CHARS_MAX: usize = 256;

/// Something that can be asked for on the API port.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Call {
    /// `PUT /v1/operations/{id}`
    PutOperation,
    /// `POST /v1/operations`
    PostOperation,
    /// `POST /v1/operations:plan`
    Plan,
    /// `GET /v1/operations`
    Operations,
    /// `GET /v1/operations/{id}`
    Operation,
    /// `GET /v1/operations/{id}/events`
    OperationEvents,
    /// `PATCH /v1/operations/{id}`
    ChangeOperation,
    /// `POST /v1/operations/{id}:pause`
    Pause,
    /// `POST /v1/operations/{id}:resume`
    Resume,
    /// `POST /v1/operations/{id}:abort`
    Abort,
    /// `POST /v1/operations/{id}:force`
    Force,
    /// `POST /v1/operations/{id}:retry`
    Retry,
    /// `GET /v1/nodes`
    Nodes,
    /// `GET /v1/nodes/{node}`
    Node,
    /// `POST /v1/nodes/{node}:cordon`
    CordonNode,
    /// `POST /v1/nodes/{node}:uncordon`
    UncordonNode,
    /// `GET /v1/pods`
    Pods,
    /// `GET /v1/pods/{pod}`
    Pod,
    /// `POST /v1/pods/{pod}:cordon`
    CordonPod,
    /// `POST /v1/pods/{pod}:uncordon`
    UncordonPod,
    /// `GET /v1/cluster`
    Cluster,
    /// `GET /v1/health`
    Health,
    /// `GET /v1/health/events`
    HealthEvents,
    /// The dashboard, `GET /openapi.json` and `GET /docs`
    Pages,
    /// Whatever is no call.
    Other,
}

/// What the table says of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallRow {
    /// The metric label, the audit's `what` and the description's `operationId`.
    pub(super) name: &'static str,
    /// Method and path as the description has them; `None`: not one path.
    pub(super) path: Option<(&'static str, &'static str)>,
    /// The role it needs.
    pub(super) access: Access,
    /// Whether it changes something, and has a line in the audit.
    pub(super) effect: Effect,
}

/// Who may make a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// Everyone who reaches the port.
    Open,
    /// Who has this role, or a higher one.
    Needs(Role),
}

/// Whether a call changes something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    Looks,
    Changes,
}

impl Call {
    /// Every call, in the order in which readers should meet them.
    pub(super) const ALL: [Self; 25] = [
        Self::PutOperation,
        Self::PostOperation,
        Self::Plan,
        Self::Operations,
        Self::Operation,
        Self::OperationEvents,
        Self::ChangeOperation,
        Self::Pause,
        Self::Resume,
        Self::Abort,
        Self::Force,
        Self::Retry,
        Self::Nodes,
        Self::Node,
        Self::CordonNode,
        Self::UncordonNode,
        Self::Pods,
        Self::Pod,
        Self::CordonPod,
        Self::UncordonPod,
        Self::Cluster,
        Self::Health,
        Self::HealthEvents,
        Self::Pages,
        Self::Other,
    ];

    /// The call that the router found under `route`, asked for as `path`.
    pub(super) fn of(method: &Method, route: Option<&str>, path: &str) -> Self {
        let Some(route) = route else { return Self::Other };
        if !route.starts_with("/v1/") {
            return Self::Pages;
        }
        // HEAD is answered as GET.
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        // The router knows no verbs: they are the end of the last part of the path.
        let verb = if method == "POST" && route.ends_with('}') { verb(path) } else { String::new() };
        let path = format!("{route}{verb}");
        Self::ALL.into_iter().find(|call| call.row().path == Some((method, &path))).unwrap_or(Self::Other)
    }

    /// The operation or node that `path` names.
    pub(super) fn subject(self, path: &str) -> Option<String> {
        let (_, route) = self.row().path?;
        let is_named = route.contains('{');
        let named = path.split('/').nth(3).filter(|_| is_named)?;
        let named = percent_decode_str(named).decode_utf8_lossy();
        let named = if route.contains("}:") {
            named.rsplit_once(':').map_or(&*named, |(name, _)| name)
        } else {
            &named
        };
        Some(named.chars().take(SUBJECT_CHARS_MAX).collect())
    }

    /// What an operation is told by this call.
    pub(super) const fn command(self) -> Option<Command> {
        match self {
            Self::Pause => Some(Command::Pause),
            Self::Resume => Some(Command::Resume),
            Self::Abort => Some(Command::Abort),
            Self::Force => Some(Command::Force),
            Self::Retry => Some(Command::Retry),
            _ => None,
        }
    }

    /// What there is to know of the call.
    pub(super) const fn row(self) -> CallRow {
        use Effect::{Changes, Looks};
        use Role::{Admin, Operate, View};

        let (name, method, path, role, effect) = match self {
            Self::PutOperation => ("put_operation", "PUT", "/v1/operations/{id}", Operate, Changes),
            Self::PostOperation => ("post_operation", "POST", "/v1/operations", Operate, Changes),
            Self::Plan => ("plan", "POST", "/v1/operations:plan", View, Looks),
            Self::Operations => ("operations", "GET", "/v1/operations", View, Looks),
            Self::Operation => ("operation", "GET", "/v1/operations/{id}", View, Looks),
            Self::OperationEvents => ("operation_events", "GET", "/v1/operations/{id}/events", View, Looks),
            Self::ChangeOperation => ("change_operation", "PATCH", "/v1/operations/{id}", Operate, Changes),
            Self::Pause => ("pause", "POST", "/v1/operations/{id}:pause", Operate, Changes),
            Self::Resume => ("resume", "POST", "/v1/operations/{id}:resume", Operate, Changes),
            Self::Abort => ("abort", "POST", "/v1/operations/{id}:abort", Operate, Changes),
            Self::Force => ("force", "POST", "/v1/operations/{id}:force", Admin, Changes),
            Self::Retry => ("retry", "POST", "/v1/operations/{id}:retry", Operate, Changes),
            Self::Nodes => ("nodes", "GET", "/v1/nodes", View, Looks),
            Self::Node => ("node", "GET", "/v1/nodes/{node}", View, Looks),
            Self::CordonNode => ("cordon_node", "POST", "/v1/nodes/{node}:cordon", Operate, Changes),
            Self::UncordonNode => ("uncordon_node", "POST", "/v1/nodes/{node}:uncordon", Operate, Changes),
            Self::Pods => ("pods", "GET", "/v1/pods", View, Looks),
            Self::Pod => ("pod", "GET", "/v1/pods/{pod}", View, Looks),
            Self::CordonPod => ("cordon_pod", "POST", "/v1/pods/{pod}:cordon", Operate, Changes),
            Self::UncordonPod => ("uncordon_pod", "POST", "/v1/pods/{pod}:uncordon", Operate, Changes),
            Self::Cluster => ("cluster", "GET", "/v1/cluster", View, Looks),
            Self::Health => ("health", "GET", "/v1/health", View, Looks),
            Self::HealthEvents => ("health_events", "GET", "/v1/health/events", View, Looks),
            Self::Pages => return CallRow::open("pages"),
            Self::Other => return CallRow::open("other"),
        };
        CallRow { name, path: Some((method, path)), access: Access::Needs(role), effect }
    }
}

impl CallRow {
    const fn open(name: &'static str) -> Self {
        Self { name, path: None, access: Access::Open, effect: Effect::Looks }
    }
}

/// `:pause` of `/v1/operations/deploy-42:pause`, whose colon clients may have encoded.
fn verb(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    let last = percent_decode_str(last).decode_utf8_lossy();
    last.rsplit_once(':').map(|(_, verb)| format!(":{verb}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_method_route_and_verb() {
        let of = |method: Method, route, path| Call::of(&method, Some(route), path);

        let route = "/v1/operations/{id}";
        assert_eq!(of(Method::PUT, route, "/v1/operations/a"), Call::PutOperation);
        assert_eq!(of(Method::HEAD, route, "/v1/operations/a"), Call::Operation);
        assert_eq!(of(Method::POST, route, "/v1/operations/a:pause"), Call::Pause);
        assert_eq!(of(Method::POST, route, "/v1/operations/a%3Aforce"), Call::Force);
        assert_eq!(of(Method::POST, route, "/v1/operations/a:burn"), Call::Other);
        assert_eq!(of(Method::POST, route, "/v1/operations/a"), Call::Other);
        assert_eq!(of(Method::POST, "/v1/operations:plan", "/v1/operations:plan"), Call::Plan);
        assert_eq!(of(Method::GET, "/docs", "/docs"), Call::Pages);
        assert_eq!(Call::of(&Method::GET, None, "/nowhere"), Call::Other);
    }

    #[test]
    fn the_subject_of_a_call_is_what_its_path_names() {
        assert_eq!(Call::Pause.subject("/v1/operations/a%3Apause").as_deref(), Some("a"));
        assert_eq!(Call::PutOperation.subject("/v1/operations/a").as_deref(), Some("a"));
        assert_eq!(Call::CordonNode.subject("/v1/nodes/host:80:cordon").as_deref(), Some("host:80"));
        assert_eq!(Call::PostOperation.subject("/v1/operations"), None);
        let long = "n".repeat(SUBJECT_CHARS_MAX + 1);
        assert_eq!(Call::Node.subject(&format!("/v1/nodes/{long}")).unwrap().len(), SUBJECT_CHARS_MAX);
    }

    #[test]
    fn every_call_is_in_the_list_once() {
        let names: std::collections::BTreeSet<_> = Call::ALL.iter().map(|call| call.row().name).collect();
        assert_eq!(names.len(), Call::ALL.len());
    }
}
