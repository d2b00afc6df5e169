//! Threads with a single-threaded runtime each: the cheapest way to drive many connections, because no task ever
//! changes its thread and no lock is ever contended.

use std::{future::Future, thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use crate::{Error, Result};

/// What a thread returned and what it used.
#[derive(Debug)]
pub(crate) struct Finished<T> {
    pub(crate) output: T,
    /// Processor time, user and system.
    pub(crate) processor: Duration,
}

/// Runs `count` threads, each to the end of the future that `work` makes for its index. The threads go on when the
/// returned future is dropped.
pub(crate) async fn run<F>(count: usize, work: impl Fn(usize) -> F) -> Result<Vec<Finished<F::Output>>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut results = Vec::with_capacity(count);
    for index in 0..count {
        let (sender, receiver) = oneshot::channel();
        let future = work(index);
        thread::Builder::new()
            .name(format!("load-{index}"))
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let finished =
                    runtime.map(|runtime| Finished { output: runtime.block_on(future), processor: processor_time() });
                // Nobody waits any more when the benchmark was interrupted.
                drop(sender.send(finished));
            })
            .map_err(Error::io("cannot start a thread"))?;
        results.push(receiver);
    }
    let mut finished = Vec::with_capacity(count);
    for receiver in results {
        let result = receiver.await.map_err(|_died| Error::ThreadDied)?;
        finished.push(result.map_err(Error::io("cannot start a runtime"))?);
    }
    Ok(finished)
}

/// What the calling thread has used so far.
fn processor_time() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(used).expect("processor time is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_thread_returns_what_its_future_did() {
        let finished = run(3, |index| async move { index * 10 }).await.unwrap();
        let outputs: Vec<_> = finished.into_iter().map(|finished| finished.output).collect();
        assert_eq!(outputs, [0, 10, 20]);
    }

    #[tokio::test]
    async fn a_thread_that_dies_is_an_error() {
        let result = run(2, |index| async move { assert_eq!(index, 0, "dies on purpose") }).await;
        assert!(matches!(result, Err(Error::ThreadDied)));
    }

    #[tokio::test]
    async fn processor_time_counts_work_but_not_waiting() {
        let finished = run(2, |index| async move {
            if index == 0 {
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            let started = std::time::Instant::now();
            while index == 1 && started.elapsed() < Duration::from_millis(60) {
                std::hint::spin_loop();
            }
        })
        .await
        .unwrap();
        let [waited, worked] = &finished[..] else { panic!("two threads") };
        assert!(waited.processor < Duration::from_millis(30), "{waited:?}");
        assert!(worked.processor > waited.processor, "{worked:?}");
    }
}
