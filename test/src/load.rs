//! Many requests at once.

use std::{future::Future, sync::Arc};

use futures_util::{StreamExt, stream};

/// Runs `work` on each job, at most `at_once_max` at a time, and returns what came of them in the order of the jobs.
///
/// # Panics
/// Where a job does.
pub async fn in_parallel<Job, Done, Work, Running>(
    at_once_max: usize,
    jobs: impl IntoIterator<Item = Job>,
    work: Work,
) -> Vec<Done>
where
    Work: Fn(Job) -> Running + Send + Sync + 'static,
    Running: Future<Output = Done> + Send + 'static,
    Done: Send + 'static,
{
    let work = Arc::new(work);
    let running = jobs.into_iter().map(|job| tokio::spawn(work(job)));
    stream::iter(running).buffered(at_once_max).map(|done| done.expect("the job does not panic")).collect().await
}
