//! Access to the admin operations.

use std::time::{Duration, Instant};

use duogate::app::client::{ListTokensRequest, diagnostics_service_client::DiagnosticsServiceClient};
use tonic::{Code, Request};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::operated;
use crate::support::{
    ADMIN_KEY, Ask, Desk, Failure, Gateway, KEY, ONCE, each_door, error_of, failure_of, keyed,
};

const SERVICE: &str = "duogate.v1.DiagnosticsService";
/// All operations, with paths that would reach them.
const ROUTES: [(&str, &str); 9] = [
    ("GET", "/admin/tokens"),
    ("POST", "/admin/tokens"),
    ("DELETE", "/admin/tokens/0123abcd"),
    ("POST", "/admin/tokens/0123abcd/reset"),
    ("POST", "/admin/tokens/0123abcd/probe"),
    ("GET", "/admin/requests"),
    ("DELETE", "/admin/requests/some/id"),
    ("GET", "/admin/explain"),
    ("DELETE", "/admin/conversations?scope=account"),
];

async fn refused_over_http(
    gateway: &Gateway,
    method: &str,
    path: &str,
    header: Option<(&str, &str)>,
) -> Failure {
    let mut request = gateway.web.request(method.parse().unwrap(), gateway.url(path));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    error_of(request.send().await.unwrap()).await
}

