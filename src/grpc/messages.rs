//! A chat's messages: wire to engine.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    checks::{self, Judged, invalid},
    hints::word,
    proto::{
        self, AudioFormat, ChatMessage, ContentPart, CustomToolCall, FunctionCall, ImageDetail, ToolCall,
        content_part, file, image, tool_call::Call,
    },
    request::Reading,
};
use crate::engine::{
    error::ChatError,
    event::{self, ToolKind},
    request::{Audio, File, Image, Message, Part, Role},
};

pub(super) fn read(reading: &mut Reading, index: usize, wire: ChatMessage) -> Result<Message, ChatError> {
    let path = format!("messages[{index}]");
    let ChatMessage {
        role,
        content,
        name,
        tool_call_id,
        tool_calls,
        // Meant for the reader of an answer; it comes back with the message, and says nothing to the model.
        phase: _,
        reasoning,
        audio,
        annotations: _,
    } = wire;
    let role = read_role(&format!("{path}.role"), role)?;
    checks::characters(&format!("{path}.name"), name.as_deref(), 64)?;
    let mut parts = if content.is_empty() && role == Role::Assistant {
        Vec::new()
    } else {
        read_content(reading, &format!("{path}.content"), content)?
    };
    // Words that were said aloud are there as text as well.
    if let Some(said) = audio.filter(|_| parts.iter().all(Part::is_empty)) {
        parts.push(Part::Text(said.text));
    }
    parts.extend(reasoning.map(|reasoning| Part::Reasoning(reasoning.text)));
    for (number, ToolCall { id, call }) in tool_calls.into_iter().enumerate() {
        let (kind, name, input) = match call {
            Some(Call::Function(FunctionCall { name, arguments })) => (ToolKind::Function, name, arguments),
            Some(Call::Custom(CustomToolCall { name, input })) => (ToolKind::Custom, name, input),
            // It may have come after this schema.
            None if reading.leaves_out() => {
                reading.ignore("tool_calls");
                let line = if parts.iter().all(Part::is_empty) {
                    "[called a tool]"
                } else {
                    "\n[called a tool]"
                };
                parts.push(Part::Unknown(line.to_owned()));
                continue;
            }
            None => return Err(checks::missing(&format!("{path}.tool_calls[{number}].call"))),
        };
        parts.push(Part::ToolCall(event::ToolCall {
            id,
            kind,
            name,
            input,
        }));
    }
    Ok(Message {
        role,
        name,
        call_id: tool_call_id.filter(|_| role == Role::Tool),
        parts,
    })
}

/// Reads the parts of a content; at least one.
pub(super) fn read_content(
    reading: &mut Reading,
    path: &str,
    content: Vec<ContentPart>,
) -> Result<Vec<Part>, ChatError> {
    if content.is_empty() {
        return Err(invalid(path, "expected at least one part"));
    }
    let mut parts = Vec::new();
    for (number, part) in content.into_iter().enumerate() {
        parts.extend(read_part(reading, &format!("{path}[{number}]"), part)?);
    }
    Ok(parts)
}

fn read_role(field: &str, role: i32) -> Result<Role, ChatError> {
    match proto::Role::try_from(role) {
        Ok(proto::Role::System) => Ok(Role::System),
        Ok(proto::Role::Developer) => Ok(Role::Developer),
        Ok(proto::Role::User) => Ok(Role::User),
        Ok(proto::Role::Assistant) => Ok(Role::Assistant),
        Ok(proto::Role::Tool) => Ok(Role::Tool),
        Ok(proto::Role::Unspecified) | Err(_) => {
            let problem = format!("{role} is no role. Use one of the enum duogate.v1.Role");
            Err(invalid(field, &problem))
        }
    }
}

/// Reads a part, where it is of a kind that this schema knows.
fn read_part(reading: &mut Reading, path: &str, wire: ContentPart) -> Result<Option<Part>, ChatError> {
    let ContentPart {
        part,
        prompt_cache_breakpoint: _,
    } = wire;
    let missing = |field: &str| checks::missing(&format!("{path}.{field}"));
    Ok(Some(match part {
        Some(content_part::Part::Text(text)) => Part::Text(text),
        Some(content_part::Part::Refusal(refusal)) => Part::Refusal(refusal.text),
        Some(content_part::Part::Image(image)) => {
            let judged = reading.judged(|can| can.images);
            checks::known::<ImageDetail>(&format!("{path}.image.detail"), image.detail, judged)?;
            if image.source.is_none() && judged != Judged::NotAtAll {
                return Err(missing("image.source"));
            }
            reading.need(path, "image", "images", |can| can.images)?;
            Part::Image(read_image(image))
        }
        Some(content_part::Part::File(file)) => {
            if file.source.is_none() && reading.judged(|can| can.files) != Judged::NotAtAll {
                return Err(missing("file.source"));
            }
            reading.need(path, "file", "files", |can| can.files)?;
            Part::File(read_file(file))
        }
        Some(content_part::Part::Audio(audio)) => {
            let field = format!("{path}.audio.format");
            let judged = reading.judged(|can| can.audio);
            let format = checks::known(&field, audio.format, judged)?;
            let is_good = matches!(format, Some(AudioFormat::Wav | AudioFormat::Mp3) | None);
            if !is_good && judged != Judged::NotAtAll {
                return Err(invalid(&field, "expected AUDIO_FORMAT_WAV or AUDIO_FORMAT_MP3"));
            }
            reading.need(path, "audio", "audio", |can| can.audio)?;
            Part::Audio(Audio {
                data: BASE64_STANDARD.encode(&audio.data),
                format: word(audio.format(), "AUDIO_FORMAT_"),
            })
        }
        // It may have come after this schema.
        None if reading.leaves_out() => {
            reading.ignore("part");
            return Ok(None);
        }
        None => {
            let field = format!("{path}.part");
            let message = format!("Missing '{field}': a part that this gateway knows must be set.");
            return Err(ChatError::invalid(field, message));
        }
    }))
}

fn read_image(wire: proto::Image) -> Image {
    let detail = wire.detail();
    let proto::Image {
        source,
        media_type,
        detail: _,
    } = wire;
    let url = source.map(|source| match source {
        image::Source::Url(url) => url,
        image::Source::Data(data) => data_url(&media_type, &data),
    });
    Image {
        url,
        file_id: None,
        detail: (detail != ImageDetail::Unspecified).then(|| word(detail, "IMAGE_DETAIL_")),
    }
}

fn read_file(wire: proto::File) -> File {
    let proto::File { source, filename } = wire;
    let (file_id, data) = match source {
        Some(file::Source::FileId(id)) => (Some(id), None),
        Some(file::Source::Data(data)) => (None, Some(BASE64_STANDARD.encode(data))),
        None => (None, None),
    };
    File {
        file_id,
        data,
        url: None,
        filename: (!filename.is_empty()).then_some(filename),
    }
}

/// RFC 2397.
fn data_url(media_type: &str, data: &[u8]) -> String {
    format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(data))
}
