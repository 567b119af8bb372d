//! Parsing of `.env` text.

use super::{Setup, exposed};
use crate::config::dotenv::{BadLine, Entry, parse, unquote};
use proptest::prelude::*;

/// The value of the only line.
fn value(line: &str) -> String {
    let mut lines = parse(line);
    assert_eq!(lines.len(), 1, "{line}");
    lines.remove(0).unwrap().value
}

#[test]
fn a_file_written_without_quotes_loads() {
    let models: Vec<String> = (1..=90)
        .map(|number| format!("\"Model Name {number} (preview)\""))
        .collect();
    let text = format!(
        "APP_NAME=LLM Proxy API\nAPI_KEYS=[\"a\", \"b\"]\nTOKEN_POOL=[\"t1\", \"t2\"]\nAVAILABLE_MODELS=[{}]\n",
        models.join(", ")
    );
    let settings = Setup::strict().dotenv(&text).loaded().settings;
    assert_eq!(settings.app_name, "LLM Proxy API");
    assert_eq!(exposed(&settings.api_keys), ["a", "b"]);
    assert_eq!(exposed(&settings.tokens), ["t1", "t2"]);
    assert_eq!(settings.available_models.len(), 90);
    assert_eq!(settings.available_models[89], "Model Name 90 (preview)");
}

#[test]
fn a_value_runs_to_the_end_of_its_line() {
    assert_eq!(value("NAME=a b=c 'd' \"e\""), "a b=c 'd' \"e\"");
    assert_eq!(value("NAME =  spaced  "), "spaced");
    assert_eq!(value("NAME="), "");
}

#[test]
fn one_pair_of_outer_quotes_comes_off() {
    assert_eq!(value("NAME=\"a b\""), "a b");
    assert_eq!(value("NAME='a b'"), "a b");
    assert_eq!(value("NAME=\"'a'\""), "'a'");
    assert_eq!(value("NAME=' padded '"), " padded ");
    assert_eq!(value("KEYS='[\"a\", \"b\"]'"), "[\"a\", \"b\"]");
    assert_eq!(value("KEYS=\"[\"a\", \"b\"]\""), "[\"a\", \"b\"]");
    assert_eq!(value("NAME=\"unclosed"), "\"unclosed");
    assert_eq!(value("NAME=\""), "\"");
}

#[test]
fn a_blank_and_a_number_sign_end_an_unquoted_value() {
    assert_eq!(value("NAME=value # note"), "value");
    assert_eq!(value("NAME=value\t#note"), "value");
    assert_eq!(value("NAME=value#part"), "value#part");
    assert_eq!(value("NAME=# part"), "# part");
    assert_eq!(value("NAME= # note"), "");
    assert_eq!(value("NAME=\"a # b\" # note \"c\""), "a # b");
    assert_eq!(value("NAME='a # b'"), "a # b");
}

#[test]
fn a_number_sign_in_a_json_string_is_kept() {
    assert_eq!(value(r#"KEYS=["a #b"]"#), r#"["a #b"]"#);
    assert_eq!(value(r#"KEYS=["a \" #b"] # note"#), r#"["a \" #b"]"#);
    assert_eq!(value(r#"MAP={"a #": "b"} # "note""#), r#"{"a #": "b"}"#);
    assert_eq!(value(r#"NAME=say "a #b""#), r#"say "a"#);
}

#[test]
fn export_comments_blank_lines_crlf_and_a_byte_order_mark_are_fine() {
    let lines = parse("\u{feff}export A=1\r\n\r\n  # B=2\r\n export\tC = 3\r\nexported=4");
    let entry = |line, name: &str, value: &str| {
        Ok(Entry {
            line,
            name: name.to_owned(),
            value: value.to_owned(),
        })
    };
    assert_eq!(
        lines,
        [entry(1, "A", "1"), entry(4, "C", "3"), entry(5, "exported", "4")]
    );
}

#[test]
fn nothing_is_substituted_and_no_escape_is_decoded() {
    assert_eq!(value(r"NAME=$HOME ${HOME} \n \\"), r"$HOME ${HOME} \n \\");
    assert_eq!(value(r#"NAME="a\nb""#), r"a\nb");
}

#[test]
fn a_line_without_an_equals_sign_is_named_by_its_number_only() {
    assert_eq!(
        parse("A=1\nhidden\n=x"),
        [parse("A=1").remove(0), Err(BadLine(2)), Err(BadLine(3))]
    );
    let problems = Setup::new().dotenv("PORT=1\n\nvery-secret\nPORT=x\n").problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].starts_with(".env: line 3 is not NAME=value"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("PORT: ") && problems[1].ends_with("(from .env)"),
        "{problems:?}"
    );
    assert!(!problems.concat().contains("very-secret"));
}

#[test]
fn of_a_repeated_name_the_last_wins_with_a_warning() {
    let loaded = Setup::new().dotenv("PORT=1\nOTHER=1\nOTHER=2\nPORT=2\n").loaded();
    assert_eq!(loaded.settings.port, 2);
    let told: Vec<_> = loaded
        .warnings
        .iter()
        .filter(|warning| warning.contains("twice"))
        .collect();
    assert_eq!(
        told,
        ["PORT: is given twice in .env (lines 1 and 4); the last counts"]
    );
}

#[test]
fn the_environment_gets_the_same_quote_rule() {
    assert_eq!(unquote(" \"a b\" "), "a b");
    assert_eq!(unquote("'[\"a\"]'"), "[\"a\"]");
    assert_eq!(unquote("\""), "\"");
    assert_eq!(unquote("a # b"), "a # b");
    let settings = Setup::new()
        .environment("API_KEYS", "'[\"a\", \"b\"]'")
        .environment("PORT", "\"1\"")
        .loaded()
        .settings;
    assert_eq!((exposed(&settings.api_keys), settings.port), (vec!["a", "b"], 1));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_awkward_text_makes_the_parser_panic(text in "[\"'#= \\[\\]{}\\\\\n\r\u{feff}aé]{0,60}") {
        let _ = parse(&text);
        let _ = unquote(&text);
    }

    #[test]
    fn quoted_values_read_back(inner in "[^\"\r\n]{0,60}", after in "( # .{0,20})?") {
        let after = after.replace(['\r', '\n', '"'], "");
        prop_assert_eq!(value(&format!("NAME=\"{inner}\"{after}")), inner);
    }

    #[test]
    fn json_lists_read_back_without_quotes(entries in prop::collection::vec("[^\\p{Cc}]{0,20}", 0..5)) {
        let text = serde_json::to_string(&entries).unwrap();
        let read: Vec<String> = serde_json::from_str(&value(&format!("LIST={text} # note"))).unwrap();
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn plain_values_read_back(text in "[a-zA-Z0-9$.:/=]([a-zA-Z0-9$.:/=# ]{0,40}[a-z#])?") {
        prop_assume!(!text.contains(" #"));
        prop_assert_eq!(value(&format!("export NAME={text} # note")), text);
    }
}
