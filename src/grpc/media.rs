//! The media types of calls: gRPC's own and gRPC-Web's two, each of which may name the codec of its messages behind a `+`.
//! Case does not matter in them, and parameters say nothing.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What every media type of a call begins with.
const COMMON: &str = "application/grpc";

/// How a call is put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web.
    Web,
    /// gRPC-Web in base64.
    WebText,
}

impl Form {
    const ALL: [Self; 3] = [Self::Grpc, Self::Web, Self::WebText];

    /// The media type in the one spelling that the layers behind know.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Grpc => COMMON,
            Self::Web => "application/grpc-web",
            Self::WebText => "application/grpc-web-text",
        }
    }
}

/// A codec that is named and that messages cannot be read in: they are protobuf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnknownCodec(pub(super) String);

/// What a call's content type says; nothing where it is none of a call.
pub(super) fn content_type(headers: &HeaderMap) -> Option<(Form, Option<UnknownCodec>)> {
    let essence = essence(headers, &header::CONTENT_TYPE)?;
    let (name, codec) = match essence.split_once('+') {
        Some((name, codec)) => (name, Some(codec)),
        None => (essence.as_str(), None),
    };
    let form = Form::ALL.into_iter().find(|form| form.name() == name)?;
    let unknown = codec.filter(|codec| *codec != "proto");
    Some((form, unknown.map(|codec| UnknownCodec(codec.to_owned()))))
}

/// Whether a content type is of a call's family, right or wrong: such requests are for the gRPC door.
pub(super) fn is_of_calls(headers: &HeaderMap) -> bool {
    essence(headers, &header::CONTENT_TYPE).is_some_and(|essence| essence.starts_with(COMMON))
}

/// Writes the types as the layers behind know them: that of the call, and that which the client wants to read.
pub(super) fn respell(headers: &mut HeaderMap, form: Form) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.name()));
    let wanted = essence(headers, &header::ACCEPT).unwrap_or_default();
    if wanted.split('+').next() == Some(Form::WebText.name()) {
        headers.insert(header::ACCEPT, HeaderValue::from_static(Form::WebText.name()));
    }
}

/// The first type that a header names, without parameters, in small letters.
fn essence(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    let essence = value.split([';', ',']).next()?.trim();
    Some(essence.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
    }

    #[test]
    fn types_of_calls_are_known_in_every_spelling() {
        let json = || Some(UnknownCodec("json".to_owned()));
        for (kind, read) in [
            ("application/grpc", Some((Form::Grpc, None))),
            ("Application/GRPC+Proto", Some((Form::Grpc, None))),
            ("application/grpc;charset=utf-8", Some((Form::Grpc, None))),
            ("application/grpc+JSON ; q=1", Some((Form::Grpc, json()))),
            (
                "application/grpc+",
                Some((Form::Grpc, Some(UnknownCodec(String::new())))),
            ),
            ("APPLICATION/grpc-web", Some((Form::Web, None))),
            ("application/grpc-web+json", Some((Form::Web, json()))),
            (" application/grpc-Web-Text+proto", Some((Form::WebText, None))),
            ("application/grpcx", None),
            ("application/grpc-web-texts", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(content_type(&headers(kind)), read, "{kind}");
        }
        assert_eq!(content_type(&HeaderMap::new()), None);
        assert!(is_of_calls(&headers("APPLICATION/GRPCx")));
        assert!(!is_of_calls(&headers("application/json")));
    }
}
