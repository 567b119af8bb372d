//! The connections of one door, counted.

use std::sync::Arc;

use prometheus::{IntCounter, IntGauge};
use strum::VariantArray;

use super::Shortage;

/// Why a connection came to nothing before a request could.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Refusal {
    /// It could not be accepted: no file descriptor was left. Tried again all the time, and counted each time.
    NoDescriptor,
    /// It could not be accepted: no memory was left.
    NoMemory,
    /// It could not be accepted for another reason, such as a peer that had left.
    NotAccepted,
    /// Its TLS handshake failed, or took too long.
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

    /// Why accepting failed.
    #[must_use]
    pub fn of(error: &std::io::Error) -> Self {
        match Shortage::of_io(error) {
            Some(Shortage::Descriptors) => Refusal::NoDescriptor,
            Some(Shortage::Memory) => Refusal::NoMemory,
            Some(Shortage::Ports) | None => Refusal::NotAccepted,
        }
    }
}

/// Counts the connections of one door. Cheap to clone; all clones count together.
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

    /// One was accepted; it is open for as long as the guard lives.
    #[must_use]
    pub fn accepted(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    /// One came to nothing.
    pub fn refused(&self, reason: Refusal) {
        let counters = self.refused.iter().filter(|(known, _)| *known == reason);
        counters.for_each(|(_, counter)| counter.inc());
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
