//! The progress bars: on standard error, and only when that is a terminal.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Often enough to look alive, seldom enough to cost nothing beside the load.
const TICK: Duration = Duration::from_millis(200);

const OF_TIME: &str = "{prefix:.bold} {bar:32.cyan/dim} {elapsed} · {msg}";
const OF_COUNT: &str = "{prefix:.bold} {bar:32.cyan/dim} {human_pos} of {human_len} · {eta} left";
const OF_WAIT: &str = "{prefix:.bold} {spinner:.cyan} {elapsed}";

/// One line of progress.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    measure: Measure,
}

/// What fills the bar.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Time(Duration),
    Count,
}

impl Progress {
    /// A bar that fills as `duration` passes and shows how many requests have ended, and their rate.
    #[must_use]
    pub fn of_time(message: &str, duration: Duration) -> Self {
        let length_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let bar = bar(length_ms, OF_TIME);
        bar.set_prefix(message.to_owned());
        let measure = Measure::Time(duration);
        Self { bar, measure }
    }

    /// A bar that fills as things are done, of which there are `total`.
    #[must_use]
    pub fn of_count(message: &str, total: u64) -> Self {
        let bar = bar(total, OF_COUNT);
        bar.set_prefix(message.to_owned());
        let measure = Measure::Count;
        Self { bar, measure }
    }

    /// Something of unknown length, such as one long request.
    #[must_use]
    pub fn of_wait(message: &str) -> Self {
        let bar = bar(0, OF_WAIT);
        bar.set_prefix(message.to_owned());
        let measure = Measure::Count;
        Self { bar, measure }
    }

    /// Awaits `work`, meanwhile showing the `count` of things done, and removes the bar.
    pub async fn watch<F: Future>(&self, work: F, count: impl Fn() -> u64) -> F::Output {
        let started = Instant::now();
        let mut work = pin!(work);
        let mut ticks = tokio::time::interval(TICK);
        let (mut shown_at, mut shown) = (started, 0);
        loop {
            tokio::select! {
                biased;
                output = &mut work => {
                    self.bar.finish_and_clear();
                    return output;
                }
                _ = ticks.tick() => {}
            }
            let (now, done) = (Instant::now(), count());
            match self.measure {
                Measure::Count => self.bar.set_position(done),
                Measure::Time(duration) => {
                    let elapsed = now.duration_since(started).min(duration);
                    self.bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
                    // Over the last second or so, so that a stall shows at once.
                    if now.duration_since(shown_at) >= Duration::from_secs(1) {
                        let rate = (done - shown) * 1_000
                            / u64::try_from(now.duration_since(shown_at).as_millis()).unwrap_or(1).max(1);
                        self.bar.set_message(format!("{} answers, {}/s", human(done), human(rate)));
                        (shown_at, shown) = (now, done);
                    }
                }
            }
            self.bar.tick();
        }
    }
}

fn bar(length: u64, template: &str) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    // A template that did not parse would only cost the looks; a test parses them all.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}

fn human(count: u64) -> indicatif::HumanCount {
    indicatif::HumanCount(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_parsed() {
        for template in [OF_TIME, OF_COUNT, OF_WAIT] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[tokio::test]
    async fn work_is_awaited_and_its_output_returned() {
        let work = async {
            tokio::time::sleep(2 * TICK).await;
            7
        };
        let duration = Duration::from_secs(1);
        assert_eq!(Progress::of_time("Working", duration).watch(work, || 1).await, 7);
        assert_eq!(Progress::of_count("Working", 10).watch(async { 8 }, || 1).await, 8);
    }
}