async fn over_grpc(gateway: &Gateway, header: Option<(&'static str, &str)>) -> Result<(), Failure> {
    let mut request = Request::new(ListTokensRequest {});
    if let Some((name, value)) = header {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    let listed = DiagnosticsServiceClient::new(gateway.channel())
        .list_tokens(request)
        .await;
    listed.map(drop).map_err(|status| failure_of(&status, false))
}

/// The services that reflection lists, and whether it knows the diagnostics service.
async fn reflected(gateway: &Gateway) -> (Vec<String>, bool) {
    let mut client = ServerReflectionClient::new(gateway.channel());
    let asked = |question| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let listed = futures::stream::iter([asked(MessageRequest::ListServices(String::new()))]);
    let mut answers = client.server_reflection_info(listed).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("no list: {answer:?}");
    };
    let names = list.service.into_iter().map(|service| service.name).collect();
    let symbol = asked(MessageRequest::FileContainingSymbol(SERVICE.to_owned()));
    let answers = client
        .server_reflection_info(futures::stream::iter([symbol]))
        .await;
    let answer = answers.unwrap().into_inner().message().await.unwrap();
    let known = match answer.unwrap().message_response {
        Some(MessageResponse::FileDescriptorResponse(_)) => true,
        Some(MessageResponse::ErrorResponse(error)) => {
            assert_eq!(error.error_code, i32::from(Code::NotFound));
            false
        }
        other => panic!("unexpected: {other:?}"),
    };
    (names, known)
}

#[tokio::test]
async fn without_an_admin_key_there_is_nothing_to_operate() {
    let gateway = Gateway::start().await;
    let bearer = |key: &str| format!("Bearer {key}");
    let keys = [None, Some(bearer(KEY)), Some(bearer(ADMIN_KEY))];
    for key in &keys {
        let header = key.as_deref().map(|key| ("authorization", key));
        for (method, path) in ROUTES.into_iter().chain([("GET", "/admin"), ("GET", "/admin/")]) {
            let refused = refused_over_http(&gateway, method, path, header).await;
            assert_eq!(refused.kind, "unknown_url", "{method} {path} {key:?}");
        }
        let refused = over_grpc(&gateway, header).await.unwrap_err();
        assert_eq!(refused.kind, "unknown_url", "{key:?}");
    }
    let (services, known) = reflected(&gateway).await;
    assert!(
        !services.iter().any(|name| name == SERVICE) && !known,
        "{services:?}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn the_admin_key_may_stand_in_three_headers_and_not_in_the_query() {
    let gateway = operated().start().await;
    let bearer = format!("bearer {ADMIN_KEY}");
    for header in [
        ("authorization", bearer.as_str()),
        ("x-api-key", ADMIN_KEY),
        ("api-key", ADMIN_KEY),
    ] {
        let request = gateway.web.get(gateway.url("/admin/tokens"));
        let answer = request.header(header.0, header.1).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{header:?}");
        assert_eq!(over_grpc(&gateway, Some(header)).await, Ok(()), "{header:?}");
    }
    let path = format!("/admin/tokens?api_key={ADMIN_KEY}");
    let refused = refused_over_http(&gateway, "GET", &path, None).await;
    assert_eq!(refused.kind, "unauthenticated");
    let (services, known) = reflected(&gateway).await;
    assert!(
        services.iter().any(|name| name == SERVICE) && known,
        "{services:?}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_enters_without_a_key_or_with_a_callers_key() {
    let gateway = operated().start().await;
    for (method, path) in ROUTES {
        let refused = refused_over_http(&gateway, method, path, None).await;
        assert_eq!(refused.kind, "unauthenticated", "{method} {path}");
    }
    for (method, path) in [
        ("PUT", "/admin/tokens"),
        ("GET", "/admin"),
        ("GET", "/admin/no/such"),
    ] {
        let refused = refused_over_http(&gateway, method, path, None).await;
        assert_eq!(
            refused.kind, "unauthenticated",
            "what is there is nobody's business: {path}"
        );
    }
    assert_eq!(
        over_grpc(&gateway, None).await.unwrap_err().kind,
        "unauthenticated"
    );
    let callers = ("x-api-key", KEY);
    let refused = refused_over_http(&gateway, "GET", "/admin/tokens", Some(callers)).await;
    assert_eq!(
        (refused.kind, refused.should_retry),
        ("unauthenticated", Some(false))
    );
    let refused = over_grpc(&gateway, Some(callers)).await.unwrap_err();
    assert_eq!(refused.kind, "unauthenticated");
    assert!(!refused.message.contains(KEY));
    gateway.stop().await;
}

#[tokio::test]
async fn wrong_keys_wait_and_right_ones_pass_them_by() {
    let gateway = operated().start().await;
    let wrong = ("x-api-key", "adm-it-wrong");
    let began = Instant::now();
    let guesses = async {
        tokio::join!(
            refused_over_http(&gateway, "GET", "/admin/tokens", Some(wrong)),
            over_grpc(&gateway, Some(wrong)),
        )
    };
    let operator = async {
        for desk in Desk::both(&gateway) {
            assert_eq!(desk.tokens().await.len(), 3);
        }
        began.elapsed()
    };
    let ((http, grpc), passed) = tokio::join!(guesses, operator);
    assert_eq!(
        (http.kind, grpc.unwrap_err().kind),
        ("unauthenticated", "unauthenticated")
    );
    assert!(
        began.elapsed() >= Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    assert!(passed < began.elapsed());
    gateway.stop().await;
}

#[tokio::test]
async fn the_admin_key_opens_no_chat_and_nothing_else_either() {
    each_door(ONCE, async |(), door| {
        let gateway = operated().start().await;
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("may I?").key(Some(ADMIN_KEY))).await;
            outcome.assert_failed("unauthenticated");
        }
        for path in ["/v1/models", "/metrics"] {
            let header = Some(("x-api-key", ADMIN_KEY));
            let refused = refused_over_http(&gateway, "GET", path, header).await;
            assert_eq!(refused.kind, "unauthenticated", "{path}");
        }
        assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn an_open_house_still_has_a_locked_desk() {
    let open = |settings: &mut duogate::config::Settings| settings.require_api_key = false;
    let gateway = operated().settings(open).start().await;
    let refused = refused_over_http(&gateway, "GET", "/admin/tokens", None).await;
    assert_eq!(refused.kind, "unauthenticated");
    assert_eq!(
        over_grpc(&gateway, None).await.unwrap_err().kind,
        "unauthenticated"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_as_everywhere() {
    let gateway = operated().start().await;
    let key = Some(("x-api-key", ADMIN_KEY));
    for path in ["/admin", "/admin/", "/admin/no/such"] {
        let refused = refused_over_http(&gateway, "GET", path, key).await;
        assert_eq!(refused.kind, "unknown_url", "{path}");
    }
    let refused = refused_over_http(&gateway, "PUT", "/admin/tokens", key).await;
    assert_eq!(refused.kind, "method_not_supported");
    let refused = refused_over_http(&gateway, "DELETE", "/admin/tokens/%ff", key).await;
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        ("invalid_request", Some("hash"))
    );
    let refused = refused_over_http(&gateway, "DELETE", "/admin/requests/%ff", key).await;
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        ("invalid_request", Some("id"))
    );
    let listed = DiagnosticsServiceClient::new(gateway.channel())
        .list_tokens(keyed(ListTokensRequest {}))
        .await;
    assert_eq!(listed.unwrap().into_inner().tokens.len(), 3);
    gateway.stop().await;
}
