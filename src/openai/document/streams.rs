//! Streams of events. OpenAPI 3.1 has no word for them; by custom the schema of `text/event-stream` is that of each event.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, Ref, RefOr, Schema, Type},
};

use super::{
    super::{completions::TextCompletion, error::ErrorBody, responses::Numbered, wire::Chunk},
    shape,
};

type Named = Vec<(String, RefOr<Schema>)>;

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text that is JSON of this schema.
fn json(schema: impl Into<RefOr<Schema>>) -> RefOr<Schema> {
    let json = text().content_media_type("application/json");
    json.content_schema(Some(schema)).into()
}

/// An event of a stream of chunks: a chunk, a failure, or the mark of the end.
fn chunk_event<C: ToSchema>() -> RefOr<Schema> {
    let names = [C::name(), ErrorBody::name()];
    let told = shape::any(names.map(|name| Ref::from_schema_name(name).into()).into_iter());
    let done = text().enum_values(Some(["[DONE]"]));
    let event = ObjectBuilder::new().property("data", shape::any([json(told), done.into()].into_iter()));
    event.required("data").into()
}

fn schemas_of<T: ToSchema>(schemas: &mut Named) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

/// An event of a streamed chat completion.
pub(in crate::openai) struct ChatEvent;

impl PartialSchema for ChatEvent {
    fn schema() -> RefOr<Schema> {
        chunk_event::<Chunk<'static>>()
    }
}

impl ToSchema for ChatEvent {
    fn name() -> Cow<'static, str> {
        "ChatCompletionEvent".into()
    }

    fn schemas(schemas: &mut Named) {
        schemas_of::<Chunk<'static>>(schemas);
    }
}

/// An event of a streamed text completion.
pub(in crate::openai) struct CompletionEvent;

impl PartialSchema for CompletionEvent {
    fn schema() -> RefOr<Schema> {
        chunk_event::<TextCompletion<'static>>()
    }
}

impl ToSchema for CompletionEvent {
    fn name() -> Cow<'static, str> {
        "CompletionEvent".into()
    }

    fn schemas(schemas: &mut Named) {
        schemas_of::<TextCompletion<'static>>(schemas);
    }
}

/// An event of a streamed response, which is named too.
pub(in crate::openai) struct ResponseEvent;

impl PartialSchema for ResponseEvent {
    fn schema() -> RefOr<Schema> {
        let data = json(Ref::from_schema_name(Numbered::name()));
        let event = ObjectBuilder::new()
            .property("event", text())
            .property("data", data);
        event.required("event").required("data").into()
    }
}

impl ToSchema for ResponseEvent {
    fn name() -> Cow<'static, str> {
        "ResponseEvent".into()
    }

    fn schemas(schemas: &mut Named) {
        schemas_of::<Numbered<'static>>(schemas);
    }
}
