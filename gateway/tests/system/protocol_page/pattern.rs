//! Objects with placeholders: how what the page says is compared with what the gateway sent.
//!
//! `"…"` stands for any text, `"…name"` for the same text wherever it appears, `"text…"` for any text that begins so. A
//! bare `…` stands for anything that is no text, and at the end of an object for further fields.

use std::collections::BTreeMap;

use serde_json::Value;

/// Texts that placeholders have come to stand for.
pub(super) type Names = BTreeMap<String, String>;

/// Replaces the placeholders of what a client sends.
pub(super) fn fill(text: &str, names: &Names) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\"…") {
        let (name, after) = after.split_once('"').ok_or("a placeholder does not end")?;
        let value = names.get(name).ok_or_else(|| format!("nothing before says what …{name} is"))?;
        filled.push_str(before);
        filled.push_str(&Value::from(value.as_str()).to_string());
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Compares `actual` with the page's `text`; new placeholders take their values from it. The error says where they differ.
pub(super) fn compare(text: &str, actual: &Value, names: &mut Names) -> Result<(), String> {
    let pattern: Value = serde_json::from_str(&quoted(text)).map_err(|error| format!("not JSON: {error}"))?;
    compare_at("", &pattern, actual, names)
}

/// What a bare placeholder is called when it has been made JSON.
const ANYTHING: &str = "…anything but text";
const FURTHER: &str = "…further fields";

/// The same with bare placeholders as JSON.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    let (mut is_text, mut is_escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        if letter == '…' && !is_text {
            let ends_object = text[at + letter.len_utf8()..].trim_start().starts_with('}');
            out.push_str(&match ends_object && !text[..at].trim_end().ends_with(':') {
                true => format!("\"{FURTHER}\":null"),
                false => format!("\"{ANYTHING}\""),
            });
            continue;
        }
        is_text ^= letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        out.push(letter);
    }
    out
}

fn compare_at(path: &str, pattern: &Value, actual: &Value, names: &mut Names) -> Result<(), String> {
    let differs = || Err(format!("{path}: expected {pattern}, got {actual}"));
    match (pattern, actual) {
        (Value::String(text), _) if text == ANYTHING => match actual.is_string() {
            true => differs(),
            false => Ok(()),
        },
        (Value::String(text), Value::String(found)) => match (text.strip_prefix('…'), text.strip_suffix('…'))
        {
            (Some(""), _) => Ok(()),
            (Some(name), _) => match names.get(name) {
                Some(known) if known != found => {
                    Err(format!("{path}: expected {known:?} again, got {found:?}"))
                }
                Some(_) => Ok(()),
                None => {
                    names.insert(name.to_owned(), found.clone());
                    Ok(())
                }
            },
            (None, Some(beginning)) if found.starts_with(beginning) => Ok(()),
            (None, _) if text == found => Ok(()),
            (None, _) => differs(),
        },
        (Value::Object(fields), Value::Object(found)) => {
            for (key, value) in fields.iter().filter(|(key, _)| *key != FURTHER) {
                let path = format!("{path}/{key}");
                let actual = found.get(key).ok_or_else(|| format!("{path}: is missing in {actual}"))?;
                compare_at(&path, value, actual, names)?;
            }
            match found.keys().find(|key| !fields.contains_key(*key)) {
                Some(key) if !fields.contains_key(FURTHER) => {
                    Err(format!("{path}/{key}: is not on the page"))
                }
                _ => Ok(()),
            }
        }
        (Value::Array(list), Value::Array(found)) if list.len() == found.len() => {
            let mut pairs = list.iter().zip(found).enumerate();
            pairs.try_for_each(|(index, (one, other))| {
                compare_at(&format!("{path}/{index}"), one, other, names)
            })
        }
        (pattern, actual) if pattern == actual => Ok(()),
        _ => differs(),
    }
}

#[test]
fn placeholders_stand_for_what_they_say_and_nothing_else() {
    let matches = |pattern: &str, actual: &str| {
        compare(pattern, &serde_json::from_str(actual).unwrap(), &mut Names::new()).is_ok()
    };

    assert!(matches(r#"{"a": …, "b": "…", "c": "ab…"}"#, r#"{"a":1,"b":"x","c":"abc"}"#));
    assert!(!matches(r#"{"a": …}"#, r#"{"a":"text"}"#));
    assert!(!matches(r#"{"a": "…"}"#, r#"{"a":1}"#));
    assert!(!matches(r#"{"a": "ab…"}"#, r#"{"a":"ba"}"#));
    assert!(matches(r#"{"a": 1, …}"#, r#"{"a":1,"b":2}"#));
    assert!(!matches(r#"{"a": 1}"#, r#"{"a":1,"b":2}"#), "a field too much");
    assert!(!matches(r#"{"a": 1, "b": …}"#, r#"{"a":1}"#), "a field too few");
    assert!(!matches(r#"{"a": [1]}"#, r#"{"a":[1,2]}"#));
    assert!(matches(r#"{"a": ["…x", "…x"]}"#, r#"{"a":["1","1"]}"#));
    assert!(!matches(r#"{"a": ["…x", "…x"]}"#, r#"{"a":["1","2"]}"#));
    assert!(matches(r#"{"a": "\"…, }"}"#, r#"{"a":"\"…, }"}"#), "text is left alone");
}

#[test]
fn what_a_client_sends_has_its_placeholders_filled() {
    let names = Names::from([("s".to_owned(), "a\"b".to_owned())]);

    assert_eq!(fill(r#"{"x":"…s","y":1}"#, &names).as_deref(), Ok(r#"{"x":"a\"b","y":1}"#));
    assert!(fill(r#"{"x":"…t"}"#, &names).is_err());
}
