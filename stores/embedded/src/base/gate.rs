//! Closed while the tree takes merged tables over. Its readers wait meanwhile, for a few flushes of the disk, and those
//! should wait here, where they do not hold up a thread that has other things to do.
//!
//! It does so, too, when it takes a checkpoint over, but much more briefly, and nobody can tell from outside when that
//! begins.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: AtomicUsize,
    opened: Notify,
}

/// Keeps the gate closed until it is dropped.
#[derive(Debug)]
pub(super) struct Closed(Arc<Gate>);

impl Gate {
    pub(super) fn close(self: &Arc<Self>) -> Closed {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Closed(Arc::clone(self))
    }

    pub(super) async fn open(&self) {
        loop {
            let opened = self.opened.notified();
            if self.closed.load(Ordering::SeqCst) == 0 {
                return;
            }
            opened.await;
        }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        if self.0.closed.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.opened.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn readers_wait_until_the_last_one_has_opened() {
        let gate = Arc::new(Gate::default());
        let mut context = Context::from_waker(Waker::noop());
        let (first, second) = (gate.close(), gate.close());
        let mut reader = pin!(gate.open());
        assert!(reader.as_mut().poll(&mut context).is_pending());
        drop(first);
        assert!(reader.as_mut().poll(&mut context).is_pending());
        drop(second);
        assert!(reader.as_mut().poll(&mut context).is_ready());
    }
}
