//! Wants of the gateway's own machine, through the real client: they are told from faults of the upstream.

use std::{error::Error, io, sync::Arc, time::Duration};

use http::HeaderMap;
use reqwest::dns::{Name, Resolve, Resolving};

use super::{Endpoints, service::Service};
use crate::{
    engine::{
        calls::Purpose,
        provider::{Fault, Token},
        verdict::{ChatVerdict, TokenVerdict, verdict},
    },
    providers::Proxies,
    telemetry::Metrics,
};

/// Fails as the operating system would, with this number.
struct Fails(i32);

impl Resolve for Fails {
    fn resolve(&self, _: Name) -> Resolving {
        let error: Box<dyn Error + Send + Sync> = io::Error::from_raw_os_error(self.0).into();
        Box::pin(std::future::ready(Err(error)))
    }
}

/// A service whose four origins are one.
pub(super) fn service_at(url: &str) -> Service {
    let url = url.to_owned();
    let endpoints = Endpoints {
        project: url.clone(),
        conversation: url.clone(),
        message: url.clone(),
        target: url.clone(),
        site: url,
        headers: HeaderMap::new(),
        proxy: None,
        proxies: Proxies::default(),
        timeout: Duration::from_secs(60),
    };
    let metrics = Arc::new(Metrics::build().unwrap());
    Service::build(endpoints, metrics, Duration::from_secs(1)).unwrap()
}

fn service(number: i32) -> Service {
    let mut service = service_at("http://upstream.invalid");
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .dns_resolver(Arc::new(Fails(number)));
    service.client = client.build().unwrap();
    service
}

#[tokio::test]
async fn each_want_is_local_and_judges_neither_origin_nor_token() {
    let wants = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EADDRNOTAVAIL,
    ];
    for number in wants {
        let error = service(number)
            .list_projects(&Token::new("token".into()), Purpose::Background)
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::Local { sent: false }, "{number}: {error}");
        assert!(!error.fault.is_services(), "{number}");
        assert_eq!(
            verdict(&error),
            (TokenVerdict::Keep, ChatVerdict::GiveUp),
            "{number}"
        );
    }
    for number in [libc::ECONNREFUSED, libc::ENETUNREACH, libc::ECONNRESET] {
        let error = service(number)
            .list_projects(&Token::new("token".into()), Purpose::Background)
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::Connection, "{number}: {error}");
    }
}
