//! The validity period of a certificate.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_cert::{Certificate, der::Decode};

/// The validity period of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its beginning.
    pub not_before: SystemTime,
    /// Its end.
    pub not_after: SystemTime,
}

impl Validity {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let read = Certificate::from_der(certificate.as_ref()).ok()?;
        let validity = read.tbs_certificate().validity();
        Some(Self {
            not_before: SystemTime::UNIX_EPOCH + validity.not_before.to_unix_duration(),
            not_after: SystemTime::UNIX_EPOCH + validity.not_after.to_unix_duration(),
        })
    }

    /// A warning when the certificate is not valid at `now`.
    #[must_use]
    pub fn complaint(&self, now: SystemTime) -> Option<String> {
        let shown = |time| humantime::format_rfc3339_seconds(time);
        if now > self.not_after {
            let end = shown(self.not_after);
            return Some(format!(
                "the certificate expired at {end}: clients will not accept it"
            ));
        }
        (now < self.not_before).then(|| {
            let begin = shown(self.not_before);
            format!("the certificate is not valid before {begin}: clients will not accept it yet")
        })
    }
}
