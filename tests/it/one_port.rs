//! Both doors on one port, distinguished by the request.

use crate::support::{Ask, Authority, Door, Gateway, KEY, ONCE, Setup, each_door};

async fn it_answers(gateway: &Gateway, door: Door) {
    assert_eq!(gateway.http, gateway.grpc);
    for way in door.ways() {
        let outcome = way.ask(gateway, &Ask::new("one port")).await;
        outcome.assert_whole(&duogate::sim::answer_text("one port"));
    }
    // HTTP/2 alone does not make a gRPC call.
    let health = gateway.raw.get(gateway.url("/health")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    assert_eq!(health.version(), http::Version::HTTP_2);
    let listed = gateway.raw.get(gateway.url("/v1/models")).bearer_auth(KEY);
    assert_eq!(listed.send().await.unwrap().status(), 200);
    gateway.settled().await;
}

#[tokio::test]
async fn one_port_serves_both_protocols() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new().one_port().start().await;
        it_answers(&gateway, door).await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn one_port_serves_both_protocols_over_tls() {
    each_door(ONCE, async |(), door| {
        let (authority, place) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.sign().write(place.path());
        let setup = Setup::new().one_port().tls(place.path());
        let gateway = setup.start_with(Some(&authority), None).await;
        it_answers(&gateway, door).await;
        for protocol in [b"h2".as_slice(), b"http/1.1"] {
            let stream = authority.connect(gateway.http, &[protocol]).await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        }
        gateway.stop().await
    })
    .await;
}
