//! Reflection without a key: the services, and the whole schema with its comments.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, MethodDescriptorProto};
use tonic::Code;

use crate::support::Gateway;

/// A reflection request.
#[derive(Debug, Clone, PartialEq)]
enum Question {
    Services,
    Symbol(String),
    File(String),
    Extension(String, i32),
    ExtensionNumbers(String),
    Nothing,
}

/// A reflection response.
#[derive(Debug, PartialEq)]
enum Told {
    Services(Vec<String>),
    Files(Vec<Vec<u8>>),
    ExtensionNumbers(String, Vec<i32>),
    Error(Code),
}

/// One version of the reflection protocol; the versions differ only in their packages. Requests are sent one after
/// another on one stream, each after the previous response.
macro_rules! explorer {
    ($version:ident) => {
        pub(super) mod $version {
            use tonic_reflection::pb::$version::{
                ExtensionRequest, ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };

            use super::{Question, Told};
            use crate::support::{Gateway, within};

            fn request(question: Question) -> ServerReflectionRequest {
                let message_request = match question {
                    Question::Services => Some(MessageRequest::ListServices(String::new())),
                    Question::Symbol(name) => Some(MessageRequest::FileContainingSymbol(name)),
                    Question::File(name) => Some(MessageRequest::FileByFilename(name)),
                    Question::Extension(containing_type, extension_number) => {
                        Some(MessageRequest::FileContainingExtension(ExtensionRequest {
                            containing_type,
                            extension_number,
                        }))
                    }
                    Question::ExtensionNumbers(name) => Some(MessageRequest::AllExtensionNumbersOfType(name)),
                    Question::Nothing => None,
                };
                ServerReflectionRequest {
                    host: "a.host".to_owned(),
                    message_request,
                }
            }

            pub(in super::super) async fn ask(gateway: &Gateway, questions: &[Question]) -> Vec<Told> {
                let (say, asked) = tokio::sync::mpsc::channel(1);
                let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
                let mut client = ServerReflectionClient::new(gateway.channel());
                let mut answers = client
                    .server_reflection_info(asked)
                    .await
                    .unwrap()
                    .into_inner();
                let mut told = Vec::new();
                for question in questions {
                    let request = request(question.clone());
                    say.send(request.clone()).await.unwrap();
                    let answer = within("an answer", answers.message()).await.unwrap();
                    let answer = answer.expect("the stream goes on");
                    assert_eq!(answer.valid_host, "a.host");
                    assert_eq!(answer.original_request, Some(request));
                    told.push(match answer.message_response.expect("a response") {
                        MessageResponse::ListServicesResponse(list) => Told::Services(
                            list.service
                                .into_iter()
                                .map(|service| service.name)
                                .collect(),
                        ),
                        MessageResponse::FileDescriptorResponse(files) => {
                            Told::Files(files.file_descriptor_proto)
                        }
                        MessageResponse::AllExtensionNumbersResponse(numbers) => {
                            Told::ExtensionNumbers(numbers.base_type_name, numbers.extension_number)
                        }
                        MessageResponse::ErrorResponse(error) => {
                            assert!(!error.error_message.is_empty());
                            Told::Error(error.error_code.into())
                        }
                    });
                }
                drop(say);
                let end = within("the end", answers.message()).await.unwrap();
                assert!(end.is_none(), "one question, one answer: {end:?}");
                told
            }
        }
    };
}

mod by {
    use super::{Question, Told};

    explorer!(v1);
    explorer!(v1alpha);
}

/// The responses of both versions.
async fn ask(gateway: &Gateway, questions: &[Question]) -> [Vec<Told>; 2] {
    let (first, second) = tokio::join!(
        by::v1::ask(gateway, questions),
        by::v1alpha::ask(gateway, questions)
    );
    [first, second]
}

/// The responses of both versions, which must be equal.
async fn ask_alike(gateway: &Gateway, questions: &[Question]) -> Vec<Told> {
    let [first, second] = ask(gateway, questions).await;
    assert_eq!(first, second);
    first
}

