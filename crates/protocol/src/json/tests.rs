use proptest::prelude::*;

use super::*;

#[test]
fn any_value_is_carried_as_its_own_bytes() {
    for text in [
        "null",
        "-0.10e+400",
        "123456789012345678901234567890",
        r#""\ud800""#,
        r#"{"a":1,"a":2}"#,
        r#"[ 1 ,	{ } ]"#,
    ] {
        assert_eq!(RawJson::parse(text, 2).unwrap().as_str(), text);
    }
    assert_eq!(RawJson::parse("\r\n [1] \n", 1).unwrap().as_str(), "[1]");
}

#[test]
fn text_that_is_no_single_value_is_refused() {
    for text in ["", " ", "nul", "{", "[1,]", "1 2", "\"a", "'a'", "\"\u{1}\"", "01", "NaN"] {
        assert!(matches!(RawJson::parse(text, 8), Err(JsonError::Syntax(_))), "{text}");
    }
    assert_eq!(RawJson::parse("[1,\n2]", 8), Err(JsonError::LineFeed));
}

#[test]
fn depth_is_counted_outside_of_strings_only() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));

    assert!(RawJson::parse(&nested(32), 32).is_ok());
    assert_eq!(RawJson::parse(&nested(33), 32), Err(JsonError::TooDeep { depth_max: 32 }));
    assert!(is_deeper_than(&nested(1_000_000), 32));
    assert!(RawJson::parse(&format!("\"{}\"", "[".repeat(100)), 32).is_ok());
    assert!(RawJson::parse(&format!("[\"\\\\\",\"\\\"{}\"]", "{".repeat(100)), 1).is_ok());
    assert!(RawJson::parse(&format!("[{}1]", "[],{},".repeat(100)), 2).is_ok());
}

#[test]
fn what_was_copied_to_be_kept_is_the_same() {
    let json = RawJson::parse("[1]", 1).unwrap();

    assert_eq!(json.into_owned().borrowed(), json);
    assert_eq!(json.into_owned().as_str(), "[1]");
    assert_eq!(RawJson::trusted("[1]"), json);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn text_is_escaped_so_that_any_reader_gets_it_back(text: String) {
        let mut out = Vec::new();
        append_text(&mut out, &text);
        prop_assert!(!out.contains(&b'\n'));
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    #[test]
    fn the_depth_of_a_value_is_that_of_its_tree(value in tree()) {
        let text = value.to_string();
        let depth = depth_of(&value);
        prop_assert!(!is_deeper_than(&text, depth));
        prop_assert!(depth == 0 || is_deeper_than(&text, depth - 1));
    }
}

fn depth_of(value: &serde_json::Value) -> u32 {
    match value {
        serde_json::Value::Array(list) => 1 + list.iter().map(depth_of).max().unwrap_or(0),
        serde_json::Value::Object(map) => 1 + map.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

fn tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        "[\\[\\]{}\"\\\\a]{0,6}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[\\[{\"\\\\]{0,3}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
