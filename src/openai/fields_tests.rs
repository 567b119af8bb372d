use std::{collections::HashSet, fmt::Write, path::PathBuf};

use serde_json::json;

use super::*;
use crate::engine::error::ErrorKind;
use crate::openai::{
    completions::COMPLETIONS,
    json::Body,
    request::{Reading, Unsupported, read},
    responses::RESPONSES,
};

const END: &str = "<!-- end of fields -->";

/// Every table, and the mark of its place in the documentation.
const TABLES: [(&str, &[Field]); 3] = [
    ("<!-- fields:", CHAT),
    ("<!-- fields of completions:", COMPLETIONS),
    ("<!-- fields of responses:", RESPONSES),
];

/// A table as the documentation has it.
fn documented(table: &[Field]) -> String {
    let mut text = "| field | here |\n| --- | --- |\n".to_owned();
    for Field { key, meaning } in table {
        let name = key.name;
        match meaning {
            Use::Parts(parts) => parts.iter().try_for_each(|Field { key, meaning }| {
                let what = match meaning {
                    Use::Obeyed | Use::Parts(_) => "obeyed",
                    Use::Ignored => "ignored",
                    Use::Needs(need) => &format!("refused: {}", need.what),
                };
                writeln!(text, "| `{name}.{}` | {what} |", key.name)
            }),
            Use::Obeyed => writeln!(text, "| `{name}` | obeyed |"),
            Use::Ignored => writeln!(text, "| `{name}` | ignored |"),
            Use::Needs(need) => writeln!(text, "| `{name}` | refused: {} |", need.what),
        }
        .unwrap();
    }
    text
}

#[test]
fn the_documentation_says_of_each_field_what_becomes_of_it() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/openai.md");
    let is = std::fs::read_to_string(&path).unwrap();
    let mut should = is.clone();
    for (mark, table) in TABLES {
        let (before, rest) = should.split_once(mark).unwrap();
        let (note, rest) = rest.split_once('\n').unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        should = format!("{before}{mark}{note}\n\n{}\n{END}{after}", documented(table));
    }
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &should).unwrap();
    } else {
        assert!(
            is == should,
            "docs/openai.md is out of date: UPDATE_REFERENCE=1 cargo test fields"
        );
    }
}

#[test]
fn no_field_stands_twice_in_a_table() {
    for (_, table) in TABLES {
        let mut seen = HashSet::new();
        assert!(table.iter().all(|field| seen.insert(field.key.name)));
    }
}

/// A request with one more field.
fn request(name: &str, value: &Value) -> Body {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }], name: value });
    Body {
        fields: body.as_object().unwrap().clone(),
        ..Body::default()
    }
}

/// For each thing that needs an upstream which can do more: a request, and how such an upstream is declared.
fn demanding() -> Vec<(&'static str, Value, Capabilities)> {
    let can = |declare: fn(&mut Capabilities)| {
        let mut capabilities = Capabilities::default();
        declare(&mut capabilities);
        capabilities
    };
    let function = json!({ "name": "f" });
    let tools = can(|can| can.tools = true);
    let logprobs = can(|can| can.logprobs = true);
    let audio = can(|can| can.audio = true);
    vec![
        (
            "tools",
            json!([{ "type": "function", "function": function }]),
            tools,
        ),
        ("tool_choice", json!("required"), tools),
        ("functions", json!([function]), tools),
        ("function_call", function, tools),
        (
            "response_format",
            json!({ "type": "json_object" }),
            can(|can| can.response_formats = true),
        ),
        ("logprobs", json!(true), logprobs),
        ("top_logprobs", json!(5), logprobs),
        ("audio", json!({ "voice": "v", "format": "wav" }), audio),
        ("modalities", json!(["audio"]), audio),
        ("web_search_options", json!({}), can(|can| can.web_search = true)),
        (
            "moderation",
            json!({ "model": "m" }),
            can(|can| can.moderation = true),
        ),
    ]
}

#[test]
fn what_the_upstream_lacks_is_refused_or_named_and_what_it_declares_is_taken() {
    let demanding = demanding();
    for field in CHAT {
        let demanded = demanding.iter().any(|(name, ..)| *name == field.key.name);
        assert_eq!(
            matches!(field.meaning, Use::Needs(_)),
            demanded,
            "{}",
            field.key.name
        );
    }
    let bare = Capabilities::default();
    for (name, value, capabilities) in demanding {
        let fields = || request(name, &value);
        let refused = read(fields(), Reading::new(&bare, Unsupported::Refuse)).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.field()),
            (ErrorKind::UnsupportedParameter, Some(name))
        );
        let left_out = read(fields(), Reading::new(&bare, Unsupported::LeaveOut)).unwrap();
        assert_eq!(left_out.ignored, [name]);
        let taken = read(fields(), Reading::new(&capabilities, Unsupported::Refuse)).unwrap();
        assert!(taken.ignored.is_empty(), "{name}");
    }
}

#[test]
fn what_has_no_effect_is_named_in_the_tables_order() {
    let mut body = request("user", &json!("u"));
    let fields = &mut body.fields;
    fields.insert("temperature".into(), json!(1));
    fields.insert("stream".into(), json!(true));
    fields.insert("stream_options".into(), json!({ "include_usage": true }));
    let asked = read(body, Reading::new(&Capabilities::default(), Unsupported::Refuse)).unwrap();
    assert_eq!(asked.ignored, ["temperature", "user"]);
    assert!(asked.stream && asked.include_usage);
}

#[test]
fn of_two_limits_the_smaller_holds() {
    let limit = |both: Value| {
        let mut body = request("stop", &json!("x"));
        body.fields.extend(both.as_object().unwrap().clone());
        let asked = read(body, Reading::new(&Capabilities::default(), Unsupported::Refuse)).unwrap();
        assert_eq!(asked.request.stop, ["x"]);
        asked.request.max_tokens
    };
    assert_eq!(
        limit(json!({ "max_tokens": 5, "max_completion_tokens": 3 })),
        Some(3)
    );
    assert_eq!(limit(json!({ "max_tokens": 5 })), Some(5));
    assert_eq!(limit(json!({ "max_completion_tokens": 1e30 })), Some(u64::MAX));
    assert_eq!(limit(json!({ "max_tokens": null })), None);
}
