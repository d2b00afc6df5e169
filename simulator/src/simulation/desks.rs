//! Where clients reach the services of a process.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use contract::Service;
use observer::Observer;
use saga::Handle;

use crate::market::role::Role;

/// Where clients reach the services of a process.
#[derive(Clone, Default)]
pub(crate) struct Desks {
    services: BTreeMap<Service, Arc<dyn Any + Send + Sync>>,
    /// Where the history is asked, where it is kept.
    pub(crate) history: Option<Handle<Observer>>,
}

impl Desks {
    /// Where the service of this participant is asked; `None` where it is not.
    pub(crate) fn of<P: Role>(&self) -> Option<&Handle<P>> {
        self.services.get(&P::SERVICE)?.downcast_ref()
    }

    pub(crate) fn add<P: Role>(&mut self, handle: Handle<P>) {
        self.services.insert(P::SERVICE, Arc::new(handle));
    }
}
