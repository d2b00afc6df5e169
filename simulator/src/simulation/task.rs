//! Tasks of a run: what one of them was to do must not go missing in silence.

use std::{sync::Arc, thread};

use tokio::task::JoinHandle;

use super::world::World;

/// Does a task's work. A panic in it breaks the run, which would else go on without what the task was to do: tokio keeps a
/// panic to the task.
pub(crate) async fn watched<T>(world: Arc<World>, what: String, work: impl Future<Output = T>) -> T {
    let _watch = Watch { world, what };
    work.await
}

/// The same as a task of its own, which nobody waits for.
pub(crate) fn spawn<T: Send + 'static>(
    world: &Arc<World>,
    what: impl Into<String>,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(watched(Arc::clone(world), what.into(), work))
}

struct Watch {
    world: Arc<World>,
    what: String,
}

impl Drop for Watch {
    /// Also called where a task is aborted, which is in order.
    fn drop(&mut self) {
        if thread::panicking() {
            self.world.breaks(format!("{} panicked", self.what));
        }
    }
}
