//! Bodies read once: they come to what serde_json makes of them, what is odd is marked where it stands, and the work grows
//! with the body alone.

use std::cell::Cell;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::openai::{
    place::Place,
    schema::{TEXT, key},
};

static TABLE: &[Field] = &[
    super::super::fields::obeyed(key("known", TEXT)),
    super::super::fields::obeyed(key("other", TEXT)),
];

fn read_all(text: &str) -> Result<Body, Flaw> {
    read(text.as_bytes(), TABLE, &|| Ok(()))
}

/// The value of the one known field.
fn known(value: &str) -> Body {
    read_all(&format!(r#"{{"known": {value}}}"#)).unwrap()
}

fn looks(text: &str) -> usize {
    let looks = Cell::new(0);
    let look = || {
        looks.set(looks.get() + 1);
        Ok(())
    };
    read(text.as_bytes(), TABLE, &look).unwrap();
    looks.get()
}

#[test]
fn the_fields_that_are_known_are_kept() {
    let body =
        read_all(" {\"x\":[{}, [[]], {\"a\" : -1.5e3 , \"b\":null}],\n\"known\":[true ,{\"a\":\"\\n\"}]}\t")
            .unwrap();
    assert_eq!(
        Value::Object(body.fields),
        json!({ "known": [true, { "a": "\n" }] })
    );
    assert!(!body.marks.is_odd());
    for (number, kept) in [
        ("0", json!(0)),
        ("-0", json!(-0.0)),
        ("18446744073709551615", json!(u64::MAX)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        ("1.0", json!(1.0)),
        ("1E2", json!(100.0)),
        ("1e400", json!(f64::MAX)),
        ("-1e400", json!(f64::MIN)),
    ] {
        assert_eq!(known(number).fields["known"], kept, "{number}");
    }
}

#[test]
fn what_is_no_json_or_no_object_is_no_body() {
    for text in ["[]", "[1", "\"a\"", "5", "-1e999", "null", " true"] {
        assert_eq!(read_all(text).unwrap_err(), Flaw::NoObject, "{text}");
    }
    for text in [
        "",
        " ",
        "nul",
        "+1",
        "}",
        "{",
        "{}x",
        "{}{}",
        "{,}",
        "{\"a\"}",
        "{\"a\":1,}",
        "{a:1}",
        "\u{feff}{}",
    ] {
        assert!(matches!(read_all(text), Err(Flaw::NoJson(_))), "{text}");
    }
    for value in [
        "",
        "[",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{\"a\":1]",
        "{\"a\":}",
        "{\"a\" 1}",
        "{1:1}",
        "{\"a\":1,}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "0x1",
        "--1",
        "NaN",
        "nullx",
        "True",
        "'a'",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\0\"",
        "\u{b}1",
        "1,",
        "1]",
        "[[[\"\\ud800\", 1e400, x]]]",
    ] {
        for name in ["known", "unknown"] {
            let body = format!(r#"{{"{name}": {value}}}"#);
            assert!(matches!(read_all(&body), Err(Flaw::NoJson(_))), "{body}");
        }
    }
    assert_eq!(
        read(b"{\"known\":\"\xff\"}", TABLE, &|| Ok(())).unwrap_err(),
        Flaw::NoJson(12)
    );
    assert!(read(b"{\"known\":\"\\ud800\xff\"}", TABLE, &|| Ok(())).is_err());
}

#[test]
fn what_is_odd_is_marked_where_it_stands_and_nowhere_else() {
    let body = known(
        r#"{"a.b": {"c": "\ud800"}, "a": {"b.c": "x", "b": {"c": "y"}}, "l": ["x", {"t": 1, "t": 2}], "l[0]": "\udfff"}"#,
    );
    let place = Place::body(&body.marks).member("known");
    assert!(place.member("a.b").member("c").check_text().is_err());
    assert!(place.member("a").member("b.c").check_text().is_ok());
    assert!(place.member("a").member("b").member("c").check_text().is_ok());
    assert!(place.member("l[0]").check_text().is_err());
    assert!(place.member("l").item(0).check_text().is_ok());
    assert!(place.member("l").item(0).check_once().is_ok());
    let twice = place.member("l").item(1).member("t").check_once().unwrap_err();
    assert_eq!(twice.field(), Some("known.l[1].t"));
    // Long names are told in part, and compared as a whole.
    let long = "n".repeat(64);
    let body = known(&format!(r#"{{"{long}a": "\ud800", "{long}b": "x"}}"#));
    let place = Place::body(&body.marks).member("known");
    assert_eq!(
        place.member(&format!("{long}a")).path(),
        place.member(&format!("{long}b")).path()
    );
    assert!(place.member(&format!("{long}a")).check_text().is_err());
    assert!(place.member(&format!("{long}b")).check_text().is_ok());
}

#[test]
fn two_names_without_characters_are_not_one_name() {
    let body = known(r#"{"\ud800": 1, "\ud801": 2, "\ufffd": 3, "\udfff": 4}"#);
    let place = Place::body(&body.marks).member("known");
    assert!(place.check_text().is_err(), "the object has such names");
    assert!(place.member("\u{fffd}").check_once().is_ok());
    assert_eq!(body.fields["known"], json!({ "\u{fffd}": 3 }));
}

#[test]
fn a_name_is_compared_without_its_escapes() {
    let body = read_all(r#"{"known": 1, "kno\u0077n": "\ud800", "unknown": 1, "unknown": 2}"#).unwrap();
    let place = Place::body(&body.marks);
    assert!(place.member("known").check_once().is_err());
    assert!(place.member("other").check_once().is_ok());
    assert!(place.member("unknown").check_once().is_ok());
}

#[test]
fn any_number_of_oddities_is_marked() {
    const MANY: usize = 5000;
    let odd = r#""\ud800","#.repeat(MANY);
    let body = known(&format!("[{odd}{{{}}}]", r#""a":1,"a":2,"a":3"#));
    let place = Place::body(&body.marks).member("known");
    assert!((0..MANY).all(|index| place.item(index).check_text().is_err()));
    assert!(place.item(MANY).check_text().is_ok());
    assert!(place.item(MANY).member("a").check_once().is_err());
}

#[test]
fn depth_costs_nothing_and_is_cut() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}0{}", open.repeat(100_000), close.repeat(100_000));
        let body = known(&deep);
        let mut depth = 0;
        let mut value = &body.fields["known"];
        while let Some(inside) = value.get(0).or_else(|| value.get("a")) {
            value = inside;
            depth += 1;
        }
        assert_eq!(depth, DEEPEST);
        assert!(read_all(&format!(r#"{{"unknown": {deep}}}"#)).is_ok());
    }
}

#[test]
fn every_value_is_read_once_however_deep_what_is_odd_stands() {
    let list = format!("[{}0]", "0,".repeat(1000));
    for depth in [0, 1, 5, 15, 50, 90] {
        let nested = |odd: &str| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!(r#"{{"known": {open}[{list},{odd}]{close}, "unknown": {open}[{list},{odd}]{close}}}"#)
        };
        // A look for each value: the items, the lists, what is odd, and what is around them.
        let each = 1001 + 1 + 1 + 1 + depth;
        for odd in [r#""x""#, r#""\ud800""#, "1e400", r#"{"\ud801": 0}"#] {
            let more = if odd.starts_with('{') { 1 } else { 0 };
            assert_eq!(looks(&nested(odd)), 2 * (each + more), "{depth} {odd}");
        }
    }
}

#[test]
fn reading_ends_where_nobody_waits_for_it() {
    for name in ["known", "unknown"] {
        let left = Cell::new(10);
        let look = || {
            left.set(left.get() - 1);
            if left.get() == 0 { Err(GivenUp) } else { Ok(()) }
        };
        // What is wrong behind that is never seen.
        let text = format!(r#"{{"{name}": [{}]}}!"#, ["0"; 100].join(","));
        assert_eq!(read(text.as_bytes(), TABLE, &look).unwrap_err(), Flaw::GivenUp);
        assert_eq!(left.get(), 0);
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inside| {
        prop_oneof![
            prop::collection::vec(inside.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inside, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_serde_json_writes_comes_back(value in values(), pretty: bool) {
        let body = json!({ "known": value, "unknown": value, "other": 1 });
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let same: Value = serde_json::from_str(&text).unwrap();
        let read = read_all(&text).unwrap();
        prop_assert_eq!(&read.fields["known"], &same["known"]);
        prop_assert!(!read.marks.is_odd());
    }

    /// Of texts that are nearly JSON both think the same.
    #[test]
    fn what_is_json_is_what_serde_json_takes(text in r#"[\[\]{},:"\\ua0-9eE+. \n-]{0,12}|\{("(a|known)":[\[\]{}0-9,"ae.:-]{0,8},?){0,3}\}"#) {
        let is_object = serde_json::from_str::<BTreeMap<Box<str>, IgnoredAny>>(&text).is_ok();
        prop_assert_eq!(read_all(&text).is_ok(), is_object, "{}", text);
    }
}
