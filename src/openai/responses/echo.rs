//! What was asked, as a response repeats it.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::fields::Fields;

/// What was asked, as the response repeats it. Values that came from the client stand as they came.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResponseSettings)]
pub(super) struct Echo {
    background: bool,
    #[schema(value_type = Option<String>, required)]
    instructions: Value,
    #[schema(value_type = Option<u64>, required)]
    max_output_tokens: Value,
    #[schema(value_type = Option<u64>, required)]
    max_tool_calls: Value,
    #[schema(value_type = Object)]
    metadata: Value,
    #[schema(value_type = bool)]
    parallel_tool_calls: Value,
    #[schema(value_type = Option<String>, required)]
    previous_response_id: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = String, required = false)]
    prompt_cache_key: Value,
    #[schema(inline)]
    reasoning: Reasoning,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = String, required = false)]
    safety_identifier: Value,
    service_tier: &'static str,
    /// Whether it is kept.
    store: bool,
    #[schema(value_type = f64)]
    temperature: Value,
    #[schema(inline)]
    text: Text,
    tool_choice: &'static str,
    #[schema(value_type = Vec<Object>)]
    tools: Value,
    top_logprobs: u32,
    #[schema(value_type = f64)]
    top_p: Value,
    truncation: &'static str,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = String, required = false)]
    user: Value,
}

#[derive(Debug, Serialize, ToSchema)]
struct Reasoning {
    #[schema(value_type = Option<String>, required)]
    effort: Value,
    #[schema(value_type = Option<String>, required)]
    summary: Value,
}

#[derive(Debug, Serialize, ToSchema)]
struct Text {
    #[schema(inline)]
    format: Format,
    #[schema(value_type = String)]
    verbosity: Value,
}

#[derive(Debug, Serialize, ToSchema)]
struct Format {
    r#type: &'static str,
}

impl Echo {
    pub(super) fn of(fields: &Fields, store: bool) -> Self {
        let given = |name: &str, otherwise: Value| match fields.get(name) {
            None | Some(Value::Null) => otherwise,
            Some(value) => value.clone(),
        };
        let within = |name: &str, key: &str| {
            let value = fields.get(name).and_then(|object| object.get(key));
            value.cloned().unwrap_or_default()
        };
        let verbosity = within("text", "verbosity");
        // Tools stand here only where none was to be used: with any other choice they were refused or left out.
        let none = fields.get("tool_choice").is_some_and(|choice| choice == "none");
        let tools = if none {
            given("tools", json!([]))
        } else {
            json!([])
        };
        Self {
            background: false,
            instructions: given("instructions", Value::Null),
            max_output_tokens: given("max_output_tokens", Value::Null),
            max_tool_calls: given("max_tool_calls", Value::Null),
            metadata: given("metadata", json!({})),
            parallel_tool_calls: given("parallel_tool_calls", json!(true)),
            previous_response_id: given("previous_response_id", Value::Null),
            prompt_cache_key: given("prompt_cache_key", Value::Null),
            reasoning: Reasoning {
                effort: within("reasoning", "effort"),
                summary: within("reasoning", "summary"),
            },
            safety_identifier: given("safety_identifier", Value::Null),
            service_tier: "default",
            store,
            temperature: given("temperature", json!(1.0)),
            text: Text {
                format: Format { r#type: "text" },
                verbosity: if verbosity.is_null() {
                    json!("medium")
                } else {
                    verbosity
                },
            },
            tool_choice: if none { "none" } else { "auto" },
            tools,
            top_logprobs: 0,
            top_p: given("top_p", json!(1.0)),
            truncation: "disabled",
            user: given("user", Value::Null),
        }
    }

    /// Says that the response is not kept after all.
    pub(super) fn is_not_stored(&mut self) {
        self.store = false;
    }
}
