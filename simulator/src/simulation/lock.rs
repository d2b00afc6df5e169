//! Locks of a run.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what is never locked for long: all tasks share one thread.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
