//! The closed sets that metrics are labelled by, told to them at the start so that every series begins at zero.

use strum::{IntoEnumIterator, VariantArray};

use super::{
    Models,
    error::ErrorKind,
    upstream::{Fault, Step},
};
use crate::telemetry::{Metrics, Outcome, Outcomes};

/// Begins every series that the engine counts in.
pub(super) fn begin(metrics: &Metrics, models: &Models) {
    let ok = Outcome::OK.name;
    let named = |kinds: &mut dyn Iterator<Item = &ErrorKind>| {
        let names = kinds.map(|kind| kind.name());
        [ok].into_iter().chain(names).collect()
    };
    metrics.begin_chats(Outcomes {
        all: named(&mut ErrorKind::ALL.iter()),
        with_model: named(&mut ErrorKind::ALL.iter().filter(|kind| kind.follows_model())),
    });
    metrics.begin_models(models.names());
    let steps: Vec<_> = Step::VARIANTS.iter().map(|step| step.name()).collect();
    let faults = Fault::iter().map(|fault| fault.name());
    let outcomes: Vec<_> = [ok, CLOSED].into_iter().chain(faults).collect();
    metrics.begin_upstream_calls(&steps, &outcomes);
}

/// The outcome of a call that was given up before its end.
pub(super) const CLOSED: &str = "closed";
