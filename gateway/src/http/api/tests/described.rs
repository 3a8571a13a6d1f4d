//! The description, the page made from it, and the guide, against the calls that there are.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::http::api::call::Access;

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file)
}

/// Every operation of the description with its path and method.
fn operations(description: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = description["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, body)| (path.as_str(), method.as_str(), body))
    })
}

fn schema<'d>(description: &'d Value, content: &'d Value) -> &'d Value {
    let reference = content["application/json"]["schema"]["$ref"].as_str().expect("bodies are named types");
    &description["components"]["schemas"][reference.rsplit('/').next().unwrap()]
}

#[test]
fn the_documented_http_api_is_the_one_that_is_served() {
    let served = Running::start().ask("GET", "/openapi.json", "", "");
    served.ok();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(docs("openapi.json"), &served.body).unwrap();
    }
    let committed = fs::read_to_string(docs("openapi.json")).unwrap();
    assert!(committed == served.body, "docs/openapi.json is stale; run `make docs`");
}

#[test]
fn every_call_is_described_with_the_right_it_needs() {
    let description = Running::start().ask("GET", "/openapi.json", "", "").ok();
    let mut described: Vec<_> = operations(&description)
        .map(|(path, _, body)| {
            let rights = body["security"][0]["key"].as_array().expect("every call needs a key");
            (
                path.to_owned(),
                rights.iter().map(|right| right.as_str().unwrap().to_owned()).collect::<Vec<_>>(),
            )
        })
        .collect();
    let mut calls: Vec<_> = Call::ALL
        .into_iter()
        .filter_map(|call| {
            let rights = match call.row().access {
                Access::Key(right) => vec![right.name().to_owned()],
                Access::AnyKey | Access::Open => vec![],
            };
            Some((call.row().path?.to_owned(), rights))
        })
        .collect();
    described.sort();
    calls.sort();
    assert_eq!(described, calls);
}

#[test]
fn every_operation_says_what_it_does_takes_and_gives() {
    let description = Running::start().ask("GET", "/openapi.json", "", "").ok();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, method, body) in operations(&description) {
        assert!(body["summary"].is_string() && body["tags"].is_array(), "{path}");
        for parameter in body["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{path}: {parameter}");
        }
        let answer = schema(&description, &body["responses"]["200"]["content"]);
        assert!(answer["properties"].is_object(), "{path}: {answer}");
        for (status, refusal) in
            body["responses"].as_object().unwrap().iter().filter(|(status, _)| *status != "200")
        {
            let name = refusal["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let content = &description["components"]["responses"][name]["content"];
            assert!(content["application/problem+json"].is_object(), "{path}: {status}");
        }
        assert_eq!(method == "post", body["requestBody"].is_object(), "{path}");
    }
    for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let has_words = property["description"].is_string();
            assert!(has_words, "{name}.{field} has no description");
        }
    }
}

#[test]
fn every_example_of_a_body_is_taken_as_it_stands() {
    let api = Running::start();
    let description = api.ask("GET", "/openapi.json", "", "").ok();
    let mut tried = 0;
    for (path, _, body) in operations(&description).filter(|(_, method, _)| *method == "post") {
        let schema = schema(&description, &body["requestBody"]["content"]);
        assert_eq!(schema["additionalProperties"], false, "{path} takes no unknown fields");
        api.post(path, &schema["example"].to_string()).ok();
        tried += 1;
    }
    assert_eq!(tried, 7);
}

#[test]
fn the_page_shows_every_call_and_needs_nothing_from_elsewhere() {
    let page = Running::start().ask("GET", "/docs", "", "");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    for (call, path) in Call::ALL.into_iter().filter_map(|call| Some((call, call.row().path?))) {
        assert!(page.body.contains(&format!("<code>{path}</code>")), "{path}");
        assert!(page.body.contains(&format!("<section id=\"{}\">", call.row().name)), "{path}");
    }
    let description = Running::start().ask("GET", "/openapi.json", "", "").ok();
    for name in description["components"]["schemas"].as_object().unwrap().keys() {
        let is_linked = page.body.contains(&format!("href=\"#type-{name}\""));
        assert_eq!(is_linked, page.body.contains(&format!("id=\"type-{name}\"")), "{name}");
    }
    for foreign in ["<script", "<link", "<img", "src=", "url(", "@import", "http://", "https://"] {
        assert!(!page.body.contains(foreign), "{foreign}");
    }
    assert!(page.body.contains("light-dark("), "the page has a dark side");
    for (open, close) in
        [("<section", "</section>"), ("<table", "</table>"), ("<pre>", "</pre>"), ("<ul", "</ul>")]
    {
        assert_eq!(page.body.matches(open).count(), page.body.matches(close).count(), "{open}");
    }
}

#[test]
fn the_guide_names_every_call_right_and_error_code() {
    let guide = fs::read_to_string(docs("http-api.md")).unwrap();
    for call in Call::ALL {
        if let Some(path) = call.row().path {
            assert!(guide.contains(path), "{path}");
        }
    }
    let codes = tidegate_protocol::error::ErrorCode::ALL.map(|code| code.as_str());
    for word in Right::ALL.iter().map(|(_, name)| *name).chain(codes).chain(["not_found"]) {
        assert!(guide.contains(&format!("`{word}`")), "{word}");
    }
}
