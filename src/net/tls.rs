//! TLS of both doors: the server certificate, client certificates, and reloading both while the process runs.

mod files;
mod validity;

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::RwLock;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::CertificateDer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use self::files::{Contents, Digest};
pub use self::validity::Validity;
use crate::telemetry::Metrics;

/// Interval between checks of the files. Contents are compared, so every way of replacing a file is noticed: a rename,
/// a write in place, a switched symbolic link as in Kubernetes.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Paths of the certificate files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// PEM: the gateway's certificate, followed by the intermediate certificates.
    pub certificate: PathBuf,
    /// PEM: its private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
    /// PEM: the CA certificates that client certificates are checked against.
    pub client_ca: Option<PathBuf>,
}

/// The doors that require a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// None.
    Off,
    /// Those that offer only HTTP/2.
    Http2,
    /// All.
    Both,
}

/// The protocols that a door offers in a TLS handshake (ALPN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2, with HTTP/1.1 as the fallback.
    Any,
    /// HTTP/2 only, as gRPC needs it.
    Http2,
}

/// One of the certificate files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The gateway's certificates.
    Certificate,
    /// The gateway's private key.
    Key,
    /// The CA certificates for clients.
    ClientCa,
}

/// Why certificates cannot be used. Contains nothing of the files' contents.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{}: {reason}", file.in_words())]
pub struct TlsError {
    /// The file at fault.
    pub file: TlsFile,
    /// The problem, as a clause about the file.
    pub reason: String,
    /// The file could not be read for lack of descriptors or memory, so nothing is known about its contents.
    shortage: bool,
}

impl TlsError {
    fn new(file: TlsFile, reason: impl Into<String>) -> Self {
        Self {
            file,
            reason: reason.into(),
            shortage: false,
        }
    }
}

impl TlsFile {
    fn in_words(self) -> &'static str {
        match self {
            TlsFile::Certificate => "the certificate",
            TlsFile::Key => "the private key",
            TlsFile::ClientCa => "the clients' CA",
        }
    }
}

/// The certificates in use. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    client_auth: ClientAuth,
    first: Digest,
    current: RwLock<Configs>,
    validity: RwLock<Option<Validity>>,
}

/// Configurations for new connections, by the protocols offered.
#[derive(Debug, Clone)]
struct Configs {
    any: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read or used, or key and certificate do not belong together.
    pub async fn load(files: TlsFiles, client_auth: ClientAuth) -> Result<Self, TlsError> {
        let contents = Contents::read(&files).await?;
        let configs = Configs::build(&contents, client_auth)?;
        Ok(Self(Arc::new(Inner {
            files,
            client_auth,
            first: contents.digest(),
            current: RwLock::new(configs),
            validity: RwLock::new(contents.validity()),
        })))
    }

    /// The configuration for a connection that is accepted now.
    pub(super) fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        let current = self.0.current.read();
        match protocol {
            Protocol::Any => Arc::clone(&current.any),
            Protocol::Http2 => Arc::clone(&current.http2),
        }
    }

    /// The validity of the certificate in use; `None` when it cannot be parsed.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        *self.0.validity.read()
    }

    /// Takes new certificates over when the files change; never ends. What cannot be used is told once, and the old
    /// certificates stay; files that can be read only once count as unchanging. Connections that are open keep what they were opened with. A certificate that is not valid is
    /// told once as well, and when the certificate ends is told to the metrics.
    pub async fn follow(self, metrics: Arc<Metrics>) {
        let mut seen = Ok(self.0.first);
        let mut invalid = None;
        loop {
            self.tell_validity(&metrics, &mut invalid);
            tokio::time::sleep(LOOK_EVERY).await;
            if Contents::are_once_only(&self.0.files).await {
                continue;
            }
            let read = Contents::read(&self.0.files).await;
            if read.as_ref().is_err_and(|error| error.shortage) {
                // This process lacks descriptors or memory; that says nothing about the files.
                continue;
            }
            let now = read.as_ref().map(Contents::digest).map_err(Clone::clone);
            if now == seen {
                continue;
            }
            seen = now;
            let taken = read.and_then(|contents| self.take(&contents));
            match taken {
                Ok(fingerprint) => {
                    tracing::info!(tls.fingerprint = fingerprint, "new certificates are in use");
                }
                Err(error) => {
                    tracing::error!(error = %error, "new certificates cannot be used: the old ones stay in use");
                }
            }
        }
    }

    fn tell_validity(&self, metrics: &Metrics, told: &mut Option<String>) {
        let Some(validity) = self.validity() else {
            return;
        };
        metrics.set_certificate_end(validity.not_after);
        let invalid = validity.complaint(SystemTime::now());
        if let Some(complaint) = invalid.as_ref().filter(|_| *told != invalid) {
            tracing::warn!("TLS_CERT: {complaint}");
        }
        *told = invalid;
    }

    fn take(&self, contents: &Contents) -> Result<String, TlsError> {
        let configs = Configs::build(contents, self.0.client_auth)?;
        *self.0.current.write() = configs;
        *self.0.validity.write() = contents.validity();
        Ok(contents.fingerprint())
    }
}

impl Configs {
    fn build(contents: &Contents, client_auth: ClientAuth) -> Result<Self, TlsError> {
        let identity = Arc::new(identity(contents)?);
        let verifier = contents.client_ca.as_deref().map(verifier).transpose()?;
        let config = |protocols: &[&[u8]], asks: bool| {
            let verifier = verifier.clone().filter(|_| asks);
            server(Arc::clone(&identity), verifier, protocols)
        };
        Ok(Self {
            any: config(&[b"h2", b"http/1.1"], client_auth == ClientAuth::Both)?,
            http2: config(&[b"h2"], client_auth != ClientAuth::Off)?,
        })
    }
}

/// The gateway's certificate with its key, checked to belong together.
fn identity(contents: &Contents) -> Result<CertifiedKey, TlsError> {
    let key = ring::sign::any_supported_type(&contents.key);
    let key = key.map_err(|_| TlsError::new(TlsFile::Key, "is of a kind that is not supported"))?;
    let identity = CertifiedKey::new(contents.certificates.clone(), key);
    match identity.keys_match() {
        Ok(()) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::new(TlsFile::Key, "does not belong to the certificate"))
        }
        Err(error) => Err(TlsError::new(
            TlsFile::Certificate,
            format!("cannot be used: {error}"),
        )),
    }
}

fn verifier(roots: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unusable =
        |error: &dyn fmt::Display| TlsError::new(TlsFile::ClientCa, format!("cannot be used: {error}"));
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|error| unusable(&error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
    built.map_err(|error| unusable(&error))
}

fn server(
    identity: Arc<CertifiedKey>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(TlsFile::Certificate, format!("cannot be used: {error}")))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
