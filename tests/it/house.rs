//! The import rule: which module may use which. It reads the sources, so that no forbidden path gets in.

use std::{fs, path::Path, sync::LazyLock};

use crate::support::paths_from_the_root;

/// The rule: the rooms that each room may use. It is read from the table in `src/lib.rs`, of which each row has the
/// room, its purpose and those rooms in backticks.
static RULE: LazyLock<Vec<(String, Vec<String>)>> = LazyLock::new(|| {
    let rows = include_str!("../../src/lib.rs").lines();
    let rows = rows.filter_map(|line| line.strip_prefix("//! | [`"));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let [room, _purpose, allowed] = cells.as_slice() else {
            panic!("a row of other than three cells: {row}");
        };
        let allowed = allowed.split('`').skip(1).step_by(2);
        let room = room.trim_end_matches("`]").to_owned();
        (room, allowed.map(str::to_owned).collect())
    });
    let mut rule: Vec<(String, Vec<String>)> = rows.collect();
    // The composition root sees all.
    rule.retain(|(room, _)| !SEES_ALL.contains(&room.as_str()));
    assert!(rule.len() > 10, "the table is not where it was: {rule:?}");
    rule
});
/// Modules that may use all others.
const SEES_ALL: [&str; 3] = ["app", "lib", "main"];
const FORBIDDEN_NAMES: [&str; 7] = ["utils", "common", "helpers", "types", "core", "http", "tonic"];

/// The violation if `module` uses `path`, if it is one.
fn violation(path: &[String], module: &[String]) -> Option<String> {
    let (room, target) = (module.first()?.as_str(), path.first()?.as_str());
    if room == target || SEES_ALL.contains(&room) {
        return None;
    }
    let is_room = RULE.iter().any(|(name, _)| name == target) || SEES_ALL.contains(&target);
    let (_, allowed) = RULE.iter().find(|(name, _)| name == room)?;
    let fits = |rule: &String| {
        let rule: Vec<&str> = rule.split("::").collect();
        path.len() >= rule.len() && path.iter().zip(&rule).all(|(segment, wanted)| segment == wanted)
    };
    let forbidden = is_room && !allowed.iter().any(fits);
    forbidden.then(|| format!("{} uses {}", module.join("::"), path.join("::")))
}

fn violations(source: &str, module: &[&str]) -> Vec<String> {
    let module: Vec<String> = module.iter().map(|segment| (*segment).to_owned()).collect();
    let paths = paths_from_the_root(source, &module);
    paths.iter().filter_map(|path| violation(path, &module)).collect()
}

/// Collects every source file with its module path.
fn sources(directory: &Path, module: &[String], found: &mut Vec<(Vec<String>, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut inner = module.to_vec();
        if path.is_dir() {
            inner.push(stem);
            sources(&path, &inner, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            if stem != "mod" {
                inner.push(stem);
            }
            found.push((inner, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn all_sources() -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &[],
        &mut found,
    );
    assert!(
        found.len() > 50,
        "the sources are not where they were: {}",
        found.len()
    );
    found
}

#[test]
fn no_room_uses_what_it_must_not() {
    let mut forbidden = Vec::new();
    for (module, source) in all_sources() {
        let module: Vec<&str> = module.iter().map(String::as_str).collect();
        forbidden.extend(violations(&source, &module));
    }
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}

#[test]
fn every_room_has_a_rule_and_a_name_that_says_something() {
    for (module, _) in all_sources() {
        let room = module[0].as_str();
        let known = SEES_ALL.contains(&room) || RULE.iter().any(|(name, _)| name == room);
        assert!(known, "the room {room} has no import rule yet");
        for segment in &module {
            assert!(
                !FORBIDDEN_NAMES.contains(&segment.as_str()),
                "{} is no name for a module",
                module.join("::")
            );
        }
    }
}

#[test]
fn the_rule_would_catch_every_form_of_a_forbidden_path() {
    for (module, source) in [
        (["engine", "pool"].as_slice(), "use crate::openai::error;"),
        (
            &["engine", "pool"],
            "use crate::{engine::chat, telemetry::{Metrics, Outcome}, sim::{Rule}};",
        ),
        (
            &["engine"],
            "use crate::{engine::{error::{ChatError}, chat::{Role as Who}}, app as a};",
        ),
        (
            &["engine", "pool"],
            "fn f() { let x = crate::providers::read(y); }",
        ),
        (&["engine", "pool"], "use super::super::grpc::proto;"),
        (&["engine"], "use super::{telemetry::Metrics, net::Listener};"),
        (
            &["openai", "chat"],
            "pub(crate) use crate::grpc::proto as client;",
        ),
        (
            &["grpc", "layer"],
            "type A = crate::openai::error::X<crate::engine::Y>;",
        ),
        (&["ops", "health"], "use crate::openai::wire::Model;"),
        (&["auth"], "use crate::engine::Engine;"),
        (
            &["auth"],
            "const A: char = '\"'; use crate::config; const B: &str = \"\";",
        ),
        (&["sim", "state"], "fn f<'a>(x: &'a crate::engine::Engine) {}"),
        (&["cli", "demo"], "use crate::{app::App, engine::Engine};"),
        (&["net"], "use self::super::auth::Auth;"),
    ] {
        assert_eq!(violations(source, module).len(), 1, "{module:?}: {source}");
    }
}

#[test]
fn the_rule_lets_pass_what_is_allowed() {
    for (module, source) in [
        (
            ["engine", "pool"].as_slice(),
            "use crate::{engine::chat, telemetry::{self, Metrics}}; use super::verdict;",
        ),
        (
            &["engine", "pool"],
            "// crate::openai\n/* crate::app /* crate::sim */ crate::net */ use super::super::telemetry;",
        ),
        (
            &["engine", "pool"],
            "const A: &str = \"crate::openai\"; const B: &str = r#\"\"crate::app\"#; // x",
        ),
        (
            &["ops", "mod"],
            "use crate::openai::error; use crate::openai::{error::respond};",
        ),
        (
            &["auth"],
            "use crate::engine::error::{ChatError, ErrorKind}; mod tests { use super::*; }",
        ),
        (
            &["app"],
            "use crate::{sim, config, grpc::{self, Grpc}, ops, openai};",
        ),
        (
            &["cli", "mod"],
            "pub(in crate::cli) fn f() { $crate::config::x() }",
        ),
        (&["net"], "fn serve<'a>(x: &'a str) { crate::telemetry::f('c') }"),
    ] {
        assert_eq!(
            violations(source, module),
            Vec::<String>::new(),
            "{module:?}: {source}"
        );
    }
}
