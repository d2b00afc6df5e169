//! What answers requests: one router while the process starts, and another one from then on.

use std::sync::{Arc, OnceLock};

use axum::Router;

/// A router that another one takes the place of, once; clones share it.
#[derive(Clone, Debug)]
pub struct Front {
    starting: Router,
    started: Arc<OnceLock<Router>>,
}

impl Front {
    /// Requests go to `starting` until there is more.
    #[must_use]
    pub fn new(starting: Router) -> Self {
        Self { starting, started: Arc::default() }
    }

    /// From now on requests go to `router`, also those on connections that are open. Only the first one counts.
    pub fn open(&self, router: Router) {
        // A second one has nothing to take the place of.
        let _ = self.started.set(router);
    }

    pub(super) fn router(&self) -> &Router {
        self.started.get().unwrap_or(&self.starting)
    }
}

impl From<Router> for Front {
    fn from(router: Router) -> Self {
        Self::new(router)
    }
}
