//! Compares docs/errors.md with the code: a row for each kind of error, as both doors render it.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use tonic_types::StatusExt;

use crate::{
    engine::error::{ChatError, ErrorKind},
    grpc, openai,
    telemetry::{CallRecord, Door},
};

/// Kinds that exist only over HTTP; the page shows a dash for gRPC.
const HTTP_ONLY: [ErrorKind; 2] = [ErrorKind::MethodNotSupported, ErrorKind::UpgradeRequired];

/// The cells of the table under `heading`, without the header rows.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let page = fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        row.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    })
    .collect()
}

/// The parts of a cell in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// An error of this kind with every optional part present.
fn error(kind: ErrorKind) -> ChatError {
    let error = if kind == ErrorKind::NotFound {
        ChatError::not_found("model", "m", "field", "message")
    } else {
        ChatError::new(kind, "message").with_field("field")
    };
    error.with_retry_after(Some(Duration::from_secs(1)))
}

fn rendered_by_grpc(kind: ErrorKind) -> tonic::Status {
    grpc::error::render(&error(kind), &CallRecord::new(Door::Grpc, "request".to_owned()))
}

/// `InvalidArgument` as `INVALID_ARGUMENT`.
fn spelled(code: tonic::Code) -> String {
    let mut name = String::new();
    for char in format!("{code:?}").chars() {
        if char.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(char.to_ascii_uppercase());
    }
    name
}

#[test]
fn the_catalogue_on_the_page_is_what_both_doors_say() {
    let rows = table("The catalogue");
    let kinds: Vec<_> = rows.iter().map(|row| quoted(&row[0])[0]).collect();
    let all: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(kinds, all, "one row for each kind, in the order of the enum");
    for (kind, row) in ErrorKind::ALL.iter().copied().zip(&rows) {
        let [_, what, status, family, code, grpc] = row.as_slice() else {
            panic!("{row:?} has not six cells");
        };
        assert!(!what.is_empty(), "{kind}");
        let response = openai::error::respond(&error(kind), None);
        let body = openai::error::body(&error(kind));
        assert!(status.starts_with(response.status().as_str()), "{kind}: {status}");
        assert_eq!(
            quoted(family),
            [body["error"]["type"].as_str().unwrap()],
            "{kind}"
        );
        assert_eq!(quoted(code)[0], body["error"]["code"], "{kind}");
        let shown = if HTTP_ONLY.contains(&kind) {
            "–".to_owned()
        } else {
            spelled(rendered_by_grpc(kind).code())
        };
        assert_eq!(*grpc, shown, "{kind}");
    }
}

#[test]
fn the_exceptions_on_the_page_are_what_the_http_door_says() {
    let row = |kind: ErrorKind| {
        let rows = table("The catalogue");
        rows.into_iter()
            .find(|row| quoted(&row[0]) == [kind.name()])
            .unwrap()
    };
    let unasked = openai::error::respond(&ChatError::circuit_open(Duration::from_secs(1)), None);
    let status = row(ErrorKind::UpstreamUnavailable)[2].clone();
    assert!(status.contains(unasked.status().as_str()), "{status}");
    let previous = ChatError::not_found("response", "r", "previous_response_id", "message");
    let code = openai::error::body(&previous)["error"]["code"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        quoted(&row(ErrorKind::NotFound)[4]).contains(&code.as_str()),
        "{code}"
    );
}

#[test]
fn the_details_on_the_page_are_those_that_grpc_gives() {
    let rows = table("gRPC");
    let named = |detail: &str| -> BTreeSet<String> {
        let row = rows.iter().find(|row| quoted(&row[0])[0] == detail);
        let row = row.unwrap_or_else(|| panic!("no row for {detail}"));
        quoted(&row[1]).into_iter().map(str::to_owned).collect()
    };
    let with = |has: fn(&tonic_types::ErrorDetails) -> bool| -> BTreeSet<String> {
        let kinds = ErrorKind::ALL.iter().copied();
        let kinds = kinds.filter(|kind| has(&rendered_by_grpc(*kind).get_error_details()));
        kinds.map(|kind| kind.name().to_owned()).collect()
    };
    assert_eq!(
        named("BadRequest"),
        with(|details| details.bad_request().is_some())
    );
    assert_eq!(
        named("ResourceInfo"),
        with(|details| details.resource_info().is_some())
    );
    assert_eq!(
        named("QuotaFailure"),
        with(|details| details.quota_failure().is_some())
    );
    let all: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    assert_eq!(
        all,
        with(|details| details.error_info().is_some()),
        "every failure"
    );
    assert_eq!(
        all,
        with(|details| details.request_info().is_some()),
        "every failure"
    );
    assert_eq!(
        all,
        with(|details| details.retry_info().is_some()),
        "whatever has a time to wait for"
    );
}
