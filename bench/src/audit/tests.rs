//! The comparison itself; that whole servers are caught is in `tests/audit.rs`.

use super::*;
use crate::Options;

fn audit(outcomes: &[(u64, Outcome)], lines_per_order: u16) -> Audit {
    let options =
        Options { items: 4, users: 3, stock: 10, credit: 10, price: 2, lines_per_order, ..Options::default() };
    Audit {
        target: Arc::new(crate::client::Target::unresolved()),
        setup: Setup::of(&options),
        orders: Arc::new(OrderIds::Numbered),
        orders_count: 5,
        outcomes: outcomes.to_vec(),
    }
}

fn order(paid: bool, items: &[(&str, i64)], user: &str, total_cost: i64) -> FoundOrder {
    FoundOrder {
        paid,
        items: items.iter().map(|(item, quantity)| ((*item).to_owned(), *quantity)).collect(),
        user_id: user.to_owned(),
        total_cost,
    }
}

fn enter(outcome: Option<Outcome>, found: Option<&FoundOrder>) -> Books {
    let outcomes: Vec<_> = outcome.into_iter().map(|outcome| (1, outcome)).collect();
    let known = Known::new(&audit(&outcomes, 2));
    let mut books = Books::default();
    books.enter(&known, 1, found);
    books
}

fn kinds(books: &Books) -> Vec<AnomalyKind> {
    books.anomalies.iter().map(|(_, anomaly)| anomaly.kind).collect()
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
        let books = enter(outcome, Some(&order(paid, &[("0", 1), ("1", 1)], "2", 4)));
        assert_eq!(kinds(&books), expected, "{outcome:?}, paid: {paid}");
        assert_eq!(books.paid, u64::from(paid));
    }
}

#[test]
fn unknown_outcomes_are_counted_by_what_they_turned_out_to_be() {
    let paid = enter(Some(Outcome::Unknown), Some(&order(true, &[("0", 2)], "2", 4)));
    assert_eq!((paid.unknown_paid, paid.unknown_unpaid), (1, 0));
    let unpaid = enter(Some(Outcome::Unknown), Some(&order(false, &[("0", 2)], "2", 4)));
    assert_eq!((unpaid.unknown_paid, unpaid.unknown_unpaid), (0, 1));
}

#[test]
fn a_missing_order_is_an_anomaly() {
    assert_eq!(kinds(&enter(None, None)), [AnomalyKind::Missing]);
}

#[test]
fn only_paid_orders_explain_anything() {
    let mut books = enter(Some(Outcome::Succeeded), Some(&order(true, &[("0", 1), ("3", 1)], "2", 4)));
    books.merge(enter(Some(Outcome::Succeeded), Some(&order(true, &[("3", 2)], "2", 4))));
    books.merge(enter(Some(Outcome::Refused), Some(&order(false, &[("3", 2)], "2", 4))));
    assert_eq!(books.spent, [(2, 8)].into());
    assert_eq!(books.sold, [(0, 1), (3, 3)].into());
    assert_eq!((books.orders, books.paid), (3, 2));
}

#[test]
fn an_order_that_is_not_as_prepared_is_an_anomaly() {
    for (changed, why) in [
        (order(false, &[("0", 1), ("1", 1)], "3", 4), "no such user"),
        (order(false, &[("0", 1), ("1", 1)], "01", 4), "no such user"),
        (order(false, &[("0", 1), ("4", 1)], "2", 4), "no such item"),
        (order(false, &[("0", 1), ("1", 1)], "2", 5), "wrong total"),
        (order(false, &[("0", 1)], "2", 2), "a line lost"),
        (order(false, &[("0", 1), ("1", 2)], "2", 6), "a unit too many"),
        (order(false, &[("0", 3), ("1", -1)], "2", 4), "a negative quantity"),
    ] {
        assert_eq!(kinds(&enter(None, Some(&changed))), [AnomalyKind::OrderChanged], "{why}");
    }
}

#[test]
fn a_planned_order_has_to_have_exactly_its_user_and_items() {
    let known = Known::new(&audit(&[], 3));
    let plan = audit(&[], 3).setup.plan(1).unwrap();
    let names: Vec<String> = plan.items.iter().map(u32::to_string).collect();
    let mut lines: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let enter = |lines: &[(&str, i64)], user: u32| {
        let mut books = Books::default();
        books.enter(&known, 1, Some(&order(false, lines, &user.to_string(), 6)));
        kinds(&books)
    };
    assert_eq!(enter(&lines, plan.user), []);
    lines.reverse();
    assert_eq!(enter(&lines, plan.user), [], "the order of the lines is the server's affair");
    assert_eq!(enter(&lines, (plan.user + 1) % 3), [AnomalyKind::OrderChanged]);
    let not_planned = (0..4).find(|item| !plan.items.contains(item)).unwrap().to_string();
    lines[0].0 = &not_planned;
    assert_eq!(enter(&lines, plan.user), [AnomalyKind::OrderChanged]);
}

#[test]
fn accounts_are_compared_exactly() {
    use AnomalyKind::{CreditInvented, CreditLost, Oversold, Overspent, StockInvented, StockLost};
    let credit = |spent, found| Anomaly::of_credit(7, 10, spent, found).map(|anomaly| anomaly.kind);
    assert_eq!(credit(4, 6), None);
    assert_eq!(credit(10, 0), None);
    assert_eq!(credit(4, 7), Some(CreditInvented));
    assert_eq!(credit(4, 5), Some(CreditLost));
    assert_eq!(credit(12, 0), Some(Overspent));
    assert_eq!(credit(12, -2), Some(Overspent));
    let stock = |sold, found| Anomaly::of_stock(7, 10, sold, found).map(|anomaly| anomaly.kind);
    assert_eq!(stock(0, 10), None);
    assert_eq!(stock(4, 10), Some(StockInvented));
    assert_eq!(stock(0, 9), Some(StockLost));
    assert_eq!(stock(11, 0), Some(Oversold));
}

#[test]
fn anomalies_say_what_is_wrong_with_what() {
    let anomaly = Anomaly::of_stock(7, 10, 4, 5).unwrap();
    assert_eq!(anomaly.to_string(), "item 7: stock was 10, paid orders took 4, found 5: 1 missing (stock_lost)");
}

#[test]
fn all_anomalies_are_counted_but_only_the_first_listed() {
    let mut report = AuditReport::default();
    assert!(report.is_clean());
    for user in 0..1_000 {
        report.note(Anomaly::missing("user", user));
    }
    assert!(!report.is_clean());
    assert_eq!((report.anomalies_count, report.anomalies.len()), (1_000, ANOMALIES_LISTED_MAX));
    assert_eq!(report.anomalies_by_kind, [("missing".to_owned(), 1_000)].into());
    assert_eq!(report.anomalies[0].subject, "user 0");
}
