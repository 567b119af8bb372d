//! All metrics; each gateway has its own registry. The text is in Prometheus' exposition format 0.0.4.

use std::{
    collections::HashSet,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use strum::VariantArray;

use super::{
    connections::{Connections, Refusal},
    log::LostLines,
    record::{CallRecord, Door, Outcome, OutcomeClass},
};

/// Models beyond this number share the label `other`: clients may invent names where any model is allowed.
const MAX_MODEL_LABELS: usize = 100;

/// Bucket bounds in seconds: from 1 ms, the gateway's own share, to ten minutes, `REQUEST_TIMEOUT`'s default.
const BUCKETS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0,
];

/// Counts of the chats that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// All of them.
    pub total: u64,
    /// Answered completely.
    pub successful: u64,
    /// Failed because of the gateway or its upstream.
    pub failed: u64,
    /// Failed because of the caller's mistake.
    pub callers_fault: u64,
    /// Cancelled by the client.
    pub cancelled: u64,
}

impl Totals {
    /// The share of complete answers in percent, 100 before the first chat. Callers' mistakes and cancelled chats are
    /// left out, since they are no failures of the service.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        let judged = self.successful + self.failed;
        if judged == 0 {
            return 100.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let share = self.successful as f64 / judged as f64;
        (share * 10_000.0).round() / 100.0
    }
}

/// The names of the outcomes that a chat can have.
#[derive(Debug, Clone)]
pub struct Outcomes {
    /// All of them.
    pub all: Vec<&'static str>,
    /// Those possible once the model is known.
    pub with_model: Vec<&'static str>,
}

/// Events of conversations on the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum ConversationEvent {
    /// The gateway created it.
    Made,
    /// The gateway deleted it.
    Removed,
    /// It could not be deleted.
    LeftBehind,
    /// The call that creates one was not answered, so an unknown conversation may exist.
    PossibleOrphan,
}

impl ConversationEvent {
    /// The event's name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ConversationEvent::Made => "made",
            ConversationEvent::Removed => "removed",
            ConversationEvent::LeftBehind => "left_behind",
            ConversationEvent::PossibleOrphan => "possible_orphan",
        }
    }
}

/// Current values of the gauges.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Upstream credentials by state.
    pub tokens: Vec<(&'static str, usize)>,
    /// Chats in flight.
    pub in_flight: usize,
    /// Conversations on the upstream by state.
    pub conversations: Vec<(&'static str, usize)>,
    /// Upstream origins whose circuit breaker is open.
    pub open_breakers: usize,
}

/// The metrics of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    first_token: HistogramVec,
    upstream_calls: IntCounterVec,
    upstream_duration: HistogramVec,
    tokens: IntGaugeVec,
    in_flight: IntGaugeVec,
    conversation_events: IntCounterVec,
    conversations: IntGaugeVec,
    open_breakers: IntGaugeVec,
    connections: IntGaugeVec,
    accepted: IntCounterVec,
    refused: IntCounterVec,
    certificate_end: IntGaugeVec,
    models: Mutex<HashSet<String>>,
    outcomes: OnceLock<Outcomes>,
    chats: [AtomicU64; 4],
}

