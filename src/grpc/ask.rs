//! For programs that call the door: the commonest request.

use super::proto::{ChatMessage, ContentPart, CreateChatCompletionRequest, Role, content_part::Part};

impl CreateChatCompletionRequest {
    /// One message of a user's to a model. Whatever else a chat may ask for is in the fields.
    pub fn with_text(model: impl Into<String>, text: impl Into<String>) -> Self {
        let part = ContentPart {
            part: Some(Part::Text(text.into())),
            ..ContentPart::default()
        };
        let message = ChatMessage {
            role: Role::User.into(),
            content: vec![part],
            ..ChatMessage::default()
        };
        Self {
            model: model.into(),
            messages: vec![message],
            ..Self::default()
        }
    }
}
