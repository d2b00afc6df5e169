//! Whether what there is is explained by what happened: the sums of all events beside what the services themselves count.
//!
//! The two are looked at one after the other, and what is under way is in one of them before it is in the other. So it is said that
//! they differ only where the shop rests: where nothing was heard, nothing changed and nothing was open for a while.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use contract::{Books, Counted};
use serde::Serialize;
use utoipa::ToSchema;
use web::Problem;

use crate::{
    history::History,
    ledger::{From, Sums},
    query::Counts,
    shown::moment,
    wanted::now,
};

/// A shop rests that did nothing for so long: far longer than an event is under way to an observer that is not cut off.
const REST: Duration = Duration::from_secs(2);

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What happened makes what there is.
    Agrees,
    /// It does not at this moment, and something is or may be under way.
    UnderWay,
    /// It does not, and the shop rests.
    Differs,
    /// It is not known what there was before what is counted. It will be once the shop rests.
    Unknown,
}

impl Verdict {
    /// As it stands in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::UnderWay => "under-way",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
        }
    }
}

/// One service's side. Numbers beyond 2⁶³ are shown as 2⁶³ − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Side {
    /// What there was before the first event that is counted; nothing where it is not known.
    pub began_with: Option<i64>,
    /// What accounts had after a bulk command set them.
    pub set: i64,
    /// What those had before.
    pub replaced: i64,
    /// What callers added.
    pub added: i64,
    /// What callers took.
    pub taken: i64,
    /// What paid checkouts took.
    pub paid: i64,
    /// What all of that makes.
    pub expected: Option<i64>,
    /// What the service counts, over all accounts.
    pub now: i64,
    /// How much more that is than what is expected.
    pub difference: Option<i64>,
    /// How much of it checkouts hold that are not settled.
    pub held: i64,
    /// What was taken for paid checkouts without having been there.
    pub shortfall: i64,
    /// How many accounts the service counts.
    pub accounts: i64,
}

/// Whether what there is is explained by what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Proof {
    /// What can be said.
    pub verdict: Verdict,
    /// Since when it is counted; nothing: since the beginning.
    pub since: Option<String>,
    /// When both sides last agreed, as far as the process that answers has looked.
    pub agreed_at: Option<String>,
    /// Checkouts that were paid, of those that are counted.
    pub completed: u64,
    /// Checkouts that are not decided.
    pub open: u64,
    /// Units of items.
    pub stock: Side,
    /// Credit of users.
    pub payment: Side,
    /// What must not be, in words.
    pub anomalies: Vec<String>,
    /// What cannot be told, in words.
    pub unproven: Vec<String>,
}

