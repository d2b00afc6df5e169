//! What the threads of a database wait with.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a partition was locked poisons the database through `PoisonOnPanic` or fails the caller's task; the
    // state itself is only ever changed by code that does not panic halfway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the threads that wait for something to change.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    mutex: Mutex<()>,
    condvar: Condvar,
}

impl Bell {
    /// To be called after the change.
    pub(crate) fn ring(&self) {
        drop(lock(&self.mutex));
        self.condvar.notify_all();
    }

    pub(crate) fn wait_until(&self, changed: impl Fn() -> bool) {
        let guard = self.condvar.wait_while(lock(&self.mutex), |()| !changed());
        drop(guard.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits no longer than `duration`. Returns whether it has changed.
    pub(crate) fn wait_for(&self, duration: Duration, changed: impl Fn() -> bool) -> bool {
        let waited = self.condvar.wait_timeout_while(lock(&self.mutex), duration, |()| !changed());
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}
