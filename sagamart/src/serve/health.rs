//! Whether the store can be used, from before it is opened on.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};

type Trouble = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What keeps the store from working, as it says itself; clones share it. For readiness, and as the metric `store_works`.
#[derive(Clone)]
pub(crate) struct StoreHealth(Arc<Mutex<Trouble>>);

impl fmt::Debug for StoreHealth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("StoreHealth").field(&self.trouble()).finish()
    }
}

impl StoreHealth {
    /// Of a store that is not open yet.
    pub(crate) fn opening() -> Self {
        let health = Self(Arc::new(Mutex::new(Arc::new(|| None))));
        health.waits("the data are being opened".to_owned());
        health
    }

    /// The store is still to be opened, which waits for this.
    pub(crate) fn waits(&self, reason: String) {
        self.told_by(move || Some(reason.clone()));
    }

    /// The store is open, and says from now on what is wrong with it.
    pub(crate) fn told_by(&self, trouble: impl Fn() -> Option<String> + Send + Sync + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(trouble);
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        trouble()
    }
}

impl Collector for StoreHealth {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let works = ConstGauge::new(i64::from(self.trouble().is_none()));
        let help =
            "Whether the store can be used: it is open, answers, lets this process in, and keeps what is promised";
        works.encode(encoder.encode_descriptor("store_works", help, None, works.metric_type())?)
    }
}
