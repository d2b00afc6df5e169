//! A network in memory: streams between addresses, which can be cut and mended.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use saga::remote::{BoxStream, Listen, Reaching, Transport};
use tokio::{
    io::{copy, duplex, split},
    sync::{mpsc, watch},
};

/// What one end may have written before the other has read any.
const BUFFER: usize = 64 * 1024;

/// How long a message is under way; without any, time would not pass while processes talk.
const LATENCY: Duration = Duration::from_millis(1);

#[derive(Clone, Default)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    listeners: HashMap<String, mpsc::Sender<BoxStream>>,
    /// Addresses that nothing reaches, and from which no answer comes.
    cut: HashSet<String>,
    changed: watch::Sender<u64>,
}

impl Network {
    pub(crate) fn listen(&self, address: &str) -> Box<dyn Listen> {
        let (sender, receiver) = mpsc::channel(64);
        self.state().listeners.insert(address.to_owned(), sender);
        Box::new(Listener(receiver))
    }

    /// Whoever listened there is gone: connecting fails at once.
    pub(crate) fn close(&self, address: &str) {
        self.state().listeners.remove(address);
    }

    /// From now on nothing gets through to that address, on new connections and old ones, and nothing says so.
    pub(crate) fn cut(&self, address: &str) {
        let mut state = self.state();
        state.cut.insert(address.to_owned());
        state.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn mend(&self, address: &str) {
        self.state().cut.remove(address);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the address is cut off.
    async fn until_cut(self, address: String) {
        let mut changed = self.state().changed.subscribe();
        while !self.state().cut.contains(&address) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Transport for Network {
    fn resolve<'a>(&'a self, name: &'a str) -> Reaching<'a, Vec<String>> {
        Box::pin(async move { Ok(vec![name.to_owned()]) })
    }

    fn connect<'a>(&'a self, address: &'a str) -> Reaching<'a, BoxStream> {
        Box::pin(async move {
            tokio::time::sleep(LATENCY).await;
            let is_cut = self.state().cut.contains(address);
            if is_cut {
                std::future::pending::<()>().await;
            }
            let listener = self.state().listeners.get(address).cloned().ok_or(io::ErrorKind::ConnectionRefused)?;
            let (near, between) = duplex(BUFFER);
            let (beyond, far) = duplex(BUFFER);
            listener.send(Box::new(far)).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            let (network, address) = (self.clone(), address.to_owned());
            tokio::spawn(async move {
                let (mut from_near, mut to_near) = split(between);
                let (mut from_far, mut to_far) = split(beyond);
                tokio::select! {
                    // Either end closed: so does the other.
                    _ = copy(&mut from_near, &mut to_far) => {}
                    _ = copy(&mut from_far, &mut to_near) => {}
                    () = network.until_cut(address) => {
                        // Both ends stay open, and nothing moves.
                        std::future::pending::<()>().await;
                    }
                }
            });
            Ok(Box::new(near) as BoxStream)
        })
    }
}

struct Listener(mpsc::Receiver<BoxStream>);

impl Listen for Listener {
    fn accept(&mut self) -> Reaching<'_, BoxStream> {
        Box::pin(async move {
            match self.0.recv().await {
                Some(stream) => Ok(stream),
                None => std::future::pending().await,
            }
        })
    }
}
