//! The steps that were run, how long each took, and the summary at the end.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use crate::failure::Result;

/// How many tests of a run may pass at a second try and the run still pass: more are a defect, not chance.
const SECOND_TRIES: usize = 3;

/// How many tests ran, added up over test binaries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Which failed, by name.
    failing: Vec<String>,
    is_listing: bool,
}

impl Totals {
    /// Adds what a test binary's closing lines say: the list of what failed, and the counts. Every other line is passed over.
    pub(crate) fn see(&mut self, line: &str) {
        let listed = line.strip_prefix("    ").filter(|name| !name.is_empty() && !name.contains(' '));
        if let Some(name) = listed.filter(|_| self.is_listing) {
            self.failing.push(name.to_owned());
            return;
        }
        self.is_listing = line == "failures:";
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

/// One run of a suite.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) name: &'static str,
    /// The only tests to run, by name; all where there are none.
    pub(crate) only: &'a [String],
    pub(crate) totals: &'a mut Totals,
}

/// Runs a suite and counts its tests.
type RunSuite<'a> = Box<dyn Fn(&mut Run<'_>) -> Result<()> + Send + 'a>;

/// A suite of tests that disturbs no other one.
pub(crate) struct Suite<'a> {
    pub(crate) name: &'static str,
    pub(crate) run: RunSuite<'a>,
}

impl Suite<'_> {
    fn run(&self, only: &[String]) -> (Step, Totals) {
        let mut totals = Totals::default();
        let step = timed(self.name, || {
            (self.run)(&mut Run { name: self.name, only, totals: &mut totals })?;
            Ok(format!("{} tests", totals.passed))
        });
        (step, totals)
    }
}

