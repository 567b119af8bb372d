//! The catalogue of errors as the OpenAPI document tells it: which statuses an operation may answer with, and the codes
//! that stand in them.

use std::{collections::BTreeMap, time::Duration};

use http::{StatusCode, header};
use utoipa::{
    ToSchema,
    openapi::{
        Content, Header, ObjectBuilder, Ref, RefOr, ResponseBuilder, Type, header::HeaderBuilder,
        response::Response,
    },
};

use super::{ErrorBody, RETRY_AFTER_MS, SHOULD_RETRY, look_of};
use crate::engine::error::{ChatError, ErrorKind};

/// Answers by their statuses, as an operation has them.
pub type Failures = BTreeMap<String, RefOr<Response>>;

/// The failures of these kinds.
#[must_use]
pub fn of_kinds(kinds: &[ErrorKind]) -> Failures {
    of(&samples(kinds))
}

/// An error of each way in which these kinds may look, whatever field they name.
#[must_use]
pub fn samples(kinds: &[ErrorKind]) -> Vec<ChatError> {
    let each = kinds.iter().flat_map(|kind| {
        let plain = ChatError::new(*kind, "");
        let unasked = ChatError::circuit_open(Duration::ZERO);
        [Some(plain), (unasked.kind() == *kind).then_some(unasked)]
    });
    each.flatten().collect()
}

/// The failures that look like these.
#[must_use]
pub fn of(errors: &[ChatError]) -> Failures {
    let mut codes: BTreeMap<StatusCode, Vec<&'static str>> = BTreeMap::new();
    for error in errors {
        let look = look_of(error);
        let known = codes.entry(look.status).or_default();
        let code = look.code_of(error.kind());
        if !known.contains(&code) {
            known.push(code);
        }
    }
    let answers = codes
        .into_iter()
        .map(|(status, codes)| (status.as_str().to_owned(), answer(status, &codes).into()));
    answers.collect()
}

fn answer(status: StatusCode, codes: &[&str]) -> Response {
    let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let what = status.canonical_reason().unwrap_or("Client Closed Request");
    let mut answer = ResponseBuilder::new()
        .description(format!("{what}: {}", codes.join(", ")))
        .content(
            "application/json",
            Content::new(Some(Ref::from_schema_name(ErrorBody::name()))),
        )
        .header(
            SHOULD_RETRY.as_str(),
            head(
                ObjectBuilder::new().enum_values(Some(["true", "false"])),
                Type::String,
                "Whether sending the request again is worth while",
            ),
        );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        for (name, what) in [
            (
                header::RETRY_AFTER,
                "Seconds until another try may succeed, where that is known",
            ),
            (RETRY_AFTER_MS, "The same in milliseconds"),
        ] {
            answer = answer.header(name.as_str(), head(ObjectBuilder::new(), Type::Integer, what));
        }
    }
    if status == StatusCode::UNAUTHORIZED {
        let bearer = ObjectBuilder::new().enum_values(Some(["Bearer"]));
        answer = answer.header(
            header::WWW_AUTHENTICATE.as_str(),
            head(bearer, Type::String, "How a key is given"),
        );
    }
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        let codings = head(
            ObjectBuilder::new(),
            Type::String,
            "The codings of bodies that are understood, where the coding was none of them",
        );
        answer = answer.header(header::ACCEPT_ENCODING.as_str(), codings);
    }
    answer.build()
}

fn head(schema: ObjectBuilder, kind: Type, what: &str) -> Header {
    let header = HeaderBuilder::new().schema(Some(schema.schema_type(kind)));
    header.description(Some(what)).build()
}
