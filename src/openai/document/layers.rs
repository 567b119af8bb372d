//! What the door's layers add to every answer behind them.

use utoipa::openapi::{
    ObjectBuilder, RefOr, Type,
    header::HeaderBuilder,
    path::Operation,
    response::{Response, Responses},
};

use super::super::headers::{PROCESSING_MS, REQUEST_ID, SERVER_TIMING, VERSION};

/// Adds to an operation's answers the headers that the layers give them.
pub fn add_headers(path: &str, operation: &mut Operation) {
    let always = [(
        REQUEST_ID,
        Type::String,
        "The request's id, which the log has too",
    )];
    let about = [
        (PROCESSING_MS, Type::Integer, "Milliseconds to the answer's head"),
        (VERSION, Type::String, "OpenAI's version of the API"),
        (
            SERVER_TIMING,
            Type::String,
            "Milliseconds of the gateway's own, of waiting for the upstream, and of both",
        ),
    ];
    let is_api = path.starts_with(super::super::API);
    for (name, kind, what) in always.into_iter().chain(about.into_iter().filter(|_| is_api)) {
        let schema = ObjectBuilder::new().schema_type(kind);
        let header = HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(what))
            .build();
        for answer in answers(&mut operation.responses) {
            answer
                .headers
                .insert(name.as_str().to_owned(), header.clone().into());
        }
    }
}

fn answers(responses: &mut Responses) -> impl Iterator<Item = &mut Response> {
    responses
        .responses
        .values_mut()
        .filter_map(|answer| match answer {
            RefOr::T(answer) => Some(answer),
            RefOr::Ref(_) => None,
        })
}
