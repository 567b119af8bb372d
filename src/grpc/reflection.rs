//! Server reflection, in both of its versions: the contracts, for explorers that have no files of them. What cannot be
//! answered is an error within the stream, which goes on.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::{
    v1::{self, server_reflection_server::ServerReflectionServer as V1Server},
    v1alpha::{self, server_reflection_server::ServerReflectionServer as V1AlphaServer},
};

use super::schema::Schema;

/// What is asked.
enum Question {
    File(String),
    Symbol(String),
    Extension(String, i32),
    ExtensionNumbers(String),
    Services,
    Nothing,
}

/// What is told.
enum Told {
    File(Bytes),
    ExtensionNumbers(String, Vec<i32>),
    Services(Vec<String>),
    Failure(Code, String),
}

fn answer(schema: &Schema, question: Question) -> Told {
    let found = |file: Option<&Bytes>, what: String| match file {
        Some(file) => Told::File(file.clone()),
        None => Told::Failure(Code::NotFound, format!("There is no {what}.")),
    };
    match question {
        Question::File(name) => found(schema.file(&name), format!("file '{name}'")),
        Question::Symbol(name) => found(schema.file_of(&name), format!("symbol '{name}'")),
        Question::Extension(message, number) => found(
            schema.file_of_extension(&message, number),
            format!("extension {number} of '{message}'"),
        ),
        Question::ExtensionNumbers(message) => match schema.extensions_of(&message) {
            Some(numbers) => Told::ExtensionNumbers(message, numbers),
            None => Told::Failure(Code::NotFound, format!("There is no message '{message}'.")),
        },
        Question::Services => Told::Services(schema.services().cloned().collect()),
        Question::Nothing => {
            let message = "Missing 'message_request': one that this gateway knows must be set.";
            Told::Failure(Code::InvalidArgument, message.to_owned())
        }
    }
}

/// One version of the protocol; the two differ in nothing but their packages.
macro_rules! version {
    ($name:ident, $version:ident) => {
        struct $name(Arc<Schema>);

        impl $name {
            fn answer(
                schema: &Schema,
                request: $version::ServerReflectionRequest,
            ) -> $version::ServerReflectionResponse {
                use $version::{
                    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
                };
                let question = match request.message_request.clone() {
                    Some(MessageRequest::FileByFilename(name)) => Question::File(name),
                    Some(MessageRequest::FileContainingSymbol(name)) => Question::Symbol(name),
                    Some(MessageRequest::FileContainingExtension(asked)) => {
                        Question::Extension(asked.containing_type, asked.extension_number)
                    }
                    Some(MessageRequest::AllExtensionNumbersOfType(name)) => Question::ExtensionNumbers(name),
                    Some(MessageRequest::ListServices(_)) => Question::Services,
                    None => Question::Nothing,
                };
                let told = match answer(schema, question) {
                    Told::File(file) => {
                        MessageResponse::FileDescriptorResponse($version::FileDescriptorResponse {
                            file_descriptor_proto: vec![file.to_vec()],
                        })
                    }
                    Told::ExtensionNumbers(base_type_name, extension_number) => {
                        MessageResponse::AllExtensionNumbersResponse($version::ExtensionNumberResponse {
                            base_type_name,
                            extension_number,
                        })
                    }
                    Told::Services(names) => {
                        let service = names
                            .into_iter()
                            .map(|name| $version::ServiceResponse { name });
                        let service = service.collect();
                        MessageResponse::ListServicesResponse($version::ListServiceResponse { service })
                    }
                    Told::Failure(code, error_message) => {
                        MessageResponse::ErrorResponse($version::ErrorResponse {
                            error_code: code.into(),
                            error_message,
                        })
                    }
                };
                $version::ServerReflectionResponse {
                    valid_host: request.host.clone(),
                    original_request: Some(request),
                    message_response: Some(told),
                }
            }
        }

        #[tonic::async_trait]
        impl $version::server_reflection_server::ServerReflection for $name {
            type ServerReflectionInfoStream =
                BoxStream<'static, Result<$version::ServerReflectionResponse, Status>>;

            async fn server_reflection_info(
                &self,
                request: Request<Streaming<$version::ServerReflectionRequest>>,
            ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                let schema = Arc::clone(&self.0);
                let answers = request
                    .into_inner()
                    .map(move |request| request.map(|request| Self::answer(&schema, request)));
                Ok(Response::new(answers.boxed()))
            }
        }
    };
}

version!(V1, v1);
version!(V1Alpha, v1alpha);

/// The service in its first version that is stable.
pub(super) fn v1(schema: Arc<Schema>) -> V1Server<impl v1::server_reflection_server::ServerReflection> {
    V1Server::new(V1(schema))
}

/// The version before it, which many explorers still speak.
pub(super) fn v1alpha(
    schema: Arc<Schema>,
) -> V1AlphaServer<impl v1alpha::server_reflection_server::ServerReflection> {
    V1AlphaServer::new(V1Alpha(schema))
}
