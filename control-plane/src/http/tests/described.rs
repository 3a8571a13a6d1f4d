//! The description, the page made from it, and the guide, against the calls that there are.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::http::call::{Access, Call};

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file)
}

fn description() -> Value {
    Running::start().get("/openapi.json").json(200)
}

/// Every operation of the description with its path and method.
fn operations(description: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = description["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, body)| (path.as_str(), method.as_str(), body))
    })
}

#[test]
fn the_documented_control_plane_api_is_the_one_that_is_served() {
    let served = Running::start().get("/openapi.json");
    served.json(200);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(docs("control-plane-openapi.json"), &served.body).unwrap();
    }
    let committed = fs::read_to_string(docs("control-plane-openapi.json")).unwrap();
    assert!(committed == served.body, "docs/control-plane-openapi.json is stale; run `make docs`");
}

#[test]
fn every_call_is_described_with_its_name_and_the_role_it_needs() {
    let description = description();
    let mut described: Vec<_> = operations(&description)
        .map(|(path, method, body)| {
            let role = body["security"][0]["token"][0].as_str().expect("every call needs a role");
            let name = body["operationId"].as_str().unwrap();
            (method.to_uppercase(), path.to_owned(), name.to_owned(), role.to_owned())
        })
        .collect();
    let mut calls: Vec<_> = Call::ALL
        .into_iter()
        .filter_map(|call| {
            let Access::Needs(role) = call.row().access else { return None };
            let (method, path) = call.row().path?;
            Some((method.to_owned(), path.to_owned(), call.row().name.to_owned(), role.to_string()))
        })
        .collect();
    described.sort();
    calls.sort();
    assert_eq!(described, calls);
}

#[test]
fn every_operation_says_what_it_does_takes_and_gives() {
    let description = description();
    assert!(!description.to_string().contains("[`"), "links in comments lead nowhere here");
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, method, body) in operations(&description) {
        assert!(body["summary"].is_string() && body["tags"].is_array(), "{path}");
        for parameter in body["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{path}: {parameter}");
        }
        let content = body["responses"]["200"]["content"].as_object().unwrap();
        let is_stream = path.ends_with("/events");
        assert_eq!(content.contains_key("text/event-stream"), is_stream, "{path}");
        assert_eq!(content.contains_key("application/json"), !is_stream, "{path}");
        for (status, refusal) in body["responses"].as_object().unwrap() {
            let Some(name) = refusal["$ref"].as_str().and_then(|name| name.rsplit('/').next()) else {
                continue;
            };
            let content = &description["components"]["responses"][name]["content"];
            assert!(content["application/problem+json"].is_object(), "{path}: {status}");
        }
        let takes_body = matches!(method, "put" | "patch")
            || path == "/v1/operations:plan"
            || (path, method) == ("/v1/operations", "post");
        assert_eq!(body["requestBody"].is_object(), takes_body, "{method} {path}");
    }
    for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let has_words = property["description"].is_string()
                || property.to_string().contains("description")
                || property["$ref"].is_string();
            assert!(has_words, "{name}.{field} has no description");
        }
    }
}

#[test]
fn nothing_that_has_a_default_is_called_required() {
    let description = description();
    for name in ["Common", "DrainSpec", "RolloutSpec", "RebalanceSpec"] {
        let schema = &description["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is described");
        assert!(!schema.to_string().contains("\"required\""), "{name}: {schema}");
    }
}

#[test]
fn every_example_of_a_body_is_taken_as_it_stands() {
    let api = Running::start();
    let schemas = description()["components"]["schemas"].clone();

    api.put("/v1/operations/a", &schemas["Spec"]["example"].to_string()).json(201);
    let patch = schemas["Patch"]["example"].to_string();
    api.json("PATCH", "/v1/operations/a", "If-Match: *\r\n", &patch).json(200);
}

#[test]
fn the_page_shows_every_call_and_needs_nothing_from_elsewhere() {
    let page = Running::start().get("/docs");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    for call in Call::ALL {
        let Some((_, path)) = call.row().path else { continue };
        assert!(page.body.contains(&format!("<code>{path}</code>")), "{path}");
        assert!(page.body.contains(&format!("<section id=\"{}\">", call.row().name)), "{path}");
    }
    let description = description();
    for name in description["components"]["schemas"].as_object().unwrap().keys() {
        let is_linked = page.body.contains(&format!("href=\"#type-{name}\""));
        assert!(!is_linked || page.body.contains(&format!("id=\"type-{name}\"")), "{name}");
    }
    for foreign in ["<script", "<link", "<img", "src=", "url(", "@import", "http://", "https://"] {
        assert!(!page.body.contains(foreign), "{foreign}");
    }
}

#[test]
fn the_guide_names_every_call_role_and_code() {
    let guide = fs::read_to_string(docs("control-plane-api.md")).unwrap();
    for call in Call::ALL {
        if let Some((_, path)) = call.row().path {
            assert!(guide.contains(path), "{path}");
        }
    }
    for word in [
        "view",
        "operate",
        "admin",
        "bad_request",
        "unauthorized",
        "forbidden",
        "not_found",
        "id_reused",
        "conflict",
        "wrong_state",
        "stale_revision",
        "too_large",
        "no_headroom",
        "min_serving",
        "unknown_node",
        "bad_spec",
        "precondition_required",
        "unavailable",
    ] {
        assert!(guide.contains(&format!("`{word}`")), "{word}");
    }
}
