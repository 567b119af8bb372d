//! Settings that can change while the gateway runs, and reloading them. One handle is shared by all parts.

use std::{convert::Infallible, fmt, future::pending, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use tokio::{task::spawn_blocking, time::sleep};

use super::{parts::Apply, policy};
use crate::{
    auth::Auth,
    config::{Loaded, Problems, Settings, Variable, Watch, differences},
    engine::{Engine, EnginePolicy},
    grpc,
    net::Patience,
    openai,
};

/// Interval between checks of the settings files. A change takes effect once it was seen twice.
const EVERY: Duration = Duration::from_secs(1);

/// The settings of a running gateway. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Live {
    pub(super) auth: Auth,
    pub(super) metrics_auth: Auth,
    pub(super) openai: Arc<ArcSwap<openai::Limits>>,
    pub(super) grpc: Arc<ArcSwap<grpc::Limits>>,
    pub(super) patience: Arc<ArcSwap<Patience>>,
    pub(super) engine: Engine,
    apply_to_upstreams: Apply,
    /// The settings at the start; some of them apply until the end.
    started: Arc<Settings>,
    current: Arc<Mutex<Settings>>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({:?})", self.auth)
    }
}

impl Live {
    pub(super) fn new(settings: &Settings, engine: Engine, apply_to_upstreams: Apply) -> Self {
        Self {
            auth: Auth::new(&settings.api_keys, settings.require_api_key),
            metrics_auth: Auth::new(settings.metrics_key.as_slice(), settings.metrics_key.is_some()),
            openai: Arc::new(ArcSwap::from_pointee(openai_limits(settings))),
            grpc: Arc::new(ArcSwap::from_pointee(grpc_limits(settings))),
            patience: Arc::new(ArcSwap::from_pointee(patience(settings))),
            engine,
            apply_to_upstreams,
            started: Arc::new(settings.clone()),
            current: Arc::new(Mutex::new(settings.clone())),
        }
    }

    /// The settings as last applied.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.current().clone()
    }

    fn current(&self) -> MutexGuard<'_, Settings> {
        self.current.lock()
    }

    /// Applies those of `settings` that can change without a restart; requests under way keep the old ones. Logs the
    /// changes, including those that need a restart; false when there are none.
    pub fn apply(&self, settings: &Settings) -> bool {
        let mut current = self.current();
        let changed = names(differences(&current, settings).filter(|variable| variable.live));
        let in_vain = names(differences(&self.started, settings).filter(|variable| !variable.live));
        self.auth.replace(&settings.api_keys, settings.require_api_key);
        self.metrics_auth
            .replace(settings.metrics_key.as_slice(), settings.metrics_key.is_some());
        self.openai.store(Arc::new(openai_limits(settings)));
        self.grpc.store(Arc::new(grpc_limits(settings)));
        self.patience.store(Arc::new(patience(settings)));
        self.reconfigure_engine(settings);
        current.clone_from(settings);
        drop(current);
        if !changed.is_empty() {
            tracing::info!(changed, "settings reloaded");
        }
        if !in_vain.is_empty() {
            tracing::warn!(changed = in_vain, "these settings count only after a restart");
        }
        !changed.is_empty() || !in_vain.is_empty()
    }

    fn reconfigure_engine(&self, settings: &Settings) {
        let policy = EnginePolicy {
            // The upstream's client keeps its timeout until the end, so this must stay equal to it.
            patience: self.started.timeout,
            ..policy(settings)
        };
        self.engine.set_policy(policy);
        (self.apply_to_upstreams)(&self.engine, settings);
    }

    /// Reloads the settings soon after one of their files changes, and at once when `asked` resolves. Invalid files
    /// change nothing and are logged as errors. `watched` is called at the beginning and the end of each reload. Never
    /// returns.
    pub async fn follow(
        &self,
        mut watch: Watch,
        mut asked: impl AsyncFnMut(),
        mut watched: impl FnMut(Reload),
    ) -> Infallible {
        loop {
            let is_asked = tokio::select! {
                () = asked() => true,
                () = sleep(EVERY) => false,
            };
            if is_asked {
                watched(Reload::Begins);
            }
            let looked = spawn_blocking(move || {
                let outcome = look(&mut watch, is_asked);
                (watch, outcome)
            });
            let outcome = match looked.await {
                Ok((same_watch, outcome)) => {
                    watch = same_watch;
                    outcome
                }
                Err(error) => {
                    tracing::error!(error = %error, "the settings are not watched any more");
                    return pending().await;
                }
            };
            if outcome.is_some() && !is_asked {
                watched(Reload::Begins);
            }
            if outcome.is_some() || is_asked {
                let is_good = outcome.is_some_and(|loaded| self.take_over(loaded, is_asked));
                watched(if is_good { Reload::Done } else { Reload::Refused });
            }
        }
    }

    /// Applies reloaded settings, or logs why they are invalid; true when they apply.
    fn take_over(&self, loaded: Result<Loaded, Problems>, is_asked: bool) -> bool {
        match loaded {
            Ok(loaded) => {
                let has_changed = self.apply(&loaded.settings);
                for warning in loaded.warnings.iter().filter(|_| has_changed) {
                    tracing::warn!("{warning}");
                }
                if is_asked && !has_changed {
                    tracing::info!("settings reloaded: none has changed");
                }
                true
            }
            Err(problems) if problems.come_of_a_lack() => {
                let problem = problems.iter().next().map(ToString::to_string);
                tracing::warn!(
                    problem,
                    "the settings could not be read for want of descriptors or memory: they will be once there is more"
                );
                false
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                tracing::error!("the settings were not reloaded: the old ones go on");
                false
            }
        }
    }
}

/// The progress of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The settings are being read.
    Begins,
    /// The new settings apply.
    Done,
    /// The old settings stay in effect.
    Refused,
}

/// Reads the settings if a file has changed or a reload was requested.
fn look(watch: &mut Watch, is_asked: bool) -> Option<Result<Loaded, Problems>> {
    if !is_asked {
        return watch.look();
    }
    match watch.once_only() {
        None => Some(watch.load()),
        Some(file) => {
            tracing::error!(file = %file.display(), "the settings were not reloaded: a file can be read only once");
            None
        }
    }
}

fn names(variables: impl Iterator<Item = &'static Variable>) -> String {
    let names: Vec<&str> = variables.map(|variable| variable.name).collect();
    names.join(", ")
}

fn openai_limits(settings: &Settings) -> openai::Limits {
    openai::Limits {
        max_body: settings.max_body_bytes,
        body_read_timeout: settings.body_read_timeout,
        request_timeout: settings.request_timeout,
        keepalive_interval: settings.keepalive_interval,
    }
}

fn grpc_limits(settings: &Settings) -> grpc::Limits {
    grpc::Limits {
        request_timeout: settings.request_timeout,
        body_read_timeout: settings.body_read_timeout,
        converse_idle_timeout: settings.converse_idle_timeout,
        keepalive_interval: settings.keepalive_interval,
    }
}

fn patience(settings: &Settings) -> Patience {
    Patience {
        head: settings.header_read_timeout,
        body: settings.body_read_timeout,
        rest: settings.http_idle_timeout,
        write: settings.client_write_timeout,
        age: settings.max_connection_age,
        grace: settings.shutdown_grace,
    }
}
