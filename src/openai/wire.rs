//! OpenAI's answers, as they stand on the wire. Requests are read by the table in [`fields`](super::fields).

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

/// What is never anything but null here.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Null;

impl utoipa::PartialSchema for Null {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::Object::with_type(utoipa::openapi::Type::Null).into()
    }
}

impl ToSchema for Null {}

/// Who speaks in an answer.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Speaker {
    Assistant,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FinishWord {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(super) enum CompletionObject {
    #[serde(rename = "chat.completion")]
    ChatCompletion,
}

/// A whole answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChatCompletion<'a> {
    pub(super) id: &'a str,
    #[schema(inline)]
    pub(super) object: CompletionObject,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: UsageFigures,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionChoice)]
pub(super) struct Choice {
    pub(super) index: u32,
    pub(super) message: AnswerMessage,
    #[schema(inline)]
    pub(super) logprobs: Null,
    #[schema(inline)]
    pub(super) finish_reason: FinishWord,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionMessage)]
pub(super) struct AnswerMessage {
    #[schema(inline)]
    pub(super) role: Speaker,
    #[schema(required)]
    pub(super) content: Option<String>,
    #[schema(required)]
    pub(super) refusal: Option<String>,
    pub(super) annotations: Vec<UrlCitation>,
    /// The calls of tools, where there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(super) tool_calls: Vec<ToolCall>,
    /// What the model thought before it answered, where the upstream tells it.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub(super) reasoning_content: String,
}

/// A source that a part of the answer rests on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename = "url_citation")]
pub(super) struct UrlCitation {
    pub(super) url_citation: Citation,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UrlCitationDetails)]
pub(super) struct Citation {
    pub(super) url: String,
    pub(super) title: String,
    pub(super) start_index: u32,
    pub(super) end_index: u32,
}

/// A tool call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionMessageToolCall)]
pub(super) struct ToolCall {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) call: Called,
}

/// What a tool call calls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[schema(as = ChatCompletionCalledTool)]
pub(super) enum Called {
    Function { function: CalledFunction },
    Custom { custom: CalledCustom },
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CalledFunction {
    pub(super) name: String,
    pub(super) arguments: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CalledCustom {
    pub(super) name: String,
    pub(super) input: String,
}

/// A piece of a tool call. Its id, type and name stand in the first piece alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionMessageToolCallChunk)]
pub(super) struct ToolCallChunk<'a> {
    pub(super) index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(inline, nullable = false)]
    pub(super) kind: Option<ToolWord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) function: Option<FunctionChunk<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) custom: Option<CustomChunk<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToolWord {
    Function,
    Custom,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FunctionChunk<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) name: Option<&'a str>,
    pub(super) arguments: &'a str,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CustomChunk<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) name: Option<&'a str>,
    pub(super) input: &'a str,
}

/// The upstream's figures, or else counts with the o200k_base vocabulary.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = CompletionUsage)]
pub(super) struct UsageFigures {
    pub(super) prompt_tokens: u32,
    pub(super) completion_tokens: u32,
    pub(super) total_tokens: u32,
    pub(super) prompt_tokens_details: PromptDetails,
    pub(super) completion_tokens_details: AnswerDetails,
}

/// Parts of the prompt's tokens: nothing is ever cached or heard here.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = PromptTokensDetails)]
pub(super) struct PromptDetails {
    pub(super) cached_tokens: u32,
    pub(super) audio_tokens: u32,
}

/// Parts of the answer's tokens.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = CompletionTokensDetails)]
pub(super) struct AnswerDetails {
    pub(super) reasoning_tokens: u32,
    pub(super) audio_tokens: u32,
    pub(super) accepted_prediction_tokens: u32,
    pub(super) rejected_prediction_tokens: u32,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(super) enum ChunkObject {
    #[serde(rename = "chat.completion.chunk")]
    ChatCompletionChunk,
}

/// One chunk of a streamed answer. `usage` is absent unless the client asked for it, and then null in every chunk
/// but the last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionChunk)]
pub(super) struct Chunk<'a> {
    pub(super) id: &'a str,
    #[schema(inline)]
    pub(super) object: ChunkObject,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<UsageFigures>)]
    pub(super) usage: Option<Option<UsageFigures>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionChunkChoice)]
pub(super) struct ChunkChoice<'a> {
    pub(super) index: u32,
    pub(super) delta: Delta<'a>,
    #[schema(inline)]
    pub(super) logprobs: Null,
    #[schema(inline, required)]
    pub(super) finish_reason: Option<FinishWord>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ChatCompletionDelta)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline, nullable = false)]
    pub(super) role: Option<Speaker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(super) content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(super) reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(super) refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<ToolCallChunk>, required = false)]
    pub(super) tool_calls: Option<[ToolCallChunk<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<UrlCitation>, required = false)]
    pub(super) annotations: Option<[UrlCitation; 1]>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ModelObject {
    Model,
}

/// One model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Model<'a> {
    pub(super) id: &'a str,
    #[schema(inline)]
    pub(super) object: ModelObject,
    pub(super) created: i64,
    pub(super) owned_by: &'static str,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ListObject {
    List,
}

/// Every model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelList<'a> {
    #[schema(inline)]
    pub(super) object: ListObject,
    pub(super) data: Vec<Model<'a>>,
}