fn shown(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

impl Side {
    fn of(began_with: Option<i128>, sums: &Sums, counted: &Counted) -> Self {
        let expected = began_with.map(|began_with| began_with + sums.net());
        Self {
            began_with: began_with.map(shown),
            set: shown(sums.set.0),
            replaced: shown(sums.replaced.0),
            added: shown(sums.added.0),
            taken: shown(sums.taken.0),
            paid: shown(sums.paid.0),
            expected: expected.map(shown),
            now: shown(counted.total.0),
            difference: expected.map(|expected| shown(counted.total.0 - expected)),
            held: shown(counted.held.0),
            shortfall: shown(counted.shortfall.0),
            accounts: counted.accounts,
        }
    }

    fn differs(&self) -> bool {
        self.difference.is_some_and(|difference| difference != 0)
    }
}

impl Proof {
    /// From what was heard and what the services count. `rests`: whether nothing has been under way for long.
    #[must_use]
    pub fn of(counts: &Counts, [units, credit]: &[Counted; 2], rests: bool) -> Self {
        let ledger = &counts.ledger;
        let (units_before, credit_before) = ledger.began_with().unzip();
        let (stock, payment) =
            (Side::of(units_before, &ledger.units, units), Side::of(credit_before, &ledger.credit, credit));
        let mut anomalies = Vec::new();
        for (side, of) in [(&stock, "units"), (&payment, "credit")] {
            if side.shortfall != 0 {
                anomalies
                    .push(format!("{} {of} were taken for paid checkouts without having been there", side.shortfall));
            }
            if rests && side.held != 0 {
                anomalies.push(format!("{} {of} are held, and no checkout is open", side.held));
            }
            if let Some(difference) =
                side.difference.filter(|difference| rests && ledger.is_certain && *difference != 0)
            {
                let (by, how) = (difference.unsigned_abs(), if difference > 0 { "more" } else { "less" });
                anomalies.push(format!("there are {by} {of} {how} than what happened makes"));
            }
        }
        if ledger.contradicted > 0 {
            anomalies.push(format!("{} checkouts were decided twice", ledger.contradicted));
        }
        let verdict = match ledger.from {
            _ if !anomalies.is_empty() => Verdict::Differs,
            From::Unknown(_) => Verdict::Unknown,
            _ if rests && !ledger.is_certain && (stock.differs() || payment.differs()) => Verdict::Unknown,
            _ if stock.differs() || payment.differs() => Verdict::UnderWay,
            _ => Verdict::Agrees,
        };
        let since = match ledger.from {
            From::Beginning => None,
            From::Unknown(at) | From::Counted { at, .. } => Some(moment(at)),
        };
        let (completed, open) = (ledger.completed, counts.undecided);
        let unproven = unproven(counts, since.as_deref());
        Self { verdict, since, agreed_at: None, completed, open, stock, payment, anomalies, unproven }
    }
}

fn unproven(counts: &Counts, since: Option<&str>) -> Vec<String> {
    let mut unproven = Vec::new();
    if let Some(since) = since {
        unproven.push(format!("what happened before {since}: the sums begin with what the services had then"));
    }
    if counts.missed > 0 {
        unproven.push(format!("what the {} events were that the history missed", counts.missed));
    }
    unproven.push("what a sum hides: one account with too much and another one with as much too little; sagamart account and the \
                   pages of items and users add up one account"
        .to_owned());
    unproven
}

/// What was found when it was looked last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    heard: u64,
    counted: [Counted; 2],
    since: Instant,
}

#[derive(Debug, Default)]
struct Memory {
    seen: Option<Seen>,
    agreed_at: Option<u64>,
}

/// Looks at both sides.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "books are whoever keeps them")]
pub struct Prover {
    history: History,
    books: Arc<dyn Books>,
    memory: Arc<Mutex<Memory>>,
}

impl Prover {
    /// Of a history, and of the services' own books.
    #[must_use]
    pub fn new(history: History, books: Arc<dyn Books>) -> Self {
        Self { history, books, memory: Arc::default() }
    }

    /// Looks.
    ///
    /// # Errors
    /// The history does not answer, or a service does not.
    pub async fn prove(&self) -> Result<Proof, Problem> {
        let before = self.history.ledger().await?;
        let counted = [self.books.all_units().await, self.books.all_credit().await];
        let [units, credit] =
            counted.map(|counted| counted.map_err(|error| Problem::unavailable(error.to_string(), 1)));
        let counted = [units?, credit?];
        let mut counts = self.history.ledger().await?;
        let is_still = counts.ledger.heard == before.ledger.heard && counts.undecided == 0;
        let rests = self.rests(is_still, counts.ledger.heard, counted);
        if rests && !counts.ledger.is_certain {
            let [Counted { total: units, .. }, Counted { total: credit, .. }] = counted;
            counts = self.history.count_from(&counts, units, credit).await?;
        }
        let mut proof = Proof::of(&counts, &counted, rests);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if proof.verdict == Verdict::Agrees {
            memory.agreed_at = Some(now());
        }
        proof.agreed_at = memory.agreed_at.map(moment);
        Ok(proof)
    }

