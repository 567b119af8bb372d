//! The OpenAPI document: the modules' own descriptions merged, with the effects of the layers in front of them.

use axum::body::Bytes;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, Paths,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
        tag::{Tag, TagBuilder},
    },
};

use super::StartError;
use crate::{
    engine::error::ErrorKind,
    openai::{
        self,
        error::{ErrorBody, document::of_kinds},
    },
    ops,
};

const TAGS: [(&str, &str); 5] = [
    ("Chat", "Chats, whole or streamed"),
    (
        "Responses",
        "The same in the form of OpenAI's responses, which can be gone on from",
    ),
    ("Models", "What is on offer"),
    ("State", "For machines and people that watch the gateway"),
    (
        "Operating",
        "The pool of tokens, chats under way and conversations: for the admin key",
    ),
];
/// The security schemes for a caller's key.
const KEYS: [&str; 4] = ["key_bearer", "key_x_api_key", "key_api_key", "key_query"];
/// The security schemes for the admin key.
const ADMIN_KEYS: [&str; 3] = ["operator_bearer", "operator_x_api_key", "operator_api_key"];

/// Merges the modules' documents into one, as JSON. `key_required`: callers need a key.
pub(super) fn document(
    app_name: &str,
    key_required: bool,
    rooms: impl IntoIterator<Item = OpenApi>,
) -> Result<Bytes, StartError> {
    let info = InfoBuilder::new()
        .title(app_name)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ops::docs::GUIDE))
        .license(Some(License::new(env!("CARGO_PKG_LICENSE"))));
    let mut document = OpenApiBuilder::new().info(info.build()).build();
    for room in rooms {
        document.merge(room);
    }
    document.paths = layered(document.paths, key_required);
    document.tags = Some(TAGS.map(tag).into());
    let components = document.components.get_or_insert_with(Components::new);
    let name = ErrorBody::name().into_owned();
    components.schemas.insert(name, ErrorBody::schema());
    components.add_security_schemes_from_iter(security_schemes());
    let json = document.to_json();
    let json = json.map_err(|error| StartError::Build(format!("the OpenAPI document: {error}")))?;
    Ok(json.into())
}

fn tag((name, description): (&str, &str)) -> Tag {
    TagBuilder::new()
        .name(name)
        .description(Some(description))
        .build()
}

fn security_schemes() -> impl Iterator<Item = (&'static str, SecurityScheme)> {
    /// The header schemes common to both kinds of key; `what` describes the key.
    fn headers(what: &str) -> impl Iterator<Item = SecurityScheme> {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let header = |name: &str| ApiKey::Header(ApiKeyValue::with_description(name, what));
        let headers = [header("X-API-Key"), header("api-key")].map(SecurityScheme::ApiKey);
        let bearer = SecurityScheme::Http(bearer.description(Some(what)).build());
        [bearer].into_iter().chain(headers)
    }
    const KEY: &str = "One of the callers' keys";
    let query = ApiKey::Query(ApiKeyValue::with_description("api_key", KEY));
    let keys = headers(KEY).chain([SecurityScheme::ApiKey(query)]);
    let keys = KEYS.into_iter().zip(keys);
    keys.chain(
        ADMIN_KEYS
            .into_iter()
            .zip(headers("The operators' key, `ADMIN_KEY`")),
    )
}

/// The paths as clients write them, with the layers' effects on each operation.
fn layered(paths: Paths, key_required: bool) -> Paths {
    let mut layered = Paths::new();
    for (path, mut item) in paths.paths {
        // OpenAPI has no wildcard syntax like the router's `{*name}`.
        let path = path.replace("{*", "{");
        for operation in operations(&mut item) {
            add_key(&path, operation, key_required);
            let panicked = of_kinds(&[ErrorKind::Internal]);
            operation.responses.responses.extend(panicked);
            openai::add_headers(&path, operation);
        }
        layered.paths.insert(path, item);
    }
    layered
}

/// All operations of a path, for the methods in use here.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get, post, delete, ..
    } = item;
    [get, post, delete].into_iter().flatten()
}

/// Adds the keys that a path accepts, and its response to a missing or wrong one.
fn add_key(path: &str, operation: &mut Operation, required: bool) {
    let one = |name: &str| SecurityRequirement::new(name, [""; 0]);
    let is_admins = ops::admin::is_admins(path);
    let mut ways: Vec<SecurityRequirement> = if is_admins {
        ADMIN_KEYS.map(one).into()
    } else if ops::is_open(path) && !ops::tells_more_with_a_key(path) {
        Vec::new()
    } else {
        KEYS.map(one).into()
    };
    if is_admins || (required && !ops::is_open(path)) {
        let refused = of_kinds(&[ErrorKind::Unauthenticated]);
        operation.responses.responses.extend(refused);
    } else if !ways.is_empty() {
        // An empty requirement makes the key optional.
        ways.push(SecurityRequirement::default());
    }
    operation.security = Some(ways);
}
