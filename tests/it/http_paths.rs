//! Paths that are not there, and methods that a path does not have.

use crate::support::{Gateway, KEY, error_of};

#[tokio::test]
async fn unknown_paths_and_wrong_methods_get_the_same_shape() {
    let gateway = Gateway::start().await;
    let send = async |method: &str, path: &str| {
        let method = method.parse().unwrap();
        let request = gateway.web.request(method, gateway.url(path)).bearer_auth(KEY);
        request.send().await.unwrap()
    };
    for (method, path) in [
        ("GET", "/v1"),
        ("GET", "/v2/models"),
        ("POST", "/chat/completions"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1/embeddings"),
        ("DELETE", "/v1/%2e%2e/%00"),
        ("GET", "/v1/models/%ff"),
    ] {
        let failure = error_of(send(method, path).await).await;
        assert_eq!(failure.kind, "unknown_url", "{method} {path}");
    }
    for (method, path) in [
        ("GET", "/v1/chat/completions"),
        ("PUT", "/v1/chat/completions"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/one"),
        ("POST", "/health"),
        ("PATCH", "/metrics"),
    ] {
        let response = send(method, path).await;
        assert!(
            response.headers().contains_key("allow"),
            "{method} {path}: no Allow header"
        );
        assert_eq!(
            error_of(response).await.kind,
            "method_not_supported",
            "{method} {path}"
        );
    }
    gateway.stop().await;
}
