//! Which data belong together: each service's data remember those of every other service that they met first, and who
//! comes with others is not let in. So a process of another shop that happens to listen at a known address, and a
//! database that was made anew in the place of one that is lost, are noticed before anything is exchanged.
//!
//! ```text
//!  order (data o, knows stock: s)                       stock (data s, knows order: o)
//!    Hello { data: o, wanted_data: s } ──────────────▶   is s mine? is o the order I know?
//!    is s the stock I know?  ◀──────── Welcome { data: s }
//! ```

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{
    Store,
    metrics::Strangers,
    store::{self, Identity},
};

/// Looks up, or makes, a bond in the store.
type Remember = Box<dyn Fn(Arc<str>, Option<Identity>) -> Remembering + Send + Sync>;

type Remembering = Pin<Box<dyn Future<Output = store::Result<Option<Identity>>> + Send>>;

/// What this service's data know of others'.
pub(crate) struct Bonds {
    service: Arc<str>,
    pub(crate) own: Identity,
    remember: Remember,
    strangers: Strangers,
}

impl Bonds {
    pub(crate) fn new<S: Store + Clone>(service: Arc<str>, store: &S, strangers: Strangers) -> Self {
        let (own, store) = (store.identity(), store.clone());
        let remember: Remember = Box::new(move |peer, met| {
            let store = store.clone();
            Box::pin(async move { store.bound_to(&peer, met).await })
        });
        Self { service, own, remember, strangers }
    }

    /// Which data of `peer` these belong with, if any were met. Those of the service itself are its own.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn known(&self, peer: &Arc<str>) -> store::Result<Option<Identity>> {
        if *peer == self.service { Ok(Some(self.own)) } else { (self.remember)(Arc::clone(peer), None).await }
    }

    /// Whether data of `peer` are those that these belong with; from now on they are, if none were met before.
    ///
    /// # Errors
    /// When they are others, or the store does not answer.
    pub(crate) async fn meet(&self, peer: &Arc<str>, met: Identity) -> Result<(), Strange> {
        let known =
            if *peer == self.service { Some(self.own) } else { (self.remember)(Arc::clone(peer), Some(met)).await? };
        match known {
            Some(known) if known != met => Err(Strange::Data(self.strange(peer, met, known))),
            _ => Ok(()),
        }
    }

    /// Whether a caller that takes this service's data for `wanted` is right.
    pub(crate) fn judge(&self, peer: &str, wanted: Option<u64>) -> Result<(), String> {
        match wanted.map(Identity::from_bits) {
            Some(wanted) if wanted != self.own => {
                self.strangers.met(peer);
                let (service, own) = (&self.service, self.own);
                Err(format!(
                    "{peer} belongs with the data {wanted} of {service}, and these are {own}: another shop's, or made \
                     anew in the place of those"
                ))
            }
            _ => Ok(()),
        }
    }

    fn strange(&self, peer: &str, met: Identity, known: Identity) -> String {
        self.strangers.met(peer);
        format!(
            "the data {met} of {peer} are not {known}, with which {} (data {}) belongs: another shop's, or made anew in \
             the place of those",
            self.service, self.own
        )
    }
}

/// Why data are not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Strange {
    #[error("{0}")]
    Data(String),
    #[error("which data belong together cannot be looked up: {0}")]
    Store(#[from] store::Error),
}
