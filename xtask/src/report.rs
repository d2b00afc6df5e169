//! The steps that were run, how long each took, and the summary at the end.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use crate::failure::Result;

/// How many tests ran, added up over test binaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Totals {
    /// Adds what a test binary's closing line says; every other line is passed over.
    pub(crate) fn see(&mut self, line: &str) {
        let Some((_, counts)) = line.trim().strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    took: Duration,
    passed: bool,
    note: String,
}

/// Runs a suite and counts its tests.
type RunSuite<'a> = Box<dyn FnOnce(&mut Totals) -> Result<()> + Send + 'a>;

/// A suite of tests that disturbs no other one.
pub(crate) struct Suite<'a> {
    pub(crate) name: &'static str,
    pub(crate) run: RunSuite<'a>,
}

/// What was run so far.
#[derive(Debug)]
pub(crate) struct Report {
    began: Instant,
    steps: Vec<Step>,
    totals: Totals,
    ran_tests: bool,
}

impl Default for Report {
    fn default() -> Self {
        Self { began: Instant::now(), steps: Vec::new(), totals: Totals::default(), ran_tests: false }
    }
}

impl Report {
    /// Runs one step. A failed one does not stop those after it: a developer wants to see all that is wrong at once.
    pub(crate) fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<String>) {
        self.passes(name, run);
    }

    /// The same where others need it: whether it passed.
    pub(crate) fn passes(&mut self, name: &'static str, run: impl FnOnce() -> Result<String>) -> bool {
        let step = timed(name, run);
        let passed = step.passed;
        self.steps.push(step);
        passed
    }

    /// Runs one suite of tests.
    pub(crate) fn tests(&mut self, name: &'static str, run: impl FnOnce(&mut Totals) -> Result<()> + Send) {
        self.tests_at_once(vec![Suite { name, run: Box::new(run) }]);
    }

    /// Runs several suites of tests beside each other: each spends much of its time waiting.
    pub(crate) fn tests_at_once(&mut self, suites: Vec<Suite<'_>>) {
        self.ran_tests = true;
        let done = thread::scope(|scope| {
            let running = suites.into_iter().map(|Suite { name, run }| {
                scope.spawn(move || {
                    let mut totals = Totals::default();
                    let step = timed(name, || run(&mut totals).map(|()| format!("{} tests", totals.passed)));
                    (step, totals)
                })
            });
            let running: Vec<_> = running.collect();
            running.into_iter().map(|suite| suite.join().expect("a suite returns its failure")).collect::<Vec<_>>()
        });
        for (step, totals) in done {
            self.totals.passed += totals.passed;
            self.totals.failed += totals.failed;
            self.totals.skipped += totals.skipped;
            self.steps.push(step);
        }
    }

    /// Prints the summary; the exit code says whether everything passed.
    ///
    /// The last two lines follow `cargo test`'s form, because machines look for it. A failed step in which no test
    /// failed (it did not compile, say) counts as one failure, so that the line never reads well after a bad run.
    pub(crate) fn conclude(self) -> ExitCode {
        println!("\n==> summary");
        for step in &self.steps {
            let note = step.note.lines().next().unwrap_or_default();
            println!("{} {:>7.1} s  {}: {note}", mark(step.passed), step.took.as_secs_f64(), step.name);
        }
        println!("   {:>7.1} s  in all\n", self.began.elapsed().as_secs_f64());

        let steps_failed = self.steps.iter().filter(|step| !step.passed).count();
        let Totals { passed, failed, skipped } = self.totals;
        let failed = failed.max(u64::try_from(steps_failed).unwrap_or(u64::MAX));
        if self.ran_tests {
            let word = if failed == 0 { "ok" } else { "FAILED" };
            println!(
                "test result: {word}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; 0 filtered out"
            );
            let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
            println!("{passed} passed, {failed} failed{skipped}");
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn timed(name: &'static str, run: impl FnOnce() -> Result<String>) -> Step {
    println!("\n==> {name}");
    let start = Instant::now();
    let outcome = run();
    let took = start.elapsed();
    let (passed, note) = match outcome {
        Ok(note) => (true, note),
        Err(failure) => (false, failure.to_string()),
    };
    println!("{} {name} in {:.1} s: {note}", mark(passed), took.as_secs_f64());
    Step { name, took, passed, note }
}

fn mark(passed: bool) -> &'static str {
    if passed { "ok  " } else { "FAIL" }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::failure::Failure;

    #[test]
    fn totals_add_up_over_test_binaries_and_pass_over_other_lines() {
        let mut totals = Totals::default();
        totals.see("running 3 tests");
        totals.see("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        totals.see("test the_result: ok. 5 passed ... ok");
        totals.see("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.2s");
        let expected = Totals { passed: 5, failed: 4, skipped: 1 };
        assert_eq!(totals, expected);
    }

    #[test]
    fn a_step_that_fails_without_a_failed_test_fails_the_run() {
        let mut report = Report::default();
        report.step("good", || Ok("fine".to_owned()));
        report.step("bad", || Err(Failure::new("does not compile")));
        assert_eq!(format!("{:?}", report.conclude()), format!("{:?}", ExitCode::FAILURE));
    }

    #[test]
    fn suites_run_beside_each_other_and_their_tests_add_up() {
        let (here, there) = mpsc::channel();
        let mut report = Report::default();
        report.tests_at_once(vec![
            // Each waits for the other.
            Suite {
                name: "one",
                run: Box::new(move |totals| {
                    totals.see("test result: ok. 2 passed; 0 failed; 0 ignored");
                    there.recv().map_err(|gone| Failure::new(gone.to_string()))
                }),
            },
            Suite {
                name: "other",
                run: Box::new(move |totals| {
                    totals.see("test result: FAILED. 3 passed; 1 failed; 0 ignored");
                    here.send(()).map_err(|gone| Failure::new(gone.to_string()))
                }),
            },
        ]);
        assert_eq!(report.totals, Totals { passed: 5, failed: 1, skipped: 0 });
        assert_eq!(
            report.steps.iter().map(|step| (step.name, step.passed)).collect::<Vec<_>>(),
            [("one", true), ("other", true)]
        );
        assert_eq!(format!("{:?}", report.conclude()), format!("{:?}", ExitCode::FAILURE));
    }

    #[test]
    fn a_run_of_passed_steps_passes() {
        let mut report = Report::default();
        report.step("good", || Ok("fine".to_owned()));
        assert_eq!(format!("{:?}", report.conclude()), format!("{:?}", ExitCode::SUCCESS));
    }
}
