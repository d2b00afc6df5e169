//! Whether the process should be sent requests.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use utoipa::ToSchema;

#[cfg(test)]
mod tests;

/// One thing that has to be well before requests are welcome. It is asked on every probe, so it must not block: it
/// reads what is known, it does not go and find out.
type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The state behind `/readyz`; clones share it.
///
/// ```text
///  starting ── ready() ──▶ ready ── drain() ──▶ draining (for good)
/// ```
/// Requests are welcome while it is ready and every check passes.
#[derive(Clone, Default)]
pub struct Readiness {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    phase: Phase,
    durability: Option<&'static str>,
    checks: Vec<(&'static str, Check)>,
    limits: Vec<(&'static str, Check)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Ready,
    Draining,
}

/// What a readiness probe is answered. The JSON of a process that is not ready is
/// `{"ready": false, "reasons": ["store: …", …]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// Whether requests are welcome.
    pub ready: bool,
    /// Why they are not; empty when they are.
    pub reasons: Vec<String>,
    /// What does not work while the rest does; absent when all does. Requests are welcome all the same: a load balancer
    /// that sent them elsewhere would take away what works, and where a disk or a database is full, elsewhere is no better.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// What an answer promises to survive, where the process said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<&'static str>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Readiness").field("phase", &self.shared().phase).finish_non_exhaustive()
    }
}

impl Readiness {
    /// A process that is still starting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition: `check` says why requests are not welcome for now. It is called on every probe and must not
    /// block.
    pub fn check(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.shared().checks.push((name, Box::new(check)));
    }

    /// Adds what may be limited while requests are welcome: `check` says how it is. It is called on every probe and must
    /// not block.
    pub fn limit(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.shared().limits.push((name, Box::new(check)));
    }

    /// Says what an answer promises to survive, for people and benchmarks that read the probe.
    pub fn state_durability(&self, durability: &'static str) {
        self.shared().durability = Some(durability);
    }

    /// The process has started. Does nothing once it is draining.
    pub fn ready(&self) {
        let mut shared = self.shared();
        if shared.phase == Phase::Starting {
            shared.phase = Phase::Ready;
        }
    }

    /// The process is about to stop: from now on, and for good, it is not ready.
    pub fn drain(&self) {
        self.shared().phase = Phase::Draining;
    }

    /// Waits for `signal`, fails the probe, and returns after `notice`, which is for load balancers to see it: at once where
    /// they have not seen a process that is ready. Meant as the `shutdown` of [`crate::server::serve`], so that nobody is sent
    /// here any more when the listener closes.
    pub async fn drain_after(self, signal: impl Future<Output = ()>, notice: Duration) {
        signal.await;
        let had_started = self.shared().phase != Phase::Starting;
        self.drain();
        if had_started {
            tokio::time::sleep(notice).await;
        }
    }

    /// The answer to a probe.
    #[must_use]
    pub fn report(&self) -> Report {
        let shared = self.shared();
        let phase = match shared.phase {
            Phase::Starting => Some("starting".to_owned()),
            Phase::Ready => None,
            Phase::Draining => Some("draining".to_owned()),
        };
        let failures = |checks: &[(&'static str, Check)]| {
            let failed = checks.iter().filter_map(|(name, check)| Some(format!("{name}: {}", check().err()?)));
            failed.collect::<Vec<_>>()
        };
        let reasons: Vec<String> = phase.into_iter().chain(failures(&shared.checks)).collect();
        let limits = failures(&shared.limits);
        Report { ready: reasons.is_empty(), reasons, limits, durability: shared.durability }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
