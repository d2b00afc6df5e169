//! Whether what the shop keeps is explained by what it answered: the referee's judgement of a history without reads, whose
//! operations have no times.
//!
//! ```text
//!  each order    answered 2xx ⇒ paid · answered 4xx or never sent ⇒ not paid · unknown: either, as the order says
//!  each user     starting credit − Σ total cost of its paid orders         = credit found
//!  each item     starting stock  − Σ quantities in paid orders             = stock found
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use referee::{
    AnomalyKind, Finding, Machine, Outcome,
    history::{Action, History, Operation, Preface, entry::FORMAT},
    judge_books,
};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    Result,
    client::Target,
    final_state::{numbered, read_final},
    load::OrderIds,
    prepare::{Parallelism, Plan, Setup},
};

/// What the audit has to know about the run.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The server.
    pub target: Arc<Target>,
    /// The shop before the first checkout.
    pub setup: Setup,
    /// The names of the orders.
    pub orders: Arc<OrderIds>,
    /// How many orders there are.
    pub orders_count: u64,
    /// What was seen of each checkout that was sent, by the order's index.
    pub outcomes: Vec<(u64, Outcome)>,
}

/// What the audit found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AuditReport {
    /// Orders read.
    pub orders: u64,
    /// Users read.
    pub users: u64,
    /// Items read.
    pub items: u64,
    /// Orders that say they are paid.
    pub orders_paid: u64,
    /// Orders with an unknown outcome that turned out to be paid.
    pub unknown_paid: u64,
    /// Orders with an unknown outcome that turned out not to be paid.
    pub unknown_unpaid: u64,
    /// The credit of all users.
    pub credit: Total,
    /// The stock of all items.
    pub stock: Total,
    /// How many anomalies there are; 0 means that everything is explained.
    pub anomalies_count: u64,
    /// How many of which kind, the worst first.
    pub anomalies_by_kind: BTreeMap<AnomalyKind, u64>,
    /// The first of each kind.
    pub anomalies: Vec<Finding>,
}

/// A total before and after the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Before the first checkout.
    pub before: i128,
    /// What paid orders took.
    pub taken_by_paid_orders: i128,
    /// After the last checkout, as read back.
    pub after: i128,
}

impl Total {
    /// What is there but should not be (positive), or should be there but is not (negative).
    #[must_use]
    pub fn unexplained(&self) -> i128 {
        self.after - (self.before - self.taken_by_paid_orders)
    }
}

impl AuditReport {
    /// Whether every credit and unit of stock is explained.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.anomalies_count == 0
    }
}

impl Audit {
    /// Reads everything back and has it judged.
    ///
    /// # Errors
    /// When something could not be read: an audit of a part would prove nothing. Anomalies are not errors here but
    /// part of the report.
    pub async fn run(&self, parallelism: Parallelism) -> Result<AuditReport> {
        let mut history = self.history();
        let names = (0..self.orders_count).map(|index| SmolStr::new(self.orders.name(index))).collect();
        let (items, users) = (numbered(self.setup.items), numbered(self.setup.users));
        let state = read_final(&self.target, items, users, names, parallelism).await?;
        state.into_iter().for_each(|state| history.state(state));
        Ok(self.report(&history))
    }

    /// What the clients know, as a history.
    fn history(&self) -> History {
        let Setup { items, users, stock, credit, price, .. } = self.setup;
        let are_numbered = *self.orders == OrderIds::Numbered;
        let mut history = History::new(Preface {
            history: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_seconds: 0,
            url: self.target.url().to_owned(),
            durability: None,
            machine: Machine::here(),
            load: BTreeMap::new(),
            items,
            stock,
            price,
            users,
            credit,
            orders: if are_numbered { self.orders_count } else { 0 },
        });
        for index in 0..self.orders_count {
            let order = history.orders.number(&self.orders.name(index));
            if let Some(Plan { user, items }) = self.setup.plan(index) {
                let created = Action::Create { user, order: Some(order) };
                let lines = items.into_iter().map(|item| Action::AddItem { order, item, quantity: 1 });
                history.operations.extend([created].into_iter().chain(lines).map(|action| succeeded(0, action)));
            }
        }
        for (index, outcome) in &self.outcomes {
            let order = history.orders.number(&self.orders.name(*index));
            let checkout = succeeded(1, Action::Checkout { order, blamed: None });
            history.operations.push(Operation { outcome: *outcome, ..checkout });
        }
        history
    }

