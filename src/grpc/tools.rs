//! Tools and forms of answers: what a request says of them, and what an upstream must be able to do for it.

use std::mem;

use serde_json::Value;

use super::{
    checks::{self, Judged, invalid, missing},
    hints::word,
    proto::{
        AllowedTools, CreateChatCompletionRequest, CustomTool, FunctionTool, Grammar, GrammarSyntax,
        JsonSchemaFormat, ResponseFormat, Tool, ToolChoiceMode, ToolReference, response_format::Format, tool,
        tool_choice::Choice, tool_reference,
    },
    request::Reading,
};
use crate::engine::{error::ChatError, event::ToolKind, request};

/// The most tools of one request.
const MOST_TOOLS: usize = 128;

/// Checks what stands in these fields, as far as it is judged.
pub(super) fn check(wire: &CreateChatCompletionRequest, reading: &Reading) -> Result<(), ChatError> {
    let judged = reading.judged(|can| can.tools);
    if judged == Judged::Fully && wire.tools.len() > MOST_TOOLS {
        let expected = format!("at most {MOST_TOOLS} tools");
        return Err(checks::beyond("tools", &expected, wire.tools.len()));
    }
    if judged != Judged::NotAtAll {
        for (index, tool) in wire.tools.iter().enumerate() {
            check_tool(&format!("tools[{index}]"), tool, judged)?;
        }
        if let Some(choice) = &wire.tool_choice {
            check_choice(choice.choice.as_ref(), judged)?;
        }
    }
    let judged = reading.judged(|can| can.response_formats);
    match &wire.response_format {
        Some(format) if judged != Judged::NotAtAll => check_format(format.format.as_ref(), judged),
        Some(_) | None => Ok(()),
    }
}

/// Nothing is set, or what is set came after this schema: a fault only where it is to be obeyed.
fn unset(field: &str, judged: Judged) -> Result<(), ChatError> {
    if judged == Judged::Fully {
        Err(missing(field))
    } else {
        Ok(())
    }
}

fn check_tool(path: &str, tool: &Tool, judged: Judged) -> Result<(), ChatError> {
    match &tool.tool {
        None => unset(&format!("{path}.tool"), judged),
        Some(tool::Tool::Function(function)) => {
            let FunctionTool {
                name,
                description: _,
                parameters,
                strict: _,
            } = function;
            checks::name(&format!("{path}.function.name"), name, judged)?;
            checks::json_object(&format!("{path}.function.parameters"), parameters.as_deref())
        }
        Some(tool::Tool::Custom(custom)) => {
            checks::name(&format!("{path}.custom.name"), &custom.name, judged)?;
            let Some(Grammar {
                syntax,
                definition: _,
            }) = &custom.grammar
            else {
                return Ok(());
            };
            let field = format!("{path}.custom.grammar.syntax");
            match checks::known(&field, *syntax, judged)? {
                Some(GrammarSyntax::Unspecified) => Err(missing(&field)),
                Some(GrammarSyntax::Lark | GrammarSyntax::Regex) | None => Ok(()),
            }
        }
    }
}

fn check_choice(choice: Option<&Choice>, judged: Judged) -> Result<(), ChatError> {
    match choice {
        None => unset("tool_choice.choice", judged),
        Some(Choice::Mode(mode)) => {
            checks::known::<ToolChoiceMode>("tool_choice.mode", *mode, judged).map(drop)
        }
        Some(Choice::Function(name)) => checks::name("tool_choice.function", name, judged),
        Some(Choice::Custom(name)) => checks::name("tool_choice.custom", name, judged),
        Some(Choice::AllowedTools(allowed)) => check_allowed(allowed, judged),
    }
}

fn check_allowed(allowed: &AllowedTools, judged: Judged) -> Result<(), ChatError> {
    let AllowedTools { mode, tools } = allowed;
    let field = "tool_choice.allowed_tools.mode";
    match checks::known(field, *mode, judged)? {
        Some(ToolChoiceMode::Auto | ToolChoiceMode::Required) | None => {}
        Some(ToolChoiceMode::Unspecified | ToolChoiceMode::None) => {
            let expected = "expected TOOL_CHOICE_MODE_AUTO or TOOL_CHOICE_MODE_REQUIRED";
            return Err(invalid(field, expected));
        }
    }
    let field = "tool_choice.allowed_tools.tools";
    if tools.is_empty() {
        return Err(invalid(field, "expected at least one tool"));
    }
    match tools.iter().position(|ToolReference { tool }| tool.is_none()) {
        Some(index) => unset(&format!("{field}[{index}].tool"), judged),
        None => Ok(()),
    }
}

fn check_format(format: Option<&Format>, judged: Judged) -> Result<(), ChatError> {
    match format {
        None => unset("response_format.format", judged),
        Some(Format::Text(_) | Format::JsonObject(_)) => Ok(()),
        Some(Format::JsonSchema(schema)) => {
            let JsonSchemaFormat {
                name,
                description: _,
                schema,
                strict: _,
            } = schema;
            checks::name("response_format.json_schema.name", name, judged)?;
            checks::json_object("response_format.json_schema.schema", schema.as_deref())
        }
    }
}