/// What was run so far.
#[derive(Debug)]
pub(crate) struct Report {
    began: Instant,
    steps: Vec<Step>,
    totals: Totals,
    ran_tests: bool,
    /// What failed beside others and passed alone.
    passed_alone: Vec<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            steps: Vec::new(),
            totals: Totals::default(),
            ran_tests: false,
            passed_alone: Vec::new(),
        }
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
    pub(crate) fn tests(&mut self, name: &'static str, run: impl Fn(&mut Run<'_>) -> Result<()> + Send) {
        self.tests_at_once(vec![Suite { name, run: Box::new(run) }]);
    }

    /// Runs several suites of tests beside each other: each spends much of its time waiting.
    ///
    /// The few tests that fail are tried again, alone: two busy processors stretch every wait, and a run must tell a defect from that.
    /// What passes only then is named in the summary.
    pub(crate) fn tests_at_once(&mut self, suites: Vec<Suite<'_>>) {
        self.ran_tests = true;
        let done = thread::scope(|scope| {
            let running = suites.into_iter().map(|suite| {
                scope.spawn(move || {
                    let done = suite.run(&[]);
                    (suite, done)
                })
            });
            let running: Vec<_> = running.collect();
            running.into_iter().map(|suite| suite.join().expect("a suite returns its failure")).collect::<Vec<_>>()
        });
        for (suite, (mut step, mut totals)) in done {
            self.try_again(&suite, &mut step, &mut totals);
            self.totals.passed += totals.passed;
            self.totals.failed += totals.failed;
            self.totals.skipped += totals.skipped;
            self.steps.push(step);
        }
    }

    fn try_again(&mut self, suite: &Suite<'_>, step: &mut Step, totals: &mut Totals) {
        let failing = std::mem::take(&mut totals.failing);
        let is_all = u64::try_from(failing.len()) == Ok(totals.failed);
        if failing.is_empty() || !is_all || self.passed_alone.len() + failing.len() > SECOND_TRIES {
            return;
        }
        println!("\n{}: {} failed, and is tried again alone", suite.name, failing.join(", "));
        let (again, counts) = suite.run(&failing);
        step.took += again.took;
        if again.passed && counts.passed >= totals.failed {
            totals.passed += totals.failed;
            totals.failed = 0;
            step.passed = true;
            step.note = format!("{} tests, of which {} at the second try", totals.passed, failing.join(", "));
            self.passed_alone.extend(failing);
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
        for test in &self.passed_alone {
            println!("FLAKY: {test} failed beside others and passed alone\n");
        }

        let steps_failed = self.steps.iter().filter(|step| !step.passed).count();
        let Totals { passed, failed, skipped, .. } = self.totals;
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
    use std::sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    };

    use super::*;
    use crate::failure::Failure;

    #[test]
    fn totals_add_up_over_test_binaries_and_pass_over_other_lines() {
        let mut totals = Totals::default();
        totals.see("running 3 tests");
        totals.see("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        totals.see("test the_result: ok. 5 passed ... ok");
        totals.see("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.2s");
        let expected = Totals { passed: 5, failed: 4, skipped: 1, ..Totals::default() };
        assert_eq!(totals, expected);
    }

    #[test]
    fn what_failed_is_known_by_name() {
        let mut totals = Totals::default();
        let output = "failures:\n\n---- a::b stdout ----\n    indented\n\nfailures:\n    a::b\n    c\n\ntest result: FAILED. 1 passed; 2 failed";
        output.lines().for_each(|line| totals.see(line));
        assert_eq!(totals.failing, ["a::b", "c"]);
    }

    /// A suite of two tests, of which the first one fails for so many times.
    fn failing<'a>(times: u64, tried: &'a AtomicU64) -> impl Fn(&mut Run<'_>) -> Result<()> + 'a {
        move |run| {
            let passes = tried.fetch_add(1, Ordering::Relaxed) >= times;
            let selected = if run.only.is_empty() { 2 } else { run.only.len() };
            let failed = usize::from(!passes);
            if !passes {
                ["failures:", "    first", ""].iter().for_each(|line| run.totals.see(line));
            }
            run.totals.see(&format!("test result: x. {} passed; {failed} failed; 0 ignored", selected - failed));
            if passes { Ok(()) } else { Err(Failure::new("exit status: 101")) }
        }
    }

    #[test]
    fn what_fails_beside_others_and_passes_alone_is_named_and_counted_once() {
        let tried = AtomicU64::new(0);
        let mut report = Report::default();
        report.tests("suite", failing(1, &tried));
        assert_eq!((report.totals.passed, report.totals.failed, tried.load(Ordering::Relaxed)), (2, 0, 2));
        assert_eq!(report.passed_alone, ["first"]);
        assert_eq!(format!("{:?}", report.conclude()), format!("{:?}", ExitCode::SUCCESS));
    }

    #[test]
    fn what_fails_alone_too_has_failed() {
        let tried = AtomicU64::new(0);
        let mut report = Report::default();
        report.tests("suite", failing(2, &tried));
        assert_eq!((report.totals.passed, report.totals.failed, tried.load(Ordering::Relaxed)), (1, 1, 2));
        assert_eq!(format!("{:?}", report.conclude()), format!("{:?}", ExitCode::FAILURE));
    }

    #[test]
    fn only_a_few_are_tried_again() {
        let mut report = Report::default();
        for number in 0..=SECOND_TRIES {
            let tried = AtomicU64::new(0);
            report.tests("suite", failing(1, &tried));
            assert_eq!(tried.load(Ordering::Relaxed), if number < SECOND_TRIES { 2 } else { 1 });
        }
        assert_eq!(format!("{:?}", report.conclude()), format!("{:?}", ExitCode::FAILURE));
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
                run: Box::new(move |run| {
                    run.totals.see("test result: ok. 2 passed; 0 failed; 0 ignored");
                    there.recv().map_err(|gone| Failure::new(gone.to_string()))
                }),
            },
            Suite {
                name: "other",
                run: Box::new(move |run| {
                    run.totals.see("test result: FAILED. 3 passed; 1 failed; 0 ignored");
                    here.send(()).map_err(|gone| Failure::new(gone.to_string()))
                }),
            },
        ]);
        assert_eq!((report.totals.passed, report.totals.failed), (5, 1));
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