fn symbol(name: &str) -> Question {
    Question::Symbol(name.to_owned())
}

fn file_in(told: &Told) -> FileDescriptorProto {
    let Told::Files(files) = told else {
        panic!("no file: {told:?}");
    };
    FileDescriptorProto::decode(files[0].as_slice()).unwrap()
}

#[tokio::test]
async fn both_versions_list_exactly_the_services_that_are_there_without_a_key() {
    let gateway = Gateway::start().await;
    let reflection = [
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    for (told, own) in ask(&gateway, &[Question::Services])
        .await
        .into_iter()
        .zip(reflection)
    {
        // Each version lists itself and not the other.
        let names = ["duogate.v1.ChatService", "grpc.health.v1.Health", own].map(str::to_owned);
        assert_eq!(told, [Told::Services(names.to_vec())]);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn both_versions_describe_the_chat_service_with_its_comments() {
    let gateway = Gateway::start().await;
    let told = ask_alike(&gateway, &[symbol("duogate.v1.ChatService")]).await;
    let file = file_in(&told[0]);
    assert_eq!(file.name(), "duogate/v1/chat_service.proto");
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
    let told = comments
        .location
        .iter()
        .any(|place| place.leading_comments().contains("Every chat"));
    assert!(told, "the comments are gone");
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_an_error_within_the_stream_which_goes_on() {
    let gateway = Gateway::start().await;
    let unknown = [
        symbol("no.such.Thing"),
        symbol(""),
        symbol(".duogate.v1.Role"),
        Question::File("no/such.proto".to_owned()),
        Question::Extension("duogate.v1.Model".to_owned(), 1000),
        Question::Extension("no.such.Thing".to_owned(), 1),
        Question::ExtensionNumbers("no.such.Thing".to_owned()),
        Question::ExtensionNumbers("duogate.v1.Role".to_owned()),
    ];
    let known = symbol("duogate.v1.Model");
    let mut questions: Vec<Question> = unknown
        .iter()
        .flat_map(|question| [question.clone(), known.clone()])
        .collect();
    questions.extend([Question::Nothing, Question::Services]);
    let told = ask_alike_but_for_services(&gateway, &questions).await;
    for (question, told) in questions.iter().zip(&told) {
        if *question == known {
            assert_eq!(file_in(told).name(), "duogate/v1/models.proto");
        } else if *question == Question::Nothing {
            assert_eq!(*told, Told::Error(Code::InvalidArgument));
        } else if *question == Question::Services {
            assert!(matches!(told, Told::Services(_)), "{told:?}");
        } else {
            assert_eq!(*told, Told::Error(Code::NotFound), "{question:?}");
        }
    }
    gateway.stop().await;
}

async fn ask_alike_but_for_services(gateway: &Gateway, questions: &[Question]) -> Vec<Told> {
    let [first, second] = ask(gateway, questions).await;
    let differ = first.iter().zip(&second).filter(|(one, other)| one != other);
    assert!(
        differ.clone().all(|(one, _)| matches!(one, Told::Services(_))),
        "{:?}",
        differ.collect::<Vec<_>>()
    );
    first
}

#[tokio::test]
async fn names_follow_protobufs_rules_of_scope() {
    let gateway = Gateway::start().await;
    let known = [
        "duogate.v1.Model",
        "duogate.v1.Role",
        // The values of an enum are in the scope around it.
        "duogate.v1.ROLE_USER",
        "duogate.v1.FINISH_REASON_STOP",
        "grpc.health.v1.HealthCheckResponse.ServingStatus",
        "grpc.health.v1.HealthCheckResponse.SERVING",
        "duogate.v1.ChatService.GetModel",
        "duogate.v1.ChatMessage.role",
        "duogate.v1.StreamChatCompletionResponse.event",
        "duogate.v1.StreamChatCompletionResponse.keep_alive",
        "grpc.health.v1.HealthListResponse.StatusesEntry.value",
        "google.rpc.ErrorInfo",
        "google.protobuf.Duration",
    ];
    let unknown = [
        "duogate.v1.Role.ROLE_USER",
        "duogate.v1.FinishReason.FINISH_REASON_STOP",
        "grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING",
        "grpc.health.v1.SERVING",
        "duogate.v1.role",
        "duogate.v1",
        "ROLE_USER",
        "duogate.v1.DiagnosticsService",
    ];
    let questions: Vec<Question> = known.iter().chain(&unknown).map(|name| symbol(name)).collect();
    let told = ask_alike(&gateway, &questions).await;
    for (index, (name, told)) in known.iter().chain(&unknown).zip(&told).enumerate() {
        let is_known = index < known.len();
        assert_eq!(matches!(told, Told::Files(_)), is_known, "{name}: {told:?}");
        assert!(
            is_known || *told == Told::Error(Code::NotFound),
            "{name}: {told:?}"
        );
    }
    gateway.stop().await;
}

/// Every name declared in a file, by protobuf's scoping rules.
fn names_in(file: &FileDescriptorProto) -> Vec<String> {
    fn of_enum(scope: &str, one: &EnumDescriptorProto, names: &mut Vec<String>) {
        names.push(format!("{scope}.{}", one.name()));
        names.extend(one.value.iter().map(|value| format!("{scope}.{}", value.name())));
    }
    fn of_message(scope: &str, message: &DescriptorProto, names: &mut Vec<String>) {
        let name = format!("{scope}.{}", message.name());
        names.extend(
            message
                .field
                .iter()
                .map(|field| format!("{name}.{}", field.name())),
        );
        let groups = message.oneof_decl.iter();
        names.extend(groups.map(|group| format!("{name}.{}", group.name())));
        for nested in &message.nested_type {
            of_message(&name, nested, names);
        }
        for one in &message.enum_type {
            of_enum(&name, one, names);
        }
        names.push(name);
    }
    let (scope, mut names) = (file.package(), Vec::new());
    for message in &file.message_type {
        of_message(scope, message, &mut names);
    }
    for one in &file.enum_type {
        of_enum(scope, one, &mut names);
    }
    for service in &file.service {
        let name = format!("{scope}.{}", service.name());
        names.extend(
            service
                .method
                .iter()
                .map(|method| format!("{name}.{}", method.name())),
        );
        names.push(name);
    }
    names
}

#[tokio::test]
async fn every_file_that_another_needs_is_there_and_every_name_in_them_is_found() {
    let gateway = Gateway::start().await;
    let [first, _] = ask(&gateway, &[Question::Services]).await;
    let Told::Services(services) = &first[0] else {
        panic!("no list: {first:?}");
    };
    let questions: Vec<Question> = services.iter().map(|name| symbol(name)).collect();
    let mut files: Vec<FileDescriptorProto> = by::v1::ask(&gateway, &questions)
        .await
        .iter()
        .map(file_in)
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(file) = files.pop() {
        if !seen.insert(file.name().to_owned()) {
            continue;
        }
        let needed = file.dependency.iter().cloned().map(Question::File);
        let needed = by::v1::ask(&gateway, &needed.collect::<Vec<_>>()).await;
        files.extend(needed.iter().map(file_in));
        let names = names_in(&file);
        let questions: Vec<Question> = names.iter().map(|name| symbol(name)).collect();
        for (name, told) in names.iter().zip(by::v1::ask(&gateway, &questions).await) {
            assert_eq!(file_in(&told).name(), file.name(), "{name}");
        }
    }
    for name in ["duogate/v1/converse.proto", "google/protobuf/duration.proto"] {
        assert!(seen.contains(name), "{seen:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_that_nobody_extends_has_no_extensions() {
    let gateway = Gateway::start().await;
    let name = "duogate.v1.ChatMessage".to_owned();
    let told = ask_alike(&gateway, &[Question::ExtensionNumbers(name.clone())]).await;
    assert_eq!(told, [Told::ExtensionNumbers(name, Vec::new())]);
    gateway.stop().await;
}
