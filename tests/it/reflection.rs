//! What explorers see without a key: the services, and the whole schema with its comments.

use prost::Message;
use prost_types::{FileDescriptorProto, MethodDescriptorProto};
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::Gateway;

/// One version of the reflection protocol; the two differ in nothing but their packages.
macro_rules! explorer {
    ($version:ident, $channel:expr, $request:expr) => {{
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let request = $version::ServerReflectionRequest {
            host: String::new(),
            message_request: Some($request(
                MessageRequest::ListServices,
                MessageRequest::FileContainingSymbol,
            )),
        };
        let mut client = $version::server_reflection_client::ServerReflectionClient::new($channel);
        let asked = futures::stream::iter([request]);
        let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().expect("an answer");
        assert!(
            answers.message().await.unwrap().is_none(),
            "one question, one answer"
        );
        match answer.message_response.expect("a response") {
            MessageResponse::ListServicesResponse(list) => {
                Told::Services(list.service.into_iter().map(|service| service.name).collect())
            }
            MessageResponse::FileDescriptorResponse(files) => Told::Files(files.file_descriptor_proto),
            MessageResponse::ErrorResponse(_) => Told::Error,
            other => panic!("unexpected: {other:?}"),
        }
    }};
}

#[derive(Debug)]
enum Told {
    Services(Vec<String>),
    Files(Vec<Vec<u8>>),
    Error,
}

async fn services(gateway: &Gateway) -> [Told; 2] {
    [
        explorer!(
            v1,
            gateway.channel(),
            |list: fn(String) -> _, _: fn(String) -> _| list(String::new())
        ),
        explorer!(
            v1alpha,
            gateway.channel(),
            |list: fn(String) -> _, _: fn(String) -> _| list(String::new())
        ),
    ]
}

async fn symbol(gateway: &Gateway, name: &str) -> [Told; 2] {
    [
        explorer!(
            v1,
            gateway.channel(),
            |_: fn(String) -> _, file: fn(String) -> _| file(name.to_owned())
        ),
        explorer!(
            v1alpha,
            gateway.channel(),
            |_: fn(String) -> _, file: fn(String) -> _| file(name.to_owned())
        ),
    ]
}

#[tokio::test]
async fn both_versions_list_exactly_the_services_that_are_there_without_a_key() {
    let gateway = Gateway::start().await;
    let reflection = [
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    for (told, own) in services(&gateway).await.into_iter().zip(reflection) {
        let Told::Services(mut names) = told else {
            panic!("no list: {told:?}");
        };
        names.sort_unstable();
        // Each version tells of itself; who asks in one has no use for the other.
        assert_eq!(names, ["duogate.v1.ChatService", "grpc.health.v1.Health", own]);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn both_versions_describe_the_chat_service_with_its_comments() {
    let gateway = Gateway::start().await;
    for told in symbol(&gateway, "duogate.v1.ChatService").await {
        let Told::Files(files) = told else {
            panic!("no files: {told:?}");
        };
        let files = files
            .iter()
            .map(|bytes| FileDescriptorProto::decode(bytes.as_slice()).unwrap());
        let files: Vec<_> = files.collect();
        let file = files
            .iter()
            .find(|file| file.name() == "duogate/v1/chat_service.proto")
            .expect("the file");
        let service = file
            .service
            .iter()
            .find(|service| service.name() == "ChatService")
            .expect("it");
        let methods: Vec<_> = service.method.iter().map(MethodDescriptorProto::name).collect();
        for method in [
            "CreateChatCompletion",
            "StreamChatCompletion",
            "ListModels",
            "GetModel",
            "Converse",
        ] {
            assert!(methods.contains(&method), "{methods:?}");
        }
        let comments = file.source_code_info.as_ref().expect("source information");
        let told = comments.location.iter().any(|place| {
            place.leading_comments().contains("every chat") || place.leading_comments().contains("Every chat")
        });
        assert!(told, "the comments are gone");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn imported_messages_are_found_and_unknown_names_are_not() {
    let gateway = Gateway::start().await;
    for name in [
        "duogate.v1.Model",
        "duogate.v1.Role",
        "duogate.v1.ChatService.GetModel",
    ] {
        for told in symbol(&gateway, name).await {
            assert!(
                matches!(told, Told::Files(ref files) if !files.is_empty()),
                "{name}: {told:?}"
            );
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_unknown_name_is_an_error_of_its_own() {
    let gateway = Gateway::start().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(gateway.channel());
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1::server_reflection_request::MessageRequest::FileContainingSymbol("no.such.Thing".to_owned()),
        ),
    };
    let asked = client
        .server_reflection_info(futures::stream::iter([request]))
        .await;
    // The protocol knows an error inside the stream; the library ends the stream with the same code.
    let code = match asked.unwrap().into_inner().message().await {
        Err(status) => status.code() as i32,
        Ok(Some(answer)) => match answer.message_response {
            Some(v1::server_reflection_response::MessageResponse::ErrorResponse(error)) => error.error_code,
            other => panic!("unexpected: {other:?}"),
        },
        Ok(None) => panic!("no answer"),
    };
    assert_eq!(code, tonic::Code::NotFound as i32);
    gateway.stop().await;
}
