//! The API's description as OpenAPI 3.1: collected from the handlers and their types, served, committed and rendered.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_service::http::DocsPage;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Header, HeaderBuilder, HttpMethod, InfoBuilder, LicenseBuilder,
    ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
    ResponsesBuilder, Type,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::call::{Access, Call};
use super::cluster::CordonAnswer;
use super::problem::{Fault, PROBLEM_JSON, Problem};

const DESCRIPTION: &str = "\
Drains, rollouts and rebalances of the gateways, and the cluster's health. Every call carries \
`Authorization: Bearer TOKEN` with a token of `[[auth.tokens]]`; the role that stands beside a call, or a higher one, may \
make it: `view`, `operate`, `admin`.

Bodies and answers are JSON. A field or parameter that is not known is refused, so that slips are told. A refusal is a \
problem as RFC 9457 defines it: programs look at its `code`, people at its `detail`, which says what to do, and `details` \
has the numbers. After 503 wait as long as `Retry-After` says. Times in documents are Unix milliseconds; periods are text \
such as `90s`.";

/// How calls that begin something may be refused.
pub(super) struct BeginProblems;

/// How calls that change something may be refused.
pub(super) struct ChangeProblems;

/// How calls that look may be refused.
pub(super) struct ReadProblems;

/// Everything but the calls, which the router adds.
pub(super) fn without_calls() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Tidegate control plane API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license))
        .build();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of `[[auth.tokens]]`, or of a Kubernetes service account where that is switched on. What a call names \
             here is the role that it needs.",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme("token", SecurityScheme::Http(token))
        .schema(Problem::name(), Problem::schema())
        .schema(Fault::name(), Fault::schema())
        .schema(CordonAnswer::name(), CordonAnswer::schema())
        .responses_from_iter(REFUSALS.iter().map(|refusal| (refusal.name, refusal.response())))
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Adds the calls that the router cannot tell apart: verbs at the end of a path.
pub(super) fn add_verbs(document: &mut OpenApi) {
    for verb in VERBS {
        let row = verb.call.row();
        let (_, path) = row.path.expect("verbs have a path");
        document.paths.add_path_operation(path, vec![HttpMethod::Post], verb.operation(row.name, path));
    }
}

/// The description as it is served at `/openapi.json` and committed as `docs/control-plane-openapi.json`.
pub(super) fn to_value(document: &OpenApi) -> Value {
    let mut value = serde_json::to_value(document).expect("a description is made of strings and numbers");
    // In a request everything but `kind` may be left out, and the answers' types are the same.
    for name in ["Common", "DrainSpec", "RolloutSpec", "RebalanceSpec", "Guards", "Targets"] {
        if let Some(schema) = value["components"]["schemas"][name].as_object_mut() {
            relax(schema);
        }
    }
    value["components"]["schemas"]["Spec"]["example"] = json!({
        "kind": "rollout", "mode": "steer", "maxRate": 200, "maxParallel": "25%", "reason": "version 1.4"
    });
    value["components"]["schemas"]["Patch"]["example"] = json!({ "maxRate": 50, "deadline": "20m" });
    value
}

fn relax(schema: &mut serde_json::Map<String, Value>) {
    schema.remove("required");
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        part.as_object_mut().map(relax);
    }
}

/// As text.
pub(super) fn to_json(description: &Value) -> String {
    let mut json = serde_json::to_string_pretty(description).expect("a value can be written");
    json.push('\n');
    json
}

/// As the page that is served at `/docs`.
pub(super) fn to_page(description: &Value) -> String {
    let mut paths = Vec::new();
    for (_, path) in Call::ALL.into_iter().filter_map(|call| call.row().path) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    DocsPage { description, paths: &paths, without_right: "open", problem: &Problem::name() }.render()
}

/// A verb as it is described.
struct Verb {
    call: Call,
    tag: &'static str,
    answer: &'static str,
    summary: &'static str,
    description: &'static str,
}

impl Verb {
    fn operation(&self, name: &str, path: &str) -> Operation {
        let Access::Needs(role) = self.call.row().access else { unreachable!("verbs change something") };
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(self.answer))).build();
        let answer =
            ResponseBuilder::new().description("What it is now.").content("application/json", content);
        let subject = path.split(['{', '}']).nth(1).expect("verbs are told to something");
        let refusals = ChangeProblems::responses().into_iter().filter(|(status, _)| !is_of_bodies(status));
        let responses = ResponsesBuilder::new().response("200", answer.build()).responses_from_iter(refusals);
        OperationBuilder::new()
            .operation_id(Some(name))
            .tag(self.tag)
            .summary(Some(self.summary))
            .description(Some(self.description))
            .parameter(parameter(subject, ParameterIn::Path, "Which one."))
            .parameter(parameter("reason", ParameterIn::Query, "Why, for the audit: at most 256 bytes."))
            .security(SecurityRequirement::new("token", [role.to_string()]))
            .responses(responses.build())
            .build()
    }
}