    fn report(&self, history: &History) -> AuditReport {
        let verdict = judge_books(history);
        let state = &history.state;
        let outcomes: HashMap<u32, Outcome> = self
            .outcomes
            .iter()
            .filter_map(|(index, outcome)| Some((history.orders.find(&self.orders.name(*index))?, *outcome)))
            .collect();
        let unknown = |paid: bool| {
            let of_unknown = |(order, found): &(&u32, &Option<_>)| {
                let found: &Option<referee::history::OrderRead> = found;
                outcomes.get(order) == Some(&Outcome::Unknown) && found.as_ref().is_some_and(|found| found.paid == paid)
            };
            state.orders.iter().filter(of_unknown).count() as u64
        };
        let paid = || state.orders.values().flatten().filter(|order| order.paid);
        let units = |lines: &[(u32, i64)]| lines.iter().map(|(_, quantity)| i128::from(*quantity)).sum::<i128>();
        let before = |each: u64, count: u32| i128::from(each) * i128::from(count);
        let after = |values: Vec<&i64>| values.into_iter().map(|value| i128::from(*value)).sum();
        let mut anomalies = verdict.findings;
        // The operations are only what was known, without times to show.
        anomalies.iter_mut().for_each(|finding| finding.operations.clear());
        AuditReport {
            orders: state.orders.len() as u64,
            users: state.credit.len() as u64,
            items: state.stock.len() as u64,
            orders_paid: paid().count() as u64,
            unknown_paid: unknown(true),
            unknown_unpaid: unknown(false),
            credit: Total {
                before: before(self.setup.credit, self.setup.users),
                taken_by_paid_orders: paid().map(|order| i128::from(order.total_cost)).sum(),
                after: after(state.credit.values().flatten().collect()),
            },
            stock: Total {
                before: before(self.setup.stock, self.setup.items),
                taken_by_paid_orders: paid().map(|order| units(&order.lines)).sum(),
                after: after(state.stock.values().flatten().collect()),
            },
            anomalies_count: verdict.findings_count,
            anomalies_by_kind: verdict.findings_by_kind,
            anomalies,
        }
    }
}

fn succeeded(time: u64, action: Action) -> Operation {
    Operation { client: 0, start: time, end: time, outcome: Outcome::Succeeded, reason: None, action }
}

#[cfg(test)]
mod tests {
    //! What is handed to the referee; that whole servers are caught is in `tests/runs/audit.rs`.

    use referee::history::{Final, OrderFound};

    use super::*;
    use crate::Options;

    fn audit(lines_per_order: u16, outcomes: &[(u64, Outcome)]) -> Audit {
        let options =
            Options { items: 4, users: 3, stock: 10, credit: 100, price: 2, lines_per_order, ..Options::default() };
        Audit {
            target: Arc::new(Target::unresolved()),
            setup: Setup::of(&options),
            orders: Arc::new(OrderIds::Numbered),
            orders_count: 1,
            outcomes: outcomes.to_vec(),
        }
    }

    fn order(paid: bool, items: &[(u32, i64)], user: u32, total_cost: i64) -> Final {
        let items = items.iter().map(|(item, quantity)| (item.to_string().into(), *quantity)).collect();
        let found = OrderFound { paid, items, user_id: user.to_string().into(), total_cost };
        Final::Order { order: "0".into(), found: Some(found) }
    }

