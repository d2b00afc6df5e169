//! What keeps the store from working, for people.

use std::sync::{PoisonError, RwLock};

/// The last that was heard. Logged when it changes, not each time that it is found again.
#[derive(Default)]
pub(crate) struct Health(RwLock<Option<String>>);

impl Health {
    pub(crate) fn set(&self, service: &str, trouble: Option<String>) {
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), trouble.clone());
        match trouble {
            Some(reason) if before.as_ref() != Some(&reason) => {
                tracing::error!(service, reason, "the store does not work")
            }
            None if before.is_some() => tracing::info!(service, "the store works again"),
            _ => {}
        }
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
