//! What the gRPC contract lets a client ask for and the gateway gives: conversations with tools behind them, several
//! answers, and ends that the client sets.

use duogate::{
    app::client::{
        AudioAnswer, ChatMessage, ContentPart, CreateChatCompletionRequest, FinishReason, FunctionCall,
        Reasoning, Refusal, Role, ToolCall, content_part::Part, stream_chat_completion_response::Event,
        tool_call::Call,
    },
    sim::answer_text,
};
use prost::Message;

use crate::support::{Ask, Gateway, for_each, frame, raw_call};

/// A good request, changed.
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

#[tokio::test]
async fn several_answers_come_numbered_and_are_counted_once() {
    let gateway = Gateway::start().await;
    for_each([1_u32, 3, 8], async |count| {
        let request = with(|request| request.n = Some(count));
        let mut call = Ask::new("hi").request();
        *call.get_mut() = request.clone();
        let whole = gateway
            .chats()
            .create_chat_completion(call)
            .await
            .unwrap()
            .into_inner();
        let indexes: Vec<u32> = whole.choices.iter().map(|choice| choice.index).collect();
        assert_eq!(indexes, (0..count).collect::<Vec<_>>());
        assert!(
            whole
                .choices
                .iter()
                .all(|choice| choice.finish_reason() == FinishReason::Stop)
        );
        let mut call = Ask::new("hi").request();
        *call.get_mut() = request;
        let mut events = gateway
            .chats()
            .stream_chat_completion(call)
            .await
            .unwrap()
            .into_inner();
        let mut texts = vec![String::new(); count as usize];
        let (mut finished, mut usages, mut sequence) = (Vec::new(), 0, 0);
        while let Some(event) = events.message().await.unwrap() {
            assert_eq!(event.sequence, sequence);
            sequence += 1;
            match event.event.unwrap() {
                Event::Content(delta) => texts[event.choice_index as usize] += &delta.text,
                Event::Finished(_) => finished.push(event.choice_index),
                Event::Usage(figures) => {
                    usages += 1;
                    assert_eq!(finished.len(), count as usize - 1, "before the last end");
                    assert_eq!(Some(figures), whole.usage);
                }
                Event::Started(_) => assert_eq!((event.sequence, event.choice_index), (0, 0)),
                Event::Reasoning(_)
                | Event::Refusal(_)
                | Event::ToolCall(_)
                | Event::Audio(_)
                | Event::Annotation(_) => panic!("the upstream gives text alone"),
            }
        }
        assert!(texts.iter().all(|text| *text == answer_text("hi")), "{texts:?}");
        finished.sort_unstable();
        assert_eq!((finished, usages), ((0..count).collect(), 1));
    })
    .await;
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn stop_texts_and_a_limit_on_tokens_end_an_answer() {
    let gateway = Gateway::start().await;
    let text = answer_text("hi");
    let (before, _) = text.split_once("said").unwrap();
    for (request, expected, reason) in [
        (
            with(|request| request.stop = vec!["said".to_owned()]),
            before,
            FinishReason::Stop,
        ),
        (
            with(|request| request.max_tokens = Some(1)),
            "You",
            FinishReason::Length,
        ),
    ] {
        let mut call = Ask::new("hi").request();
        *call.get_mut() = request;
        let whole = gateway
            .chats()
            .create_chat_completion(call)
            .await
            .unwrap()
            .into_inner();
        let choice = &whole.choices[0];
        assert_eq!(choice.finish_reason(), reason);
        let content = &choice.message.as_ref().unwrap().content;
        assert_eq!(content[0].part, Some(Part::Text(expected.to_owned())));
    }
    gateway.settled().await;
    gateway.stop().await;
}
