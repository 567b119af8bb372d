//! The bodies of requests, as the document names them.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::{
    super::{
        completions::COMPLETIONS,
        fields::CHAT,
        messages,
        responses::{self, RESPONSES},
        schema::{Open, Shape, TEXT},
    },
    shape,
};

type Named = Vec<(String, RefOr<Schema>)>;

/// The body of `POST /v1/chat/completions`.
pub(in crate::openai) struct ChatBody;

impl PartialSchema for ChatBody {
    fn schema() -> RefOr<Schema> {
        shape::body(CHAT)
    }
}

impl ToSchema for ChatBody {
    fn name() -> Cow<'static, str> {
        "CreateChatCompletionRequest".into()
    }

    fn schemas(schemas: &mut Named) {
        schemas.push((messages::MESSAGE_NAME.to_owned(), message()));
    }
}

/// A message of a chat.
fn message() -> RefOr<Schema> {
    let role = shape::schema(&Shape::Word(messages::ROLES), Open::No);
    let parts = shape::schema(&Shape::List(1, usize::MAX, &messages::PART), Open::No);
    let text = shape::schema(&TEXT, Open::No);
    let null = ObjectBuilder::new().schema_type(Type::Null).description(Some(
        "Only the model may have said nothing: it called a tool, or refused.",
    ));
    let message = shape::object(messages::MESSAGE, Open::No);
    let content = shape::any([text, parts, null.into()].into_iter());
    let message = message.property("role", role).required("role");
    message.property("content", content).into()
}

/// The body of `POST /v1/completions`.
pub(in crate::openai) struct CompletionBody;

impl PartialSchema for CompletionBody {
    fn schema() -> RefOr<Schema> {
        shape::body(COMPLETIONS)
    }
}

impl ToSchema for CompletionBody {
    fn name() -> Cow<'static, str> {
        "CreateCompletionRequest".into()
    }
}

/// The body of `POST /v1/responses`.
pub(in crate::openai) struct ResponseBody;

impl PartialSchema for ResponseBody {
    fn schema() -> RefOr<Schema> {
        shape::body(RESPONSES)
    }
}

impl ToSchema for ResponseBody {
    fn name() -> Cow<'static, str> {
        "CreateResponseRequest".into()
    }

    fn schemas(schemas: &mut Named) {
        schemas.push((responses::ITEM_NAME.to_owned(), item()));
    }
}

/// An item of an input.
fn item() -> RefOr<Schema> {
    let tagged = responses::ITEMS
        .iter()
        .map(|(word, keys)| shape::tagged("type", word, keys, Open::No).into());
    let bare = [responses::MESSAGE, responses::REFERENCE].map(|keys| {
        shape::object(keys, Open::No)
            .description(Some("The type may be left out."))
            .into()
    });
    let others = shape::any_kind("type").description(Some(
        "What OpenAI's own tools leave, and any other type: refused with `unsupported_parameter`, or left out where \
         `UNSUPPORTED_PARAMS=ignore` is set.",
    ));
    shape::any(tagged.chain(bare).chain([others.into()]))
}