/// Asks for what the upstream must be able to do.
pub(super) fn meet_needs(wire: &CreateChatCompletionRequest, reading: &mut Reading) -> Result<(), ChatError> {
    let choice = wire.tool_choice.as_ref();
    let mode = match choice.and_then(|choice| choice.choice.as_ref()) {
        Some(Choice::Mode(mode)) => ToolChoiceMode::try_from(*mode).ok(),
        Some(_) | None => None,
    };
    let has_tools = !wire.tools.is_empty();
    if has_tools && mode != Some(ToolChoiceMode::None) {
        reading.need("tools", "tools", "tools", |can| can.tools)?;
    }
    let chooses = match mode {
        Some(ToolChoiceMode::None) => false,
        Some(ToolChoiceMode::Unspecified | ToolChoiceMode::Auto) => has_tools,
        Some(ToolChoiceMode::Required) => true,
        None => choice.is_some(),
    };
    if chooses {
        reading.need("tool_choice", "tool_choice", "a choice of tools", |can| can.tools)?;
    }
    let format = wire.response_format.as_ref().map(|format| &format.format);
    if format.is_some_and(|format| !matches!(format, Some(Format::Text(_)))) {
        let what = "response formats other than text";
        reading.need("response_format", "response_format", what, |can| {
            can.response_formats
        })?;
    }
    Ok(())
}

/// Reads the tools, and the choice among them, where the upstream can call any.
pub(super) fn read(
    wire: &mut CreateChatCompletionRequest,
    reading: &Reading,
) -> (Vec<request::Tool>, Option<request::ToolChoice>) {
    if reading.judged(|can| can.tools) != Judged::Fully {
        return (Vec::new(), None);
    }
    let tools = mem::take(&mut wire.tools).into_iter().filter_map(read_tool);
    let choice = wire.tool_choice.take().and_then(|choice| choice.choice);
    (tools.collect(), choice.map(read_choice))
}

fn read_tool(wire: Tool) -> Option<request::Tool> {
    Some(match wire.tool? {
        tool::Tool::Function(function) => {
            let FunctionTool {
                name,
                description,
                parameters,
                strict,
            } = function;
            request::Tool::Function {
                name,
                description,
                parameters: read_json(parameters),
                strict,
            }
        }
        tool::Tool::Custom(custom) => {
            let CustomTool {
                name,
                description,
                grammar,
            } = custom;
            let grammar = grammar.map(|grammar| request::Grammar {
                syntax: word(grammar.syntax(), "GRAMMAR_SYNTAX_"),
                definition: grammar.definition,
            });
            request::Tool::Custom {
                name,
                description,
                grammar,
            }
        }
    })
}

/// JSON as text, which was checked before.
fn read_json(text: Option<String>) -> Option<Value> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

fn read_choice(choice: Choice) -> request::ToolChoice {
    match choice {
        Choice::Mode(mode) => match ToolChoiceMode::try_from(mode) {
            Ok(ToolChoiceMode::None) => request::ToolChoice::None,
            Ok(ToolChoiceMode::Required) => request::ToolChoice::Required,
            Ok(ToolChoiceMode::Auto | ToolChoiceMode::Unspecified) | Err(_) => request::ToolChoice::Auto,
        },
        Choice::Function(name) => request::ToolChoice::Named(ToolKind::Function, name),
        Choice::Custom(name) => request::ToolChoice::Named(ToolKind::Custom, name),
        Choice::AllowedTools(allowed) => {
            let required = allowed.mode() == ToolChoiceMode::Required;
            let tools = allowed.tools.into_iter().filter_map(|reference| reference.tool);
            let tools = tools.map(|tool| match tool {
                tool_reference::Tool::Function(name) => (ToolKind::Function, name),
                tool_reference::Tool::Custom(name) => (ToolKind::Custom, name),
            });
            request::ToolChoice::Allowed {
                required,
                tools: tools.collect(),
            }
        }
    }
}

/// Reads the form of the answer, where the upstream can give another than text.
pub(super) fn read_format(
    format: Option<ResponseFormat>,
    reading: &Reading,
) -> Option<request::ResponseFormat> {
    if reading.judged(|can| can.response_formats) != Judged::Fully {
        return None;
    }
    Some(match format?.format? {
        Format::Text(_) => request::ResponseFormat::Text,
        Format::JsonObject(_) => request::ResponseFormat::JsonObject,
        Format::JsonSchema(schema) => {
            let JsonSchemaFormat {
                name,
                description,
                schema,
                strict,
            } = schema;
            request::ResponseFormat::JsonSchema {
                name,
                description,
                schema: read_json(schema),
                strict,
            }
        }
    })
}
