//! Tools and forms of answers: what a request says of them, and what an upstream must be able to do for it.

use super::{
    checks::{self, invalid, missing},
    proto::{
        AllowedTools, CreateChatCompletionRequest, FunctionTool, Grammar, GrammarSyntax, JsonSchemaFormat,
        Tool, ToolChoiceMode, ToolReference, response_format::Format, tool, tool_choice::Choice,
    },
    request::Reading,
};
use crate::engine::error::ChatError;

/// The most tools of one request.
const MOST_TOOLS: usize = 128;

/// Checks what stands in these fields, whether the upstream can do it or not.
pub(super) fn check(wire: &CreateChatCompletionRequest) -> Result<(), ChatError> {
    if wire.tools.len() > MOST_TOOLS {
        let expected = format!("at most {MOST_TOOLS} tools");
        return Err(checks::beyond("tools", &expected, wire.tools.len()));
    }
    for (index, tool) in wire.tools.iter().enumerate() {
        check_tool(&format!("tools[{index}]"), tool)?;
    }
    if let Some(choice) = &wire.tool_choice {
        check_choice(choice.choice.as_ref())?;
    }
    match &wire.response_format {
        None => Ok(()),
        Some(format) => check_format(format.format.as_ref()),
    }
}

fn check_tool(path: &str, tool: &Tool) -> Result<(), ChatError> {
    match &tool.tool {
        None => Err(missing(&format!("{path}.tool"))),
        Some(tool::Tool::Function(function)) => {
            let FunctionTool {
                name,
                description: _,
                parameters,
                strict: _,
            } = function;
            checks::name(&format!("{path}.function.name"), name)?;
            checks::json_object(&format!("{path}.function.parameters"), parameters.as_deref())
        }
        Some(tool::Tool::Custom(custom)) => {
            checks::name(&format!("{path}.custom.name"), &custom.name)?;
            let Some(Grammar {
                syntax,
                definition: _,
            }) = &custom.grammar
            else {
                return Ok(());
            };
            let field = format!("{path}.custom.grammar.syntax");
            match checks::known(&field, *syntax)? {
                GrammarSyntax::Unspecified => Err(missing(&field)),
                GrammarSyntax::Lark | GrammarSyntax::Regex => Ok(()),
            }
        }
    }
}

fn check_choice(choice: Option<&Choice>) -> Result<(), ChatError> {
    match choice {
        None => Err(missing("tool_choice.choice")),
        Some(Choice::Mode(mode)) => checks::known::<ToolChoiceMode>("tool_choice.mode", *mode).map(drop),
        Some(Choice::Function(name)) => checks::name("tool_choice.function", name),
        Some(Choice::Custom(name)) => checks::name("tool_choice.custom", name),
        Some(Choice::AllowedTools(AllowedTools { mode, tools })) => {
            let field = "tool_choice.allowed_tools.mode";
            let mode = checks::known(field, *mode)?;
            if !matches!(mode, ToolChoiceMode::Auto | ToolChoiceMode::Required) {
                return Err(invalid(
                    field,
                    "expected TOOL_CHOICE_MODE_AUTO or TOOL_CHOICE_MODE_REQUIRED",
                ));
            }
            let field = "tool_choice.allowed_tools.tools";
            if tools.is_empty() {
                return Err(invalid(field, "expected at least one tool"));
            }
            match tools.iter().position(|ToolReference { tool }| tool.is_none()) {
                Some(index) => Err(missing(&format!("{field}[{index}].tool"))),
                None => Ok(()),
            }
        }
    }
}

fn check_format(format: Option<&Format>) -> Result<(), ChatError> {
    match format {
        None => Err(missing("response_format.format")),
        Some(Format::Text(_) | Format::JsonObject(_)) => Ok(()),
        Some(Format::JsonSchema(schema)) => {
            let JsonSchemaFormat {
                name,
                description: _,
                schema,
                strict: _,
            } = schema;
            checks::name("response_format.json_schema.name", name)?;
            checks::json_object("response_format.json_schema.schema", schema.as_deref())
        }
    }
}

/// Asks for what the upstream must be able to do.
pub(super) fn meet_needs(wire: &CreateChatCompletionRequest, reading: &mut Reading) -> Result<(), ChatError> {
    let choice = wire
        .tool_choice
        .as_ref()
        .and_then(|choice| choice.choice.as_ref());
    let mode = match choice {
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
    let format = wire
        .response_format
        .as_ref()
        .and_then(|format| format.format.as_ref());
    if matches!(format, Some(Format::JsonObject(_) | Format::JsonSchema(_))) {
        let what = "response formats other than text";
        reading.need("response_format", "response_format", what, |can| {
            can.response_formats
        })?;
    }
    Ok(())
}
