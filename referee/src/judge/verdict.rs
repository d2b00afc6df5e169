//! What the referee says.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use serde::{Deserialize, Serialize};

use super::{Finding, accounts, case::Case, orders, serial};
use crate::{AnomalyKind, Error, Result, history::History};

/// Findings that are kept; the others are only counted.
const KEPT_MAX: usize = 200;
/// With fewer that differ, a small history may just be that wrong.
const ANOTHER_STATE_MIN: u64 = 10;
/// Findings that the table shows.
const SHOWN_MAX: usize = 10;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// What it claims.
    pub claim: String,
    /// How it was checked.
    pub method: String,
    /// How many things were decided.
    pub decided: u64,
    /// What they are.
    pub unit: String,
    /// How many were not.
    pub undecided: u64,
    /// How many anomalies were found.
    pub anomalies: u64,
}

/// What the referee says of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Operations in the history.
    pub operations: u64,
    /// Checkouts that took place.
    pub sales: u64,
    /// What was checked.
    pub checks: Vec<Check>,
    /// How many anomalies there are.
    pub findings_count: u64,
    /// The same by kind, the worst first.
    pub findings_by_kind: BTreeMap<AnomalyKind, u64>,
    /// The first of every kind, the worst kind first, then the second of every kind, and so on.
    pub findings: Vec<Finding>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

impl Verdict {
    pub(super) fn of(
        history: &History,
        case: &Case<'_>,
        orders: orders::Judgement,
        accounts: accounts::Judgement,
        serial: serial::Judgement,
    ) -> Self {
        let check =
            |name: &str, claim: &str, method: &str, decided, unit: &str, undecided, findings: &[Finding]| Check {
                name: name.to_owned(),
                claim: claim.to_owned(),
                method: method.to_owned(),
                decided,
                unit: unit.to_owned(),
                undecided,
                anomalies: findings.len() as u64,
            };
        let checks = vec![
            check(
                "Answers",
                "Every 200 is still true, every 4xx left nothing, and orders read as they were answered.",
                "Each order's answers, lines and reads are compared with its final state and with each other.",
                orders.orders - orders.unread,
                "orders",
                orders.unread,
                &orders.findings,
            ),
            check(
                "Conservation",
                "What was there at first, plus what was added, less what was taken and what paid orders bought, is there.",
                "Exact sums for each item and each user; an unknown change may count or not, an unknown checkout counts \
                 as its order says.",
                accounts.conserved,
                "items and users",
                accounts.unread,
                &accounts.conservation,
            ),
            check(
                "Linearizability",
                "Each item and each user behaves as if every operation had happened at one moment between its request \
                 and its answer.",
                "A search over all orders for each item and user (just-in-time linearization with memoization), \
                 checkouts included.",
                accounts.linear_decided,
                "operations",
                accounts.linear_undecided,
                &accounts.linear,
            ),
            check(
                "Serializability",
                "One order of all operations explains every read, a checkout being one step for all that it touches.",
                "What each read certainly shows and certainly does not, together with the order of time, has no cycle.",
                serial.decided,
                "reads",
                serial.undecided,
                &serial.findings,
            ),
        ];
        let mut notes = notes(history);
        let judged = orders.orders + case.ledgers.len() as u64;
        let differing = accounts.conservation.len() + orders.findings.iter().filter(|found| is_of_state(found)).count();
        notes.extend(another_state(differing as u64, judged));
        let all = [orders.findings, accounts.conservation, accounts.linear, serial.findings].concat();
        let mut findings_by_kind: BTreeMap<AnomalyKind, u64> = BTreeMap::new();
        for finding in &all {
            *findings_by_kind.entry(finding.kind).or_default() += 1;
        }
        Self {
            operations: history.operations.len() as u64,
            sales: case.sales.len() as u64,
            checks,
            findings_count: all.len() as u64,
            findings_by_kind,
            findings: fairly(all),
            notes,
        }
    }

    /// Whether nothing wrong was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings_count == 0
    }

    /// How much could not be decided.
    #[must_use]
    pub fn undecided(&self) -> u64 {
        self.checks.iter().map(|check| check.undecided).sum()
    }

    /// The verdict as a result.
    ///
    /// # Errors
    /// [`Error::Wrong`] when something wrong was found, [`Error::Undecided`] when not everything was decided.
    pub fn result(&self) -> Result<()> {
        if !self.is_clean() {
            return Err(Error::Wrong(self.findings_count));
        }
        let undecided: Vec<String> = self
            .checks
            .iter()
            .filter(|check| check.undecided > 0)
            .map(|check| format!("{} {} were not decided ({})", check.undecided, check.unit, check.name.to_lowercase()))
            .collect();
        if undecided.is_empty() { Ok(()) } else { Err(Error::Undecided(undecided.join(", "))) }
    }
}

