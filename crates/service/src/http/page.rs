//! `GET /docs`: an OpenAPI description as a page, written on the server so that it needs no script and nothing from
//! elsewhere.

use std::fmt::Write;

use serde_json::{Map, Value};

const STYLE: &str = include_str!("page.css");

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct DocsPage<'d> {
    /// An OpenAPI 3.1 description. Bodies and answers in it are named types or have their schema in place.
    pub description: &'d Value,
    /// The paths in the order that readers should meet them; others are not shown.
    pub paths: &'d [&'d str],
    /// What stands beside a call whose security names no right.
    pub without_right: &'d str,
    /// The name of the type of all refusals, which is shown even where no other type holds one.
    pub problem: &'d str,
}

/// A call with what the page needs to find it.
struct Operation<'d> {
    method: &'d str,
    path: &'d str,
    id: &'d str,
    body: &'d Value,
}

/// A property of a type.
struct Property<'d> {
    name: &'d str,
    schema: &'d Value,
    is_required: bool,
}

/// Schemas of ours do not contain themselves; one that did would end here.
const DEPTH_MAX: u32 = 8;

impl<'d> DocsPage<'d> {
    /// The whole page.
    pub fn render(&self) -> String {
        let info = &self.description["info"];
        let (title, version) = (escape(text(&info["title"])), escape(text(&info["version"])));
        let mut sections = String::new();
        let mut contents = String::new();
        for (tag, operations) in self.by_tag() {
            push(&mut contents, format_args!("<h2>{}</h2><ul>", escape(tag)));
            push(&mut sections, format_args!("<h2 class=\"tag\">{}</h2>", escape(tag)));
            for operation in operations {
                let (id, summary) = (operation.id, escape(text(&operation.body["summary"])));
                push(&mut contents, format_args!("<li><a href=\"#{id}\">{summary}</a></li>"));
                self.operation(&mut sections, &operation);
            }
            contents.push_str("</ul>");
        }
        contents.push_str("<h2><a href=\"#types\">Types</a></h2>");
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><style>{STYLE}</style></head><body>\
             <nav aria-label=\"Calls\">{contents}</nav><main><header><h1>{title}</h1>\
             <p class=\"version\">Version {version} · OpenAPI 3.1 at <a href=\"openapi.json\">openapi.json</a></p>{}\
             <p>Fields with a <b class=\"required\"></b> have to be there.</p></header>{sections}{}</main></body></html>\n",
            paragraphs(text(&info["description"])),
            self.types(),
        )
    }

    /// The calls under their tags, both in the order of `paths`.
    fn by_tag(&self) -> Vec<(&'d str, Vec<Operation<'d>>)> {
        let mut tags: Vec<(&str, Vec<Operation<'_>>)> = Vec::new();
        for &path in self.paths {
            for (method, body) in entries(&self.description["paths"][path]) {
                let operation = Operation { method, path, id: text(&body["operationId"]), body };
                let tag = text(&body["tags"][0]);
                match tags.iter_mut().find(|(known, _)| *known == tag) {
                    Some((_, operations)) => operations.push(operation),
                    None => tags.push((tag, vec![operation])),
                }
            }
        }
        tags
    }

    fn operation(&self, out: &mut String, operation: &Operation<'_>) {
        let Operation { method, path, id, body, .. } = operation;
        let rights: Vec<_> = array(&body["security"][0]["key"]).iter().map(text).collect();
        let right = if rights.is_empty() { self.without_right.to_owned() } else { rights.join(", ") };
        push(
            out,
            format_args!(
                "<section id=\"{id}\"><h3>{}</h3><p class=\"call\"><span class=\"method {method}\">{}</span> \
                 <code>{}</code><span class=\"right\">{}</span></p>{}",
                escape(text(&body["summary"])),
                method.to_uppercase(),
                escape(path),
                escape(&right),
                paragraphs(text(&body["description"])),
            ),
        );
        self.parameters(out, array(&body["parameters"]));
        let request = &body["requestBody"]["content"]["application/json"]["schema"];
        if !request.is_null() {
            out.push_str("<h4>Body</h4>");
            self.schema(out, request);
        }
        let answer = &body["responses"]["200"];
        let schema = &answer["content"]["application/json"]["schema"];
        out.push_str("<h4>Answer</h4>");
        // What is no JSON, such as a stream of events, has no schema.
        if schema.is_null() {
            out.push_str(&paragraphs(text(&answer["description"])));
        } else {
            self.schema(out, schema);
        }
        out.push_str("</section>");
    }

    fn parameters(&self, out: &mut String, parameters: &[Value]) {
        if parameters.is_empty() {
            return;
        }
        out.push_str("<h4>Parameters</h4><div class=\"wide\"><table>");
        for parameter in parameters {
            let name = format!("{} ({})", text(&parameter["name"]), text(&parameter["in"]));
            let required = parameter["required"].as_bool().unwrap_or_default();
            self.row(out, &name, &parameter["schema"], text(&parameter["description"]), required);
        }
        out.push_str("</table></div>");
    }

    fn schema(&self, out: &mut String, schema: &'d Value) {
        let resolved = self.resolve(schema);
        out.push_str(&paragraphs(text(&resolved["description"])));
        // A choice is shown as its variants: each has one key, or is a type with a tag.
        for variant in array(&resolved["oneOf"]) {
            for named in array(&variant["allOf"]).iter().filter(|part| name_of(part).is_some()) {
                push(out, format_args!("<p class=\"variant\">{}</p>", self.kind(named)));
            }
            for (name, property) in entries(&variant["properties"]) {
                push(
                    out,
                    format_args!(
                        "<p class=\"variant\"><code>{}</code> {}</p>",
                        escape(name),
                        self.kind(property)
                    ),
                );
            }
        }
        let mut properties = self.properties(resolved, 0);
        if !properties.is_empty() {
            out.push_str("<div class=\"wide\"><table>");
            properties.sort_by_key(|property| !property.is_required);
            for Property { name, schema, is_required } in properties {
                self.row(out, name, schema, description(schema), is_required);
            }
            out.push_str("</table></div>");
        }
        let example = serde_json::to_string_pretty(&self.example(schema, 0)).expect("a value can be written");
        push(out, format_args!("<pre><code>{}</code></pre>", escape(&example)));
    }

    /// The properties of a type, those included that it takes over from others.
    fn properties(&self, schema: &'d Value, depth: u32) -> Vec<Property<'d>> {
        if depth == DEPTH_MAX {
            return Vec::new();
        }
        let taken_over =
            array(&schema["allOf"]).iter().map(|part| self.properties(self.resolve(part), depth + 1));
        let mut properties: Vec<_> = taken_over.flatten().collect();
        let required = array(&schema["required"]);
        properties.extend(entries(&schema["properties"]).map(|(name, property)| {
            let is_required = required.iter().any(|required| required == name);
            Property { name, schema: property, is_required }
        }));
        properties
    }

    fn row(&self, out: &mut String, name: &str, schema: &Value, description: &str, required: bool) {
        let class = if required { " class=\"required\"" } else { "" };
        push(
            out,
            format_args!(
                "<tr><th{class}>{}</th><td class=\"type\">{}</td><td>{}</td></tr>",
                escape(name),
                self.kind(schema),
                inline(description),
            ),
        );
    }

    /// What a value is, in a few words; a named type is a link to its own section.
    fn kind(&self, schema: &Value) -> String {
        if let Some(name) = name_of(schema) {
            return format!("<a href=\"#type-{name}\">{name}</a>");
        }
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().map(text).filter(|kind| *kind != "null").collect(),
            Value::String(kind) => vec![kind.as_str()],
            _ => vec![],
        };
        let mut kind = match types[..] {
            ["array"] => format!("array of {}", self.kind(&schema["items"])),
            [] => match array(&schema["oneOf"]).iter().find(|one| one["type"] != "null") {
                Some(one) => self.kind(one),
                None => "any JSON".to_owned(),
            },
            _ => types.join(" or "),
        };
        let bounds = [("minLength", "maxLength"), ("minimum", "maximum"), ("minItems", "maxItems")];
        for (low, high) in bounds {
            match (schema[low].as_f64(), schema[high].as_f64()) {
                (Some(low), Some(high)) => push(&mut kind, format_args!(", {low} to {high}")),
                (None, Some(high)) => push(&mut kind, format_args!(", at most {high}")),
                (Some(_) | None, None) => {}
            }
        }
        if !schema["default"].is_null() {
            push(&mut kind, format_args!(", default {}", escape(&schema["default"].to_string())));
        }
        kind
    }

    /// The example that a schema gives, or one put together of its parts'.
    fn example(&self, schema: &'d Value, depth: u32) -> Value {
        let schema = self.resolve(schema);
        if let Some(example) = schema.get("example") {
            return example.clone();
        }
        if depth == DEPTH_MAX {
            return Value::Null;
        }
        let properties = self.properties(schema, 0).into_iter();
        let examples: Map<_, _> = properties
            .map(|Property { name, schema, .. }| (name.to_owned(), self.example(schema, depth + 1)))
            .collect();
        if !examples.is_empty() {
            return Value::Object(examples);
        }
        let kind = if schema["type"].is_array() { &schema["type"][0] } else { &schema["type"] };
        match kind.as_str() {
            Some("array") => Value::Array(vec![self.example(&schema["items"], depth + 1)]),
            Some("string") => "…".into(),
            Some("integer" | "number") => 1.into(),
            Some("boolean") => false.into(),
            _ => array(&schema["oneOf"]).first().map_or(Value::Null, |one| self.example(one, depth + 1)),
        }
    }

    /// The types that others are made of, and the one of all refusals.
    fn types(&self) -> String {
        let mut out = String::from("<h2 class=\"tag\" id=\"types\">Types</h2>");
        let schemas = &self.description["components"]["schemas"];
        let parts: Vec<_> = entries(schemas).flat_map(|(_, schema)| parts(schema)).collect();
        for (name, schema) in entries(schemas) {
            if name == self.problem || parts.contains(&name) {
                push(&mut out, format_args!("<section id=\"type-{name}\"><h3>{name}</h3>"));
                self.schema(&mut out, schema);
                out.push_str("</section>");
            }
        }
        out
    }

    fn resolve(&self, schema: &'d Value) -> &'d Value {
        name_of(schema).map_or(schema, |name| &self.description["components"]["schemas"][name])
    }
}

/// The named type that stands here.
fn name_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next())
}

/// The named types that a schema's properties and variants are made of.
fn parts(schema: &Value) -> Vec<&str> {
    let variants = array(&schema["oneOf"])
        .iter()
        .chain(array(&schema["allOf"]))
        .flat_map(|variant| name_of(variant).into_iter().chain(parts(variant)));
    let properties = entries(&schema["properties"]).flat_map(|(_, property)| {
        let optional = array(&property["oneOf"]).iter().filter_map(name_of);
        name_of(property).into_iter().chain(name_of(&property["items"])).chain(optional)
    });
    properties.chain(variants).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a property is for; an optional one of a named type has it one level down.
fn description(property: &Value) -> &str {
    property["description"].as_str().unwrap_or_else(|| text(&property["oneOf"][0]["description"]))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text with `code` in backticks, as doc comments have it.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escape(part);
        if index % 2 == 1 { push(&mut out, format_args!("<code>{part}</code>")) } else { out.push_str(&part) }
    }
    out
}

fn paragraphs(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs.map(|paragraph| format!("<p>{}</p>", inline(paragraph))).collect()
}
