//! The network between processes: streams as TCP gives them, in order or not at all, over links that are slow, cut in one
//! direction or in both, and break.

pub(crate) mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, atomic::AtomicU64},
};

use saga::remote::{BoxStream, Listen, Reaching};
use tokio::sync::mpsc;

use super::lock::lock;

/// Who listens where, and which links are cut.
#[derive(Default)]
pub(crate) struct Network {
    listeners: Mutex<BTreeMap<String, mpsc::UnboundedSender<BoxStream>>>,
    /// Nothing that the first sends reaches the second.
    cuts: Mutex<BTreeSet<(usize, usize)>>,
    streams: AtomicU64,
}

impl Network {
    pub(crate) fn listen(&self, address: &str) -> Box<dyn Listen> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.listeners).insert(address.to_owned(), sender);
        Box::new(Listener(receiver))
    }

    /// Whoever listened there is gone.
    pub(crate) fn close(&self, address: &str) {
        lock(&self.listeners).remove(address);
    }

    pub(crate) fn cut(&self, from: usize, to: usize) {
        lock(&self.cuts).insert((from, to));
    }

    pub(crate) fn mend(&self, from: usize, to: usize) {
        lock(&self.cuts).remove(&(from, to));
    }

    pub(crate) fn mend_all(&self) {
        lock(&self.cuts).clear();
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        lock(&self.cuts).contains(&(from, to))
    }
}

struct Listener(mpsc::UnboundedReceiver<BoxStream>);

impl Listen for Listener {
    fn accept(&mut self) -> Reaching<'_, BoxStream> {
        Box::pin(async move {
            match self.0.recv().await {
                Some(stream) => Ok(stream),
                // Another process has the address now.
                None => std::future::pending().await,
            }
        })
    }
}