    /// Whether it looked the same for so long that nothing can be under way.
    fn rests(&self, is_still: bool, heard: u64, counted: [Counted; 2]) -> bool {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.seen.filter(|seen| is_still && seen.heard == heard && seen.counted == counted) {
            Some(seen) => seen.since.elapsed() >= REST,
            None => {
                memory.seen = is_still.then(|| Seen { heard, counted, since: Instant::now() });
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::Sum;

    use super::*;
    use crate::ledger::Ledger;

    fn counted(total: i128, held: i128) -> Counted {
        Counted { accounts: 3, total: Sum(total), held: Sum(held), shortfall: Sum(0) }
    }

    /// 100 units set in place of 10, 5 added, 2 taken, 3 paid with 30 of 1000 credit.
    fn counts(from: From) -> Counts {
        let units = Sums { set: Sum(100), replaced: Sum(10), added: Sum(5), taken: Sum(2), paid: Sum(3) };
        let credit = Sums { set: Sum(1000), paid: Sum(30), ..Sums::default() };
        let ledger = Ledger { from, units, credit, completed: 3, heard: 9, contradicted: 0, is_certain: true };
        Counts { ledger, undecided: 0, missed: 0 }
    }

    #[test]
    fn what_happened_makes_what_there_is_or_not() {
        let of = |units, credit, rests| Proof::of(&counts(From::Beginning), &[units, credit], rests);
        let right = of(counted(90, 0), counted(970, 0), true);
        assert_eq!((right.verdict, right.anomalies.len()), (Verdict::Agrees, 0));
        assert_eq!((right.stock.expected, right.payment.expected), (Some(90), Some(970)));
        for (units, credit, what) in [(91, 970, "1 units more"), (90, 969, "1 credit less")] {
            assert_eq!(of(counted(units, 0), counted(credit, 0), false).verdict, Verdict::UnderWay);
            let wrong = of(counted(units, 0), counted(credit, 0), true);
            assert_eq!(wrong.verdict, Verdict::Differs);
            assert!(matches!(&wrong.anomalies[..], [anomaly] if anomaly.contains(what)), "{wrong:?}");
        }
        assert_eq!(of(counted(90, 1), counted(970, 0), false).verdict, Verdict::Agrees, "a checkout holds it");
        assert_eq!(of(counted(90, 1), counted(970, 0), true).verdict, Verdict::Differs, "nobody does");
        let short = Counted { shortfall: Sum(4), ..counted(90, 0) };
        assert_eq!(of(short, counted(970, 0), false).verdict, Verdict::Differs);
    }

    #[test]
    fn nothing_is_said_of_what_was_before_the_first_event() {
        let unknown = Proof::of(&counts(From::Unknown(5)), &[counted(7, 0), counted(7, 0)], true);
        assert_eq!((unknown.verdict, unknown.stock.difference), (Verdict::Unknown, None));
        assert!(unknown.unproven.iter().any(|text| text.contains(&moment(5))), "{unknown:?}");
        let from = From::Counted { at: 5, units: Sum(50), credit: Sum(0) };
        let later = Proof::of(&counts(from), &[counted(140, 0), counted(970, 0)], true);
        assert_eq!((later.verdict, later.since), (Verdict::Agrees, Some(moment(5))));
        let missed = Counts { missed: 12, ..counts(from) };
        let missed = Proof::of(&missed, &[counted(140, 0), counted(970, 0)], true);
        assert!(missed.unproven.iter().any(|text| text.contains("12 events")), "{missed:?}");
    }

    #[test]
    fn what_never_agreed_may_lack_its_beginning() {
        let mut counts = counts(From::Beginning);
        counts.ledger.is_certain = false;
        let of = |units, rests| Proof::of(&counts, &[counted(units, 0), counted(970, 0)], rests).verdict;
        assert_eq!([of(91, false), of(91, true), of(90, true)], [Verdict::UnderWay, Verdict::Unknown, Verdict::Agrees]);
    }

    #[test]
    fn what_was_decided_twice_is_an_anomaly() {
        let mut counts = counts(From::Beginning);
        counts.ledger.contradicted = 1;
        assert_eq!(Proof::of(&counts, &[counted(90, 0), counted(970, 0)], true).verdict, Verdict::Differs);
    }

    #[test]
    fn numbers_that_no_number_of_json_is_for_are_shown_as_the_largest() {
        assert_eq!([shown(i128::MAX), shown(i128::MIN), shown(-3)], [i64::MAX, i64::MIN, -3]);
    }
}
