//! A timeout that costs nothing while requests are answered in time.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::Sleep;

/// One timer, kept from request to request.
///
/// Setting and clearing a timer for each of tens of thousands of requests a second shows in a profile. Here the timer
/// is left standing at the deadline of an *earlier* request: when it goes off, it is moved to the deadline of the
/// present one, so it is touched once per timeout and not once per request.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Awaits `future`; `None` once `deadline` has passed.
    pub(super) async fn within<F: Future>(&mut self, deadline: Instant, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_deadline(deadline, context).map(|()| None),
        })
        .await
    }

    fn poll_deadline(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let deadline = deadline.into();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= deadline {
                // Left at the past deadline on purpose: the next wait moves it.
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tokio::time;

    use super::*;

    #[tokio::test]
    async fn an_output_in_time_is_returned() {
        let mut alarm = Alarm::default();
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(alarm.within(deadline, async { 7 }).await, Some(7));
        assert_eq!(
            alarm
                .within(deadline, async {
                    time::sleep(Duration::from_millis(5)).await;
                    8
                })
                .await,
            Some(8)
        );
    }

    #[tokio::test]
    async fn each_wait_ends_at_its_own_deadline_whatever_the_timer_stood_at() {
        let mut alarm = Alarm::default();
        // Short, then longer, then shorter again than where the timer still stands.
        for timeout_ms in [10, 60, 1_000, 20] {
            let timeout = Duration::from_millis(timeout_ms);
            let started = Instant::now();
            if timeout_ms == 1_000 {
                let soon = time::sleep(Duration::from_millis(5));
                assert!(alarm.within(started + timeout, soon).await.is_some());
                continue;
            }
            assert_eq!(alarm.within(started + timeout, pending::<()>()).await, None);
            assert!(started.elapsed() >= timeout, "{timeout_ms} ms ended early");
            assert!(started.elapsed() < Duration::from_millis(900), "{timeout_ms} ms ended late");
        }
    }
}
