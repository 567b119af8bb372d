//! Streams of events, which OpenAPI 3.1 has no schema of its own for: a text, and beside it what the data of each event
//! is.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, Ref, RefOr, Schema, Type},
};

use super::super::{completions::TextCompletion, responses::Numbered, wire::Chunk};

/// Server-sent events, each with an `E` as its data.
fn events_of<E: ToSchema>() -> RefOr<Schema> {
    let what = format!("Server-sent events; the data of each is a `{}`.", E::name());
    ObjectBuilder::new()
        .schema_type(Type::String)
        .content_media_type("text/event-stream")
        .content_schema(Some(Ref::from_schema_name(E::name())))
        .description(Some(what))
        .into()
}

/// Names the stream of one sort of events.
macro_rules! stream {
    ($name:ident of $event:ty) => {
        #[doc = concat!("A stream of `", stringify!($event), "`.")]
        pub(in crate::openai) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                events_of::<$event>()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                schemas.push((<$event>::name().into_owned(), <$event>::schema()));
                <$event as ToSchema>::schemas(schemas);
            }
        }
    };
}

stream!(ChatCompletionStream of Chunk<'static>);
stream!(CompletionStream of TextCompletion<'static>);
stream!(ResponseStream of Numbered<'static>);
