//! Certificates made for a test, and clients that trust them.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tonic::transport::ClientTlsConfig;

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    /// Writes both files; the certificate first.
    pub(crate) fn write(&self, directory: &Path) {
        fs::write(directory.join("tls.crt"), &self.certificate).unwrap();
        fs::write(directory.join("tls.key"), &self.key).unwrap();
    }

    /// Whether a door presents this certificate now.
    pub(crate) async fn is_shown(&self, authority: &Authority, door: SocketAddr) -> bool {
        let stream = authority.connect(door, &[b"h2"]).await;
        stream.get_ref().1.peer_certificates().unwrap()[0] == self.der
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for servers and clients on loopback.
    pub(crate) fn sign(&self) -> Pair {
        self.sign_as(|_| ())
    }

    /// The same, valid between two days.
    pub(crate) fn sign_between(&self, from: (i32, u8, u8), to: (i32, u8, u8)) -> Pair {
        self.sign_as(|params| {
            params.not_before = date_time_ymd(from.0, from.1, from.2);
            params.not_after = date_time_ymd(to.0, to.1, to.2);
        })
    }

    /// The TLS server that presents `pair`.
    pub(crate) fn acceptor(&self, pair: &Pair) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let config = config.with_single_cert(vec![pair.der.clone()], key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn sign_as(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let signed = params.signed_by(&key, &self.0).unwrap();
        Pair {
            certificate: signed.pem(),
            key: key.serialize_pem(),
            der: signed.der().clone(),
        }
    }

    /// An HTTP client that trusts only this authority and presents `pair`.
    pub(crate) fn web(&self, pair: Option<&Pair>) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        match pair {
            Some(Pair { certificate, key, .. }) => {
                let both = [certificate.as_str(), key].concat();
                client.identity(reqwest::Identity::from_pem(both.as_bytes()).unwrap())
            }
            None => client,
        }
    }

    /// The same for a gRPC client.
    pub(crate) fn channel(&self, pair: Option<&Pair>) -> ClientTlsConfig {
        let root = tonic::transport::Certificate::from_pem(self.pem());
        let config = ClientTlsConfig::new().ca_certificate(root);
        match pair {
            Some(Pair { certificate, key, .. }) => {
                config.identity(tonic::transport::Identity::from_pem(certificate, key))
            }
            None => config,
        }
    }

    /// A plain TLS connection; `protocols` are offered by ALPN.
    pub(crate) async fn connect(&self, door: SocketAddr, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(door).await.unwrap();
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }
}