impl Metrics {
    /// Registers every metric. Series whose label values come from other modules start at zero when these call
    /// [`begin_chats`](Self::begin_chats) and [`begin_upstream_calls`](Self::begin_upstream_calls).
    ///
    /// # Errors
    /// When two metrics have the same name, which a test rules out.
    pub fn build() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(LostLines::new()?))?;
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone())).map(|()| metric)
        };
        let seconds = |name: &str, help: &str, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            let metric = HistogramVec::new(options, labels)?;
            registry.register(Box::new(metric.clone())).map(|()| metric)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone())).map(|()| metric)
        };
        let build = gauge(
            "duogate_build_info",
            "Always 1; the label tells the version.",
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let metrics = Self {
            connections: gauge(
                "duogate_connections",
                "Connections that are open, by door.",
                &["door"],
            )?,
            accepted: counter(
                "duogate_connections_accepted_total",
                "Connections that were accepted, by door.",
                &["door"],
            )?,
            refused: counter(
                "duogate_connections_refused_total",
                "Connections that could not be accepted, or ended before a request could come, by door and reason.",
                &["door", "reason"],
            )?,
            certificate_end: gauge(
                "duogate_tls_certificate_not_after_timestamp_seconds",
                "When the certificate of the doors ends, as seconds since 1970.",
                &[],
            )?,
            requests: counter(
                "duogate_requests_total",
                "Chats that ended, by door, model and outcome.",
                &["door", "model", "outcome"],
            )?,
            request_duration: seconds(
                "duogate_request_duration_seconds",
                "Time from a chat's arrival to its end, in seconds.",
                &["door", "outcome"],
            )?,
            first_token: seconds(
                "duogate_time_to_first_token_seconds",
                "Time from a chat's arrival to the first piece of its answer, in seconds.",
                &["door"],
            )?,
            upstream_calls: counter(
                "duogate_upstream_calls_total",
                "Calls to the upstream that ended, by step and outcome.",
                &["step", "outcome"],
            )?,
            upstream_duration: seconds(
                "duogate_upstream_call_duration_seconds",
                "Time from a call to the upstream to the head of its answer, in seconds.",
                &["step"],
            )?,
            tokens: gauge("duogate_tokens", "Tokens of the pool, by state.", &["state"])?,
            in_flight: gauge("duogate_requests_in_flight", "Chats under way.", &[])?,
            conversation_events: counter(
                "duogate_conversation_events_total",
                "Conversations made on the upstream, removed, left behind, or possibly made unseen.",
                &["event"],
            )?,
            conversations: gauge(
                "duogate_conversations",
                "Conversations on the upstream that the gateway made, by what they do.",
                &["state"],
            )?,
            open_breakers: gauge(
                "duogate_open_circuit_breakers",
                "Origins of the upstream whose circuit breaker is open.",
                &[],
            )?,
            models: Mutex::default(),
            outcomes: OnceLock::new(),
            chats: Default::default(),
            registry,
        };
        metrics.begin_own();
        Ok(metrics)
    }

    /// Creates the series whose label values are known here, at zero: `increase()` misses the first event of a series
    /// that first appears at one.
    fn begin_own(&self) {
        for event in ConversationEvent::VARIANTS {
            self.conversation_events
                .with_label_values(&[event.name()])
                .inc_by(0);
        }
        for door in Door::VARIANTS {
            let door = door.name();
            self.first_token.with_label_values(&[door]);
            self.connections.with_label_values(&[door]).set(0);
            self.accepted.with_label_values(&[door]).inc_by(0);
            for reason in Refusal::VARIANTS {
                self.refused.with_label_values(&[door, reason.name()]).inc_by(0);
            }
        }
    }

    /// Creates the series of chats at zero: each outcome at each door, without a model. The series of a model follow
    /// when it gets a label. Only the first call has an effect.
    pub fn begin_chats(&self, outcomes: Outcomes) {
        let outcomes = self.outcomes.get_or_init(|| outcomes);
        for door in Door::VARIANTS {
            for outcome in &outcomes.all {
                self.requests
                    .with_label_values(&[door.name(), "none", outcome])
                    .inc_by(0);
                self.request_duration.with_label_values(&[door.name(), outcome]);
            }
        }
        self.begin_model("other");
    }

    /// Gives each of these models its own label while the limit allows, and creates its series at zero.
    pub fn begin_models<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let mut models = self.models.lock();
        for name in names {
            if models.len() < MAX_MODEL_LABELS && models.insert(name.to_owned()) {
                self.begin_model(name);
            }
        }
    }

    fn begin_model(&self, model: &str) {
        let outcomes = self
            .outcomes
            .get()
            .into_iter()
            .flat_map(|outcomes| &outcomes.with_model);
        for outcome in outcomes {
            for door in Door::VARIANTS {
                self.requests
                    .with_label_values(&[door.name(), model, outcome])
                    .inc_by(0);
            }
        }
    }

    /// Creates the series of upstream calls at zero.
    pub fn begin_upstream_calls(&self, steps: &[&'static str], outcomes: &[&'static str]) {
        for step in steps {
            self.upstream_duration.with_label_values(&[step]);
            for outcome in outcomes {
                self.upstream_calls.with_label_values(&[step, outcome]).inc_by(0);
            }
        }
    }

    /// The counters of one door's connections.
    #[must_use]
    pub fn connections(&self, door: Door) -> Connections {
        let door = door.name();
        Connections::new(
            self.connections.with_label_values(&[door]),
            self.accepted.with_label_values(&[door]),
            |reason| self.refused.with_label_values(&[door, reason]),
        )
    }

    /// Records when the doors' certificate expires.
    pub fn set_certificate_end(&self, end: SystemTime) {
        let seconds = match end.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
        };
        self.certificate_end
            .with_label_values(&[] as &[&str])
            .set(seconds);
    }

    /// Counts a chat that ended.
    pub(super) fn count_chat(&self, record: &CallRecord, outcome: Outcome) {
        let door = record.door().name();
        let model = self.model_label(record.model(), outcome);
        self.requests
            .with_label_values(&[door, model.as_str(), outcome.name])
            .inc();
        self.request_duration
            .with_label_values(&[door, outcome.name])
            .observe(record.began().elapsed().as_secs_f64());
        if let Some(first_token) = record.first_token() {
            self.first_token
                .with_label_values(&[door])
                .observe(first_token.as_secs_f64());
        }
        self.class(outcome.class).fetch_add(1, Ordering::Relaxed);
    }

    fn class(&self, class: OutcomeClass) -> &AtomicU64 {
        let [success, callers_fault, failure, cancelled] = &self.chats;
        match class {
            OutcomeClass::Success => success,
            OutcomeClass::CallersFault => callers_fault,
            OutcomeClass::Failure => failure,
            OutcomeClass::Cancelled => cancelled,
        }
    }

    /// The label of a model. A new model gets its own only if the chat was no caller's mistake, and up to the limit.
    fn model_label(&self, model: Option<&str>, outcome: Outcome) -> String {
        let Some(model) = model else {
            return "none".to_owned();
        };
        let mut models = self.models.lock();
        if models.contains(model) {
            return model.to_owned();
        }
        if models.len() >= MAX_MODEL_LABELS || outcome.class == OutcomeClass::CallersFault {
            return "other".to_owned();
        }
        models.insert(model.to_owned());
        self.begin_model(model);
        model.to_owned()
    }

    /// Counts an upstream call that ended: `ok`, `closed` for one that was abandoned, or the fault's name.
    pub fn count_upstream_call(&self, step: &'static str, outcome: &'static str) {
        self.upstream_calls.with_label_values(&[step, outcome]).inc();
    }

    /// Records the time until the head of an upstream's response.
    pub fn observe_upstream_head(&self, step: &'static str, took: Duration) {
        self.upstream_duration
            .with_label_values(&[step])
            .observe(took.as_secs_f64());
    }

    /// The chats that have ended so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let count = |class| self.class(class).load(Ordering::Relaxed);
        let successful = count(OutcomeClass::Success);
        let failed = count(OutcomeClass::Failure);
        let callers_fault = count(OutcomeClass::CallersFault);
        let cancelled = count(OutcomeClass::Cancelled);
        let total = successful + failed + callers_fault + cancelled;
        Totals {
            total,
            successful,
            failed,
            callers_fault,
            cancelled,
        }
    }

    /// Counts an event of a conversation.
    pub fn count_conversation(&self, event: ConversationEvent) {
        self.conversation_events.with_label_values(&[event.name()]).inc();
    }

    /// Sets the gauges to `gauges` and returns the exposition text.
    ///
    /// # Errors
    /// When the text cannot be encoded.
    pub fn expose(&self, gauges: &Gauges) -> Result<Vec<u8>, prometheus::Error> {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (state, count) in &gauges.tokens {
            self.tokens.with_label_values(&[state]).set(whole(*count));
        }
        for (state, count) in &gauges.conversations {
            self.conversations.with_label_values(&[state]).set(whole(*count));
        }
        for (gauge, count) in [
            (&self.in_flight, gauges.in_flight),
            (&self.open_breakers, gauges.open_breakers),
        ] {
            gauge.with_label_values(&[] as &[&str]).set(whole(count));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