/// Refusals that only calls with a body or with conditions can meet.
fn is_of_bodies(status: &str) -> bool {
    matches!(status, "400" | "412" | "413" | "415" | "428")
}

fn parameter(name: &str, place: ParameterIn, description: &str) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .build()
}

impl IntoResponses for BeginProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(|status| !matches!(status, "404" | "412" | "428"))
    }
}

impl IntoResponses for ChangeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(|_| true)
    }
}

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(|status| matches!(status, "401" | "403" | "404" | "422" | "500" | "503"))
    }
}

fn of(is_meant: impl Fn(&str) -> bool) -> BTreeMap<String, RefOr<Response>> {
    let refusals = REFUSALS.iter().filter(|refusal| is_meant(refusal.status));
    refusals
        .map(|refusal| (refusal.status.to_owned(), RefOr::Ref(Ref::from_response_name(refusal.name))))
        .collect()
}

/// A way to be refused, described once for all calls.
struct Refusal {
    status: &'static str,
    name: &'static str,
    description: &'static str,
}

impl Refusal {
    fn response(&self) -> Response {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        let response = ResponseBuilder::new().description(self.description).content(PROBLEM_JSON, content);
        match self.status {
            "401" => response.header("WWW-Authenticate", header(Type::String, "The scheme, `Bearer`.")),
            "503" => {
                response.header("Retry-After", header(Type::Integer, "Seconds to wait before the next try."))
            }
            _ => response,
        }
        .build()
    }
}

fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind).build()))
        .description(Some(description))
        .build()
}

const fn refusal(status: &'static str, name: &'static str, description: &'static str) -> Refusal {
    Refusal { status, name, description }
}

const REFUSALS: &[Refusal] = &[
    refusal("400", "NotJson", "The body is not JSON."),
    refusal("401", "Unauthorized", "There is no token, or nobody knows it."),
    refusal("403", "Forbidden", "The token's role does not suffice."),
    refusal("404", "NotFound", "There is no such operation or node."),
    refusal(
        "409",
        "Conflict",
        "`id_reused`: the id has another body. `conflict`: another operation has one of the nodes; `details.operation` names \
         it. `wrong_state`: what was asked for is not possible any more, or not yet.",
    ),
    refusal("412", "Stale", "`stale_revision`: it has changed since; `details.revision` is the one it has."),
    refusal("413", "TooLarge", "The body is too large."),
    refusal("415", "NotSaidToBeJson", "`Content-Type` is not `application/json`."),
    refusal(
        "422",
        "Invalid",
        "`bad_request`: a field or parameter is not what it should be; `errors` says which. `bad_spec`: it does not fit the \
         operation. `unknown_node`: it names nodes that are not there. `no_headroom`, `min_serving`: it should not be done; \
         `details` has the numbers, and `force` overrides them.",
    ),
    refusal("428", "Unconditional", "`If-Match` is missing."),
    refusal("500", "Internal", "The control plane's fault; its log says more."),
    refusal("503", "Unavailable", "The store is away, or too much is in progress."),
];

const fn verb(
    call: Call,
    (tag, answer): (&'static str, &'static str),
    summary: &'static str,
    description: &'static str,
) -> Verb {
    Verb { call, tag, answer, summary, description }
}

const OPERATION: (&str, &str) = ("Operations", "Operation");
const NODE: (&str, &str) = ("Nodes", "CordonAnswer");

const VERBS: &[Verb] = &[
    verb(
        Call::Pause,
        OPERATION,
        "Pause an operation",
        "Nobody is moved until it is resumed. Repeating it changes nothing.",
    ),
    verb(
        Call::Resume,
        OPERATION,
        "Resume an operation",
        "It goes on where it was. Repeating it changes nothing.",
    ),
    verb(
        Call::Abort,
        OPERATION,
        "Abort an operation",
        "Nodes that were taken out serve again; clients that have moved stay where they are. Repeating it changes nothing.",
    ),
    verb(
        Call::Force,
        OPERATION,
        "Force an operation",
        "It goes on although the numbers speak against it, and nodes that do not answer may be evicted.",
    ),
    verb(
        Call::Retry,
        OPERATION,
        "Retry an operation",
        "What failed or was aborted begins again with the nodes that are left.",
    ),
    verb(
        Call::CordonNode,
        NODE,
        "Cordon a node",
        "It takes in no clients and keeps those it has. Repeating it changes nothing.",
    ),
    verb(Call::UncordonNode, NODE, "Uncordon a node", "It serves again. Repeating it changes nothing."),
    verb(Call::CordonPod, NODE, "Cordon a pod", "The same as for a node: a pod's name is its node's."),
    verb(Call::UncordonPod, NODE, "Uncordon a pod", "The same as for a node: a pod's name is its node's."),
];