/// The first finding of every kind, the worst kind first, then the second of every kind, and so on: a frequent kind does
/// not hide a rare one.
fn fairly(all: Vec<Finding>) -> Vec<Finding> {
    let mut of_kind: BTreeMap<AnomalyKind, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, Finding)> = all
        .into_iter()
        .map(|finding| {
            let earlier = of_kind.entry(finding.kind).or_default();
            *earlier += 1;
            (*earlier, finding)
        })
        .collect();
    ranked.sort_by_key(|(rank, finding)| (*rank, finding.kind));
    ranked.into_iter().map(|(_, finding)| finding).take(KEPT_MAX).collect()
}

/// Whether a finding compares the history with the final state.
fn is_of_state(finding: &Finding) -> bool {
    use AnomalyKind::{Missing, OrderChanged, RefusedButPaid, SucceededButUnpaid, UnsentButPaid};
    matches!(finding.kind, Missing | OrderChanged | RefusedButPaid | SucceededButUnpaid | UnsentButPaid)
}

/// A word of doubt where hardly anything fits together.
fn another_state(differing: u64, judged: u64) -> Option<String> {
    (differing > ANOTHER_STATE_MIN && differing * 2 > judged).then(|| {
        format!(
            "{differing} of {judged} items, users and orders are not as the history leaves them. That many usually mean \
             that this is another state: of a shop that was started again without its data, initialised or written to \
             since, or another shop. Judge the history with the state at its own end (without --url), or right after \
             the load."
        )
    })
}

fn notes(history: &History) -> Vec<String> {
    let mut notes = Vec::new();
    if history.cut_off {
        notes.push("The last line of the history is cut off and was left out.".to_owned());
    }
    if !history.state.complete {
        notes.push("The final state has no end line: it may lack something.".to_owned());
    }
    if !history.faults.is_empty() {
        notes.push(format!("There were {} faults and restarts while the load ran.", history.faults.len()));
    }
    notes
}

fn anomalies(count: u64) -> String {
    match count {
        0 => "no anomalies".to_owned(),
        1 => "1 anomaly".to_owned(),
        count => format!("{} anomalies", indicatif::HumanCount(count)),
    }
}

/// A verdict as a person reads it.
#[derive(Debug)]
pub struct Table<'verdict>(pub &'verdict Verdict);

impl Display for Table<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let verdict = self.0;
        let word = match (verdict.is_clean(), verdict.undecided()) {
            (false, _) => "FAILED",
            (true, 0) => "clean",
            (true, _) => "nothing wrong found, but not everything decided",
        };
        writeln!(
            formatter,
            "referee      {word}: {} operations, {} paid orders, {}",
            indicatif::HumanCount(verdict.operations),
            indicatif::HumanCount(verdict.sales),
            anomalies(verdict.findings_count)
        )?;
        for check in &verdict.checks {
            let Check { name, decided, unit, undecided, .. } = check;
            let undecided = if *undecided > 0 { format!(", {undecided} not decided") } else { String::new() };
            let decided = indicatif::HumanCount(*decided);
            writeln!(formatter, "  {name:<16} {decided} {unit}{undecided}: {}", anomalies(check.anomalies))?;
        }
        for (kind, count) in &verdict.findings_by_kind {
            let (name, cause) = (kind.name(), kind.usual_cause());
            writeln!(formatter, "  {name}: {} (usually: {cause})", indicatif::HumanCount(*count))?;
        }
        for finding in verdict.findings.iter().take(SHOWN_MAX) {
            writeln!(formatter, "  ✗ {finding}")?;
            for shown in &finding.operations {
                writeln!(formatter, "      {shown}")?;
            }
        }
        let hidden = verdict.findings_count.saturating_sub(SHOWN_MAX as u64);
        if hidden > 0 {
            writeln!(formatter, "  … and {hidden} more")?;
        }
        verdict.notes.iter().try_for_each(|note| writeln!(formatter, "note         {note}"))
    }
}
