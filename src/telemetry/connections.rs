//! Counters of one door's connections.

use std::sync::Arc;

use prometheus::{IntCounter, IntGauge};
use strum::VariantArray;

use super::Shortage;

/// Why a connection failed before its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Refusal {
    /// Accept failed: no file descriptor was left. Accepting is retried, and each failure is counted.
    NoDescriptor,
    /// Accept failed: no memory was left.
    NoMemory,
    /// Accept failed for another reason, such as a peer that had already disconnected.
    NotAccepted,
    /// The TLS handshake failed or timed out.
    TlsHandshake,
}

impl Refusal {
    /// The reason's name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Refusal::NoDescriptor => "no_descriptor",
            Refusal::NoMemory => "no_memory",
            Refusal::NotAccepted => "not_accepted",
            Refusal::TlsHandshake => "tls_handshake",
        }
    }

    /// Classifies an error of accept.
    #[must_use]
    pub fn of(error: &std::io::Error) -> Self {
        match Shortage::of_io(error) {
            Some(Shortage::Descriptors) => Refusal::NoDescriptor,
            Some(Shortage::Memory) => Refusal::NoMemory,
            Some(Shortage::Ports) | None => Refusal::NotAccepted,
        }
    }
}

/// Counts the connections of one door. Cheap to clone; clones share the counters.
#[derive(Debug, Clone)]
pub struct Connections {
    open: IntGauge,
    accepted: IntCounter,
    refused: Arc<[(Refusal, IntCounter)]>,
}

impl Connections {
    pub(super) fn new(
        open: IntGauge,
        accepted: IntCounter,
        refused: impl Fn(&'static str) -> IntCounter,
    ) -> Self {
        let refused = Refusal::VARIANTS
            .iter()
            .map(|reason| (*reason, refused(reason.name())));
        Self {
            open,
            accepted,
            refused: refused.collect(),
        }
    }

    /// Counts an accepted connection, which is open until the guard is dropped.
    #[must_use]
    pub fn accepted(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    /// Counts a connection that failed.
    pub fn refused(&self, reason: Refusal) {
        let counters = self.refused.iter().filter(|(known, _)| *known == reason);
        counters.for_each(|(_, counter)| counter.inc());
    }
}

/// A guard that counts a connection as open.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
