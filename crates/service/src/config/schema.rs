//! The configuration file's JSON schema: closed objects, so that a chart refuses what the program would refuse.

use serde_json::{Map, Value, json};

use super::named;
use super::outline::{KeyOutline, NAME, Outline, Shape, paragraph};

impl Outline {
    /// JSON schema (draft 2020-12) of the configuration file.
    pub fn json_schema(&self) -> Value {
        let mut root = closed_object(&self.sections()[0].keys, "");
        for section in &self.sections()[1..] {
            let object = closed_object(&section.keys, &section.about);
            let (path, schema) = match &section.shape {
                Shape::Single => (section.path.as_str(), object),
                Shape::List { .. } => (section.path.as_str(), json!({ "type": "array", "items": object })),
                Shape::Named { .. } => (section.around_names().unwrap_or_default(), named_object(&object)),
            };
            attach(&mut root, path, schema);
        }
        root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        root
    }
}

fn closed_object(keys: &[KeyOutline], about: &str) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.key.to_owned(), property(key))).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.key).collect();
    json!({
        "type": "object",
        "description": paragraph(about),
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    })
}

/// An object of objects whose names a person chooses.
fn named_object(object: &Value) -> Value {
    json!({
        "type": "object",
        "description": object["description"],
        "propertyNames": { "pattern": named::PATTERN },
        "additionalProperties": object,
    })
}

fn property(key: &KeyOutline) -> Value {
    let mut schema = key.schema.clone();
    schema["description"] = json!(paragraph(&key.about));
    let default = key.default_toml.as_deref().and_then(|text| {
        let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
        serde_json::to_value(&table["value"]).ok()
    });
    if let Some(default) = default {
        schema["default"] = default;
    }
    schema
}

/// Sections come after the ones they lie in, so every object on the way exists.
fn attach(root: &mut Value, path: &str, schema: Value) {
    let mut object = root;
    let (outer, key) = path.rsplit_once('.').unwrap_or(("", path));
    for name in outer.split('.').filter(|name| !name.is_empty()) {
        object = if name == NAME {
            &mut object["additionalProperties"]
        } else {
            let inner = &mut object["properties"][name];
            if inner["type"] == "array" { &mut inner["items"] } else { inner }
        };
    }
    object["properties"][key] = schema;
}
