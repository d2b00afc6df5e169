//! The model checker: its short run, and the deep one for whoever asks for it.

use sagamart_simulator::{
    Mutant,
    check::{self, Report},
};

fn searched(deep: bool) -> Report {
    let report = check::run(deep);
    println!("{report}");
    report
}

#[test]
fn every_schedule_of_the_small_plans_keeps_the_promises_and_every_mutant_is_caught() {
    let report = searched(false);
    let mut missed: Vec<_> = Mutant::ALL.into_iter().collect();
    assert!(report.is_as_expected());
    for row in &report.rows {
        missed.retain(|mutant| row.configuration.plan.mutant != Some(*mutant));
    }
    assert!(missed.is_empty(), "nobody searched without: {missed:?}");
}

#[test]
#[ignore = "takes minutes"]
fn every_schedule_of_the_larger_plans_keeps_the_promises() {
    assert!(searched(true).is_as_expected());
}
