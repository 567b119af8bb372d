//! Conversations with tools in the gRPC contract, which the other door expresses differently.

use duogate::app::client::{
    AudioAnswer, ChatMessage, ContentPart, CreateChatCompletionRequest, FunctionCall, Reasoning, Refusal,
    Role, ToolCall, content_part::Part, tool_call::Call,
};
use prost::Message;

use crate::support::{Ask, Gateway, frame, raw_call};

/// A valid request, changed.
fn with(change: impl FnOnce(&mut CreateChatCompletionRequest)) -> CreateChatCompletionRequest {
    let mut request = Ask::new("hi").proto();
    change(&mut request);
    request
}

fn part(part: Part) -> ContentPart {
    ContentPart {
        part: Some(part),
        ..ContentPart::default()
    }
}

#[tokio::test]
async fn a_conversation_with_tools_behind_it_is_told_in_words() {
    let gateway = Gateway::start().await;
    let assistant = ChatMessage {
        role: Role::Assistant.into(),
        content: vec![part(Part::Refusal(Refusal {
            text: "I had rather look it up.".to_owned(),
        }))],
        reasoning: Some(Reasoning {
            text: "hm".to_owned(),
        }),
        tool_calls: vec![ToolCall {
            id: "call_1".to_owned(),
            call: Some(Call::Function(FunctionCall {
                name: "look_up".to_owned(),
                arguments: r#"{"what": "time"}"#.to_owned(),
            })),
        }],
        ..ChatMessage::default()
    };
    let aloud = ChatMessage {
        role: Role::Assistant.into(),
        audio: Some(AudioAnswer {
            text: "Noon, I said.".to_owned(),
            ..AudioAnswer::default()
        }),
        ..ChatMessage::default()
    };
    let tool = ChatMessage {
        role: Role::Tool.into(),
        content: vec![part(Part::Text("12:00".to_owned()))],
        tool_call_id: Some("call_1".to_owned()),
        ..ChatMessage::default()
    };
    let request = with(|request| request.messages.extend([assistant, tool, aloud]));
    let path = "/duogate.v1.ChatService/CreateChatCompletion";
    let answer = raw_call(&gateway, path, &[], frame(&request.encode_to_vec())).await;
    assert_eq!(answer.status.code(), tonic::Code::Ok, "{:?}", answer.status);
    let sent = gateway.sim.answers().last().unwrap().text.clone();
    for told in [
        "I had rather look it up.",
        r#"[called look_up({"what": "time"})]"#,
        "call_1",
        "12:00",
        "Noon, I said.",
    ] {
        assert!(sent.contains(told), "{told:?} is not in {sent:?}");
    }
    gateway.settled().await;
    gateway.stop().await;
}
