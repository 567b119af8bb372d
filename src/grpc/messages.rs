//! A chat's messages as texts: all roles, content in parts, and the history of tools told in words.

use super::{
    checks::{self, Judged, invalid},
    proto::{
        self, AudioFormat, ChatMessage, ContentPart, CustomToolCall, FunctionCall, ImageDetail, ToolCall,
        content_part::Part, tool_call::Call,
    },
    request::Reading,
};
use crate::engine::{
    chat::{Message, Role, tell_call},
    error::ChatError,
};

pub(super) fn read(reading: &mut Reading, index: usize, wire: ChatMessage) -> Result<Message, ChatError> {
    let path = format!("messages[{index}]");
    let ChatMessage {
        role,
        content,
        name,
        tool_call_id,
        tool_calls,
        // What an answer carries for its reader; it comes back with the message, and says nothing to the model.
        phase: _,
        reasoning: _,
        audio,
        annotations: _,
    } = wire;
    let role = read_role(&format!("{path}.role"), role)?;
    checks::characters(&format!("{path}.name"), name.as_deref(), 64)?;
    let mut text = if content.is_empty() && role == Role::Assistant {
        String::new()
    } else {
        read_content(reading, &format!("{path}.content"), content)?
    };
    // What was said aloud stands there in words as well.
    if let Some(said) = audio.filter(|_| text.is_empty()) {
        text = said.text;
    }
    let mut told: Vec<String> = (!text.is_empty()).then_some(text).into_iter().collect();
    for (number, ToolCall { id: _, call }) in tool_calls.into_iter().enumerate() {
        told.push(match call {
            Some(Call::Function(FunctionCall { name, arguments })) => tell_call(&name, &arguments),
            Some(Call::Custom(CustomToolCall { name, input })) => tell_call(&name, &input),
            // It may have come after this schema.
            None if reading.leaves_out() => {
                reading.ignore("tool_calls");
                "[called a tool]".to_owned()
            }
            None => return Err(checks::missing(&format!("{path}.tool_calls[{number}].call"))),
        });
    }
    // A tool's answer is named by its function's name, or else by the call that it answers.
    let filled = |text: &String| !text.is_empty();
    let call = tool_call_id.filter(|id| filled(id) && role == Role::Tool);
    let name = name.filter(filled).or(call);
    Ok(Message {
        role,
        name,
        text: told.join("\n"),
    })
}

/// The texts of the parts as one.
pub(super) fn read_content(
    reading: &mut Reading,
    path: &str,
    content: Vec<ContentPart>,
) -> Result<String, ChatError> {
    if content.is_empty() {
        return Err(invalid(path, "expected at least one part"));
    }
    let mut text = String::new();
    for (number, part) in content.into_iter().enumerate() {
        read_part(reading, &format!("{path}[{number}]"), part, &mut text)?;
    }
    Ok(text)
}

fn read_role(field: &str, role: i32) -> Result<Role, ChatError> {
    match proto::Role::try_from(role) {
        Ok(proto::Role::System | proto::Role::Developer) => Ok(Role::System),
        Ok(proto::Role::User) => Ok(Role::User),
        Ok(proto::Role::Assistant) => Ok(Role::Assistant),
        Ok(proto::Role::Tool) => Ok(Role::Tool),
        Ok(proto::Role::Unspecified) | Err(_) => {
            let problem = format!("{role} is no role. Use one of the enum duogate.v1.Role");
            Err(invalid(field, &problem))
        }
    }
}

/// Adds a part to a message's text; what the upstream cannot take stands there as a word, where it is not refused.
fn read_part(
    reading: &mut Reading,
    path: &str,
    wire: ContentPart,
    text: &mut String,
) -> Result<(), ChatError> {
    let ContentPart {
        part,
        prompt_cache_breakpoint: _,
    } = wire;
    let missing = |field: &str| checks::missing(&format!("{path}.{field}"));
    match part {
        Some(Part::Text(piece)) => text.push_str(&piece),
        Some(Part::Refusal(refusal)) => text.push_str(&refusal.text),
        Some(Part::Image(image)) => {
            let judged = reading.judged(|can| can.images);
            checks::known::<ImageDetail>(&format!("{path}.image.detail"), image.detail, judged)?;
            if image.source.is_none() && judged != Judged::NotAtAll {
                return Err(missing("image.source"));
            }
            reading.need(path, "image", "images", |can| can.images)?;
            text.push_str("[image]");
        }
        Some(Part::File(file)) => {
            if file.source.is_none() && reading.judged(|can| can.files) != Judged::NotAtAll {
                return Err(missing("file.source"));
            }
            reading.need(path, "file", "files", |can| can.files)?;
            text.push_str("[file]");
        }
        Some(Part::Audio(audio)) => {
            let field = format!("{path}.audio.format");
            let judged = reading.judged(|can| can.audio);
            let format = checks::known(&field, audio.format, judged)?;
            let is_good = matches!(format, Some(AudioFormat::Wav | AudioFormat::Mp3) | None);
            if !is_good && judged != Judged::NotAtAll {
                return Err(invalid(&field, "expected AUDIO_FORMAT_WAV or AUDIO_FORMAT_MP3"));
            }
            reading.need(path, "audio", "audio", |can| can.audio)?;
            text.push_str("[audio]");
        }
        // It may have come after this schema.
        None if reading.leaves_out() => reading.ignore("part"),
        None => {
            let field = format!("{path}.part");
            let message = format!("Missing '{field}': a part that this gateway knows must be set.");
            return Err(ChatError::invalid(field, message));
        }
    }
    Ok(())
}
