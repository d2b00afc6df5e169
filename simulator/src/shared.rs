//! Values that many states of a search have in common: copied when changed, hashed once.

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    ops::Deref,
    sync::{Arc, OnceLock},
};

use foldhash::quality::FixedState;

/// A value that its copies share until one of them changes it.
pub(crate) struct Shared<T>(Arc<Sealed<T>>);

struct Sealed<T> {
    value: T,
    /// Computed when first asked for; gone when the value changes.
    fingerprint: OnceLock<u64>,
}

impl<T: Clone> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), fingerprint: OnceLock::new() }
    }
}

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Sealed { value, fingerprint: OnceLock::new() }))
    }
}

impl<T: Clone> Shared<T> {
    /// The value, to be changed: a copy of its own if others share it.
    pub(crate) fn edit(&mut self) -> &mut T {
        let sealed = Arc::make_mut(&mut self.0);
        sealed.fingerprint = OnceLock::new();
        &mut sealed.value
    }
}

impl<T: Hash> Shared<T> {
    fn fingerprint(&self) -> u64 {
        *self.0.fingerprint.get_or_init(|| FixedState::default().hash_one(&self.0.value))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint());
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(formatter)
    }
}
