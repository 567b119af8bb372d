//! Reading and parsing of the certificate files.

use std::{io, path::Path};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;

use super::{TlsError, TlsFile, TlsFiles, Validity};
use crate::telemetry::Shortage;

/// The largest file that is read, in bytes. A bundle of all public CA certificates is a quarter of it.
const LARGEST: u64 = 1024 * 1024;

/// A hash over the contents of all files.
pub(super) type Digest = [u8; 32];

/// The parsed contents of the files.
pub(super) struct Contents {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) client_ca: Option<Vec<CertificateDer<'static>>>,
    digest: Digest,
}

impl Contents {
    pub(super) async fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let TlsFiles {
            certificate,
            key,
            client_ca,
        } = files;
        let mut hash = Sha256::new();
        let mut bytes = async |file, path: &Path| {
            let read = read(path).await;
            let bytes = read.map_err(|error| TlsError {
                shortage: Shortage::of(&error).is_some(),
                ..TlsError::new(file, why_unreadable(&error))
            })?;
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(&bytes);
            Ok::<_, TlsError>(bytes)
        };
        let certificate = bytes(TlsFile::Certificate, certificate).await?;
        let key = bytes(TlsFile::Key, key).await?;
        let client_ca = match client_ca {
            Some(path) => Some(bytes(TlsFile::ClientCa, path).await?),
            None => None,
        };
        let client_ca = client_ca.map(|bytes| certificates(TlsFile::ClientCa, &bytes));
        Ok(Self {
            certificates: certificates(TlsFile::Certificate, &certificate)?,
            key: PrivateKeyDer::from_pem_slice(&key)
                .map_err(|_| TlsError::new(TlsFile::Key, why_no_key(&key)))?,
            client_ca: client_ca.transpose()?,
            digest: hash.finalize().into(),
        })
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// The validity of the gateway's own certificate.
    pub(super) fn validity(&self) -> Option<Validity> {
        self.certificates.first().and_then(Validity::of)
    }

    /// The certificate's SHA-256 fingerprint in hex, as `openssl x509 -fingerprint -sha256` prints it but without
    /// colons.
    pub(super) fn fingerprint(&self) -> String {
        let digest = self.certificates.first().map(Sha256::digest);
        let bytes = digest.iter().flatten();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Why a file contains no usable key; the common mistakes are named.
fn why_no_key(pem: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(pem);
    let is_encrypted = |line: &str| {
        line.starts_with("-----BEGIN ENCRYPTED")
            || (line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
    };
    if text.lines().map(str::trim).any(is_encrypted) {
        "is encrypted; expected a key without a password, such as `openssl pkey -in FILE -out NEW` writes it"
    } else if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        "is in OpenSSH's form; expected PKCS #8, PKCS #1 or SEC 1 in PEM form"
    } else if text.contains("-----BEGIN CERTIFICATE-----") {
        "holds a certificate and no private key"
    } else {
        "holds no private key in PEM form"
    }
}

fn certificates(file: TlsFile, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| TlsError::new(file, "is broken PEM"))?;
    if found.is_empty() {
        return Err(TlsError::new(file, "holds no certificate in PEM form"));
    }
    Ok(found)
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = tokio::fs::File::open(path).await?;
    if file.metadata().await?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn why_unreadable(error: &io::Error) -> String {
    #[allow(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind is non-exhaustive")]
    let why = match error.kind() {
        io::ErrorKind::NotFound => "the file does not exist",
        io::ErrorKind::PermissionDenied => "the file may not be read: permission denied",
        io::ErrorKind::IsADirectory => "is a directory; expected a file",
        io::ErrorKind::FileTooLarge => "the file is larger than 1 MiB",
        _ => "the file cannot be read",
    };
    why.to_owned()
}