    /// The kinds that are found where the order is all that is read.
    fn kinds(audit: &Audit, order: Final) -> Vec<AnomalyKind> {
        let mut history = audit.history();
        history.state(order);
        audit.report(&history).anomalies.iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn a_planned_order_has_to_have_exactly_its_user_and_items() {
        let audit = audit(3, &[]);
        let plan = audit.setup.plan(0).unwrap();
        let mut lines: Vec<(u32, i64)> = plan.items.iter().map(|item| (*item, 1)).collect();
        assert_eq!(kinds(&audit, order(false, &lines, plan.user, 6)), []);
        lines.reverse();
        assert_eq!(
            kinds(&audit, order(false, &lines, plan.user, 6)),
            [],
            "the order of the lines is the server's affair"
        );
        assert_eq!(kinds(&audit, order(false, &lines, (plan.user + 1) % 3, 6)), [AnomalyKind::OrderChanged]);
        lines[0].0 = (0..4).find(|item| !plan.items.contains(item)).unwrap();
        assert_eq!(kinds(&audit, order(false, &lines, plan.user, 6)), [AnomalyKind::OrderChanged]);
    }

    #[test]
    fn an_order_of_a_batch_has_to_be_one_that_the_api_makes() {
        let audit = audit(2, &[]);
        for (changed, why) in [
            (order(false, &[(0, 1), (1, 1)], 3, 4), "no such user"),
            (order(false, &[(0, 1), (4, 1)], 2, 4), "no such item"),
            (order(false, &[(0, 1), (1, 1)], 2, 5), "wrong total"),
            (order(false, &[(0, 1)], 2, 2), "a line lost"),
            (order(false, &[(0, 1), (1, 2)], 2, 6), "a unit too many"),
            (order(false, &[(0, 3), (1, -1)], 2, 4), "a negative quantity"),
        ] {
            assert_eq!(kinds(&audit, changed), [AnomalyKind::OrderChanged], "{why}");
        }
        assert_eq!(kinds(&audit, order(false, &[(0, 2)], 2, 4)), []);
    }

    #[test]
    fn an_answer_has_to_agree_with_the_order() {
        use AnomalyKind::{RefusedButPaid, SucceededButUnpaid, UnsentButPaid};
        for (outcome, paid, expected) in [
            (Some(Outcome::Succeeded), true, vec![]),
            (Some(Outcome::Succeeded), false, vec![SucceededButUnpaid]),
            (Some(Outcome::Refused), true, vec![RefusedButPaid]),
            (Some(Outcome::Refused), false, vec![]),
            (Some(Outcome::Unknown), true, vec![]),
            (Some(Outcome::Unknown), false, vec![]),
            (None, true, vec![UnsentButPaid]),
            (None, false, vec![]),
        ] {
            let outcomes: Vec<_> = outcome.into_iter().map(|outcome| (0, outcome)).collect();
            let audit = audit(2, &outcomes);
            let found = order(paid, &[(0, 1), (1, 1)], 2, 4);
            assert_eq!(kinds(&audit, found.clone()), expected, "{outcome:?}, paid: {paid}");
            let mut history = audit.history();
            history.state(found);
            let report = audit.report(&history);
            let unknown = outcome == Some(Outcome::Unknown);
            assert_eq!(report.unknown_paid, u64::from(unknown && paid));
            assert_eq!(report.unknown_unpaid, u64::from(unknown && !paid));
            assert_eq!(report.stock.taken_by_paid_orders, if paid { 2 } else { 0 });
        }
    }

    #[test]
    fn accounts_are_compared_exactly() {
        let audit = audit(2, &[(0, Outcome::Succeeded)]);
        let kinds = |stock: i64, price: i64, credit: i64| {
            let mut history = audit.history();
            history.state(order(true, &[(0, 1), (1, 1)], 2, 4));
            history.state(Final::Item { item: "0".into(), stock: Some(stock), price: Some(price) });
            history.state(Final::User { user: "2".into(), credit: Some(credit) });
            audit.report(&history).anomalies.iter().map(|finding| finding.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(9, 2, 96), []);
        assert_eq!(kinds(10, 2, 96), [AnomalyKind::StockInvented]);
        assert_eq!(kinds(8, 2, 96), [AnomalyKind::StockLost]);
        assert_eq!(kinds(-1, 2, 96), [AnomalyKind::Oversold]);
        assert_eq!(kinds(9, 2, 97), [AnomalyKind::CreditInvented]);
        assert_eq!(kinds(9, 2, 95), [AnomalyKind::CreditLost]);
        assert_eq!(kinds(9, 3, 96), [AnomalyKind::PriceChanged]);
    }
}
