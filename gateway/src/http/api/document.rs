//! The API's description as OpenAPI 3.1: collected from the handlers and their types, served, committed and rendered.

use std::collections::BTreeMap;

use tidegate_service::http::DocsPage;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Header, HeaderBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder,
    OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::call::Call;
use super::problem::{Fault, PROBLEM_JSON, Problem};

const DESCRIPTION: &str = "\
Publish, send, look and manage from your servers. Every call carries `Authorization: Bearer KEY` with the secret of a key \
under `[[api.keys]]`, and needs the right that stands beside it.

Bodies and answers are JSON. A field or parameter that is not known is refused, so that slips are told. A refusal is a \
problem as RFC 9457 defines it: programs look at its `code`, people at its `detail`. After 429 and 503 wait as long as \
`Retry-After` says. Lists come in pages: hand `next` back as `cursor` until there is none.";

/// How calls that do something may be refused.
pub(super) struct CommandProblems;

/// How calls that look may be refused.
pub(super) struct ReadProblems;

/// Everything but the calls, which the router adds.
pub(super) fn without_calls() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Tidegate server API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license))
        .build();
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The secret of a key under `[[api.keys]]`. What a call names here are rights of the key.",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme("key", SecurityScheme::Http(key))
        .schema(Problem::name(), Problem::schema())
        .schema(Fault::name(), Fault::schema())
        .responses_from_iter(REFUSALS.iter().map(|refusal| (refusal.name, refusal.response())))
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// The description as it is served at `/openapi.json` and committed as `docs/openapi.json`.
pub(super) fn to_json(document: &OpenApi) -> String {
    let mut json =
        serde_json::to_string_pretty(document).expect("a description is made of strings and numbers");
    json.push('\n');
    json
}

/// The description as the page that is served at `/docs`.
pub(super) fn to_page(document: &OpenApi) -> String {
    let description = serde_json::to_value(document).expect("a description is made of strings and numbers");
    let paths: Vec<_> = Call::ALL.into_iter().filter_map(|call| call.row().path).collect();
    DocsPage {
        description: &description,
        paths: &paths,
        without_right: "each command's right",
        problem: &Problem::name(),
    }
    .render()
}

impl IntoResponses for CommandProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        REFUSALS.iter().map(Refusal::reference).collect()
    }
}

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        REFUSALS.iter().filter(|refusal| refusal.of_reads == OfReads::Too).map(Refusal::reference).collect()
    }
}

/// A way to be refused, described once for all calls.
struct Refusal {
    status: &'static str,
    name: &'static str,
    description: &'static str,
    of_reads: OfReads,
}

/// Whether calls without a body are refused that way.
#[derive(Clone, Copy, Eq, PartialEq)]
enum OfReads {
    Too,
    Never,
}

impl Refusal {
    const fn new(
        status: &'static str,
        name: &'static str,
        of_reads: OfReads,
        description: &'static str,
    ) -> Self {
        Self { status, name, description, of_reads }
    }

    fn reference(&self) -> (String, RefOr<Response>) {
        (self.status.to_owned(), RefOr::Ref(Ref::from_response_name(self.name)))
    }

    fn response(&self) -> Response {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        let response = ResponseBuilder::new().description(self.description).content(PROBLEM_JSON, content);
        match self.status {
            "401" => response.header("WWW-Authenticate", header(Type::String, "The scheme, `Bearer`.")),
            "429" | "503" => {
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

const REFUSALS: &[Refusal] = &[
    Refusal::new("400", "NotJson", OfReads::Never, "The body is not JSON."),
    Refusal::new("401", "Unauthorized", OfReads::Too, "There is no key, or nobody knows it."),
    Refusal::new("403", "Forbidden", OfReads::Too, "The key lacks the right."),
    Refusal::new("404", "NotFound", OfReads::Too, "There is no such channel, namespace or session."),
    Refusal::new("409", "Conflict", OfReads::Too, "It contradicts what is."),
    Refusal::new("413", "TooLarge", OfReads::Never, "The body or its `data` is too large."),
    Refusal::new("415", "NotSaidToBeJson", OfReads::Never, "`Content-Type` is not `application/json`."),
    Refusal::new(
        "422",
        "Invalid",
        OfReads::Too,
        "A field or parameter is not what it should be; `errors` says which.",
    ),
    Refusal::new("429", "Limit", OfReads::Too, "More than is allowed in this time."),
    Refusal::new("500", "Internal", OfReads::Too, "The gateway's fault; its log says more."),
    Refusal::new(
        "503",
        "Unavailable",
        OfReads::Too,
        "Something the call needs is away, or too much is in progress.",
    ),
];
