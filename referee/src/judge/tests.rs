//! Small histories, each wrong in one way and named for it, beside one that differs in little and is right.

use super::*;
use crate::{
    AnomalyKind::{self, *},
    Outcome::{Refused, Succeeded, Unknown},
    history::{Entry, Final, Kind, build::*},
};

/// The kinds that are found, without repetition.
fn kinds(build: Build) -> Vec<AnomalyKind> {
    let verdict = judge(&build.history);
    let mut kinds: Vec<_> = verdict.findings.iter().map(|finding| finding.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(verdict.is_clean(), kinds.is_empty());
    assert_eq!(verdict.undecided(), 0, "{verdict:?}");
    kinds
}

const NO_ORDERS: &[(&str, bool, &[&str])] = &[];

#[test]
fn a_history_without_operations_is_clean_if_nothing_changed() {
    assert_eq!(kinds(Build::new().ends([10, 10], 10, NO_ORDERS)), []);
    assert_eq!(kinds(Build::new().ends([11, 10], 10, NO_ORDERS)), [StockInvented]);
    assert_eq!(kinds(Build::new().ends([10, 10], 9, NO_ORDERS)), [CreditLost]);
}

#[test]
fn one_of_two_additions_is_lost() {
    let additions = || Build::new().add("0", 3, (10, 30)).add("0", 4, (20, 40));
    assert_eq!(kinds(additions().find("0", 17, (50, 60)).ends([17, 10], 10, NO_ORDERS)), []);
    let lost = additions().find("0", 13, (50, 60)).find("0", 13, (70, 80)).ends([13, 10], 10, NO_ORDERS);
    let verdict = judge(&lost.history);
    assert_eq!(kinds(lost), [StockLost, LostUpdate]);
    let finding = verdict.findings.iter().find(|finding| finding.kind == LostUpdate).unwrap();
    assert!(finding.operations.iter().any(|shown| shown.text.starts_with("add 4 to item 0")), "{finding:?}");
}

#[test]
fn the_sum_of_a_finding_can_be_done_again_from_what_it_shows() {
    let build = Build::new().add("0", 3, (10, 20)).find("0", 13, (22, 24)).add("0", 4, (30, 40)).take("0", 1, (35, 45));
    let lost = build.find("0", 12, (50, 60)).find("0", 12, (70, 80)).ends([12, 10], 10, NO_ORDERS);
    let verdict = judge(&lost.history);
    let finding = verdict.findings.iter().find(|finding| finding.kind == LostUpdate).unwrap();
    assert!(finding.detail.contains("12 from here on instead of 16"), "{}", finding.detail);
    assert!(finding.detail.ends_with("it was 13 before the changes below"), "{}", finding.detail);
    let shown: Vec<&str> = finding.operations.iter().map(|shown| shown.text.as_str()).collect();
    assert!(shown[0].starts_with("add 4 to item 0") && shown[1].starts_with("take 1 from item 0"), "{shown:?}");
    assert_eq!(shown.last(), Some(&"read item 0 as 12: succeeded"));
}

#[test]
fn the_worst_comes_first_and_every_kind_has_its_turn() {
    let additions = Build::new().add("0", 3, (10, 30)).add("0", 4, (20, 40));
    let build = additions.find("0", 13, (50, 60)).find("0", 13, (70, 80)).ends([13, 10], 9, NO_ORDERS);
    let verdict = judge(&build.history);
    let kinds: Vec<AnomalyKind> = verdict.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [CreditLost, StockLost, LostUpdate]);
    let table = Table(&verdict).to_string();
    let place = |kind: AnomalyKind| table.find(&format!("  {}: ", kind.name())).unwrap();
    assert!(place(CreditLost) < place(StockLost) && place(StockLost) < place(LostUpdate), "{table}");
    assert!(table.contains(CreditLost.usual_cause()), "{table}");
}

#[test]
fn another_state_is_suspected_when_hardly_anything_fits() {
    let history = |fits: u64| {
        let mut build = Build::new().ends([10, 10], 10, NO_ORDERS);
        for item in 2..40 {
            let stock = if item < fits { 10 } else { 0 };
            build.history.preface.items = 40;
            build.history.state(Final::Item { item: item.to_string().into(), stock: Some(stock), price: Some(1) });
        }
        judge(&build.history).notes
    };
    assert!(history(4).iter().any(|note| note.contains("another state")), "{:?}", history(4));
    assert!(!history(36).iter().any(|note| note.contains("another state")));
}

#[test]
fn a_read_misses_what_ended_before_it_began() {
    let taken = || Build::new().take("0", 2, (10, 20));
    let ends = |build: Build| build.find("0", 8, (70, 80)).find("0", 8, (90, 95)).ends([8, 10], 10, NO_ORDERS);
    assert_eq!(kinds(ends(taken().find("0", 8, (30, 40)))), []);
    // While it runs, either may be read, but not the old value after the new one.
    assert_eq!(kinds(ends(taken().find("0", 10, (12, 13)).find("0", 8, (14, 15)))), []);
    assert_eq!(kinds(ends(taken().find("0", 8, (12, 13)).find("0", 10, (14, 15)))), [StaleRead]);
    assert_eq!(kinds(ends(taken().find("0", 10, (30, 40)))), [StaleRead]);
}

#[test]
fn a_read_shows_what_was_refused() {
    let refused = |value, time| {
        let build = Build::new().take_ended(11, (10, 50), Refused, "busy");
        build.find("0", value, time).find("0", 10, (70, 80)).ends([10, 10], 10, NO_ORDERS)
    };
    assert_eq!(kinds(refused(10, (20, 30))), []);
    assert_eq!(kinds(refused(-1, (20, 30))), [DirtyRead]);
}

#[test]
fn a_read_shows_what_never_was() {
    let found = |value| {
        Build::new().add("0", 5, (10, 20)).find("0", value, (12, 15)).find("0", 15, (30, 40)).ends(
            [15, 10],
            10,
            NO_ORDERS,
        )
    };
    assert_eq!((kinds(found(10)), kinds(found(15))), (vec![], vec![]));
    assert_eq!(kinds(found(12)), [PhantomRead]);
}

#[test]
fn an_addition_shows_twice() {
    let found = |value| {
        Build::new().add("0", 5, (10, 20)).find("0", value, (30, 40)).find("0", value, (50, 60)).ends(
            [value, 10],
            10,
            NO_ORDERS,
        )
    };
    assert_eq!(kinds(found(15)), []);
    assert_eq!(kinds(found(20)), [StockInvented, AppliedTwice]);
    assert_eq!(kinds(found(17)), [StockInvented, UnexplainedValue]);
}

#[test]
fn more_is_taken_than_there_is() {
    let taken =
        |amount, left| Build::new().take("0", amount, (10, 30)).take("0", 6, (20, 40)).ends([left, 10], 10, NO_ORDERS);
    assert_eq!(kinds(taken(4, 0)), []);
    assert_eq!(kinds(taken(5, 0)), [Oversold]);
    assert_eq!(kinds(taken(5, -1)), [Oversold]);
    // What was added only later cannot have been taken before.
    let late = |time| Build::new().take("0", 12, (10, 30)).add("0", 3, time).ends([1, 10], 10, NO_ORDERS);
    assert_eq!(kinds(late((20, 40))), []);
    assert_eq!(kinds(late((31, 40))), [Oversold]);
}

#[test]
fn a_refusal_must_be_true() {
    let refused =
        |amount, reason: &str| Build::new().take_ended(amount, (10, 20), Refused, reason).ends([10, 10], 10, NO_ORDERS);
    assert_eq!(kinds(refused(11, "out-of-stock")), []);
    assert_eq!(kinds(refused(10, "out-of-stock")), [RefusedWrongly]);
    // Other reasons claim nothing.
    assert_eq!(kinds(refused(10, "busy")), []);
    // It was true for a moment.
    let moment =
        Build::new().take("0", 9, (12, 14)).add("0", 9, (15, 16)).take_ended(5, (10, 20), Refused, "out-of-stock");
    assert_eq!(kinds(moment.ends([10, 10], 10, NO_ORDERS)), []);
}

#[test]
fn an_unknown_change_may_be_there_or_not_but_not_both() {
    let unknown = || Build::new().take_ended(3, (10, 20), Unknown, "cut-off");
    assert_eq!(kinds(unknown().ends([7, 10], 10, NO_ORDERS)), []);
    assert_eq!(kinds(unknown().ends([10, 10], 10, NO_ORDERS)), []);
    assert_eq!(kinds(unknown().ends([9, 10], 10, NO_ORDERS)), [StockLost]);
    // It may still take effect later, but it does not come back.
    assert_eq!(kinds(unknown().find("0", 10, (50, 60)).ends([7, 10], 10, NO_ORDERS)), []);
    let back = unknown().find("0", 7, (50, 60)).find("0", 10, (70, 80));
    assert_ne!(kinds(back.ends([10, 10], 10, NO_ORDERS)), []);
}

#[test]
fn a_200_is_not_true() {
    let sold = |paid, stock, credit| {
        Build::new().order("a", &["0"]).checkout("a", (10, 20)).ends([stock, 10], credit, &[("a", paid, &["0"])])
    };
    assert_eq!(kinds(sold(true, 9, 9)), []);
    assert_eq!(kinds(sold(false, 10, 10)), [SucceededButUnpaid]);
    assert_eq!(kinds(sold(true, 10, 9)), [StockInvented]);
    assert_eq!(kinds(sold(true, 9, 10)), [CreditInvented]);
}

#[test]
fn a_4xx_left_something() {
    let refused = |paid, stock, credit| {
        let build = Build::new().order("a", &["0"]).checkout_ended("a", (10, 20), Refused, "timeout");
        build.ends([stock, 10], credit, &[("a", paid, &["0"])])
    };
    assert_eq!(kinds(refused(false, 10, 10)), []);
    assert_eq!(kinds(refused(false, 9, 10)), [StockLost]);
    assert_eq!(kinds(refused(true, 9, 9)), [RefusedButPaid]);
}

#[test]
fn an_unknown_checkout_is_what_the_order_says_in_all_places() {
    let unknown = |paid, stock, credit| {
        let build = Build::new().order("a", &["0"]).checkout_ended("a", (10, 20), Unknown, "504");
        build.ends([stock, 10], credit, &[("a", paid, &["0"])])
    };
    assert_eq!((kinds(unknown(true, 9, 9)), kinds(unknown(false, 10, 10))), (vec![], vec![]));
    assert_eq!(kinds(unknown(true, 10, 9)), [StockInvented]);
    assert_eq!(kinds(unknown(false, 10, 9)), [CreditLost]);
}

#[test]
fn an_order_is_paid_that_nobody_checked_out() {
    let paid = |paid| {
        let sold = i64::from(paid);
        Build::new().order("a", &["0"]).ends([10 - sold, 10], 10 - sold, &[("a", paid, &["0"])])
    };
    assert_eq!(kinds(paid(false)), []);
    assert_eq!(kinds(paid(true)), [UnsentButPaid]);
}

#[test]
fn a_checkout_is_a_refusal_first_and_a_success_then() {
    let build =
        Build::new().order("a", &["0"]).checkout_ended("a", (10, 20), Refused, "timeout").checkout("a", (30, 40));
    assert_eq!(kinds(build.checkout("a", (50, 60)).ends([9, 10], 9, &[("a", true, &["0"])])), []);
    let build =
        Build::new().order("a", &["0"]).checkout("a", (10, 20)).checkout_ended("a", (30, 40), Refused, "order-paid");
    assert_eq!(kinds(build.ends([9, 10], 9, &[("a", true, &["0"])])), [RefusedAfterPaid]);
}

#[test]
fn lines_are_those_that_were_added() {
    let found = |items: &[&str]| Build::new().order("a", &["0", "1"]).ends([10, 10], 10, &[("a", false, items)]);
    assert_eq!(kinds(found(&["1", "0"])), []);
    assert_eq!(kinds(found(&["0"])), [LostUpdate]);
    assert_eq!(kinds(found(&["0", "1", "2"])), [OrderChanged]);
    let refused = |items: &[&str]| {
        let addition =
            Entry { order: Some("a".into()), item: Some("2".into()), amount: Some(1), ..entry(Kind::AddItem, 5, 6) };
        let addition = Entry { outcome: Refused, reason: Some("order-in-checkout".into()), ..addition };
        Build::new().order("a", &["0"]).with(addition).ends([10, 10], 10, &[("a", false, items)])
    };
    assert_eq!(kinds(refused(&["0"])), []);
    assert_eq!(kinds(refused(&["0", "2"])), [RefusedButKept]);
}

#[test]
fn a_line_is_added_to_a_paid_order() {
    let added = |time: (u64, u64)| {
        let addition = entry(Kind::AddItem, time.0, time.1);
        let addition = Entry { order: Some("a".into()), item: Some("1".into()), amount: Some(1), ..addition };
        let build = Build::new().order("a", &["0"]).checkout("a", (10, 20)).with(addition);
        build.ends([9, 9], 8, &[("a", true, &["0", "1"])])
    };
    assert_eq!(kinds(added((5, 6))), []);
    assert_eq!(kinds(added((30, 40))), [ChangedAfterPaid]);
}

#[test]
fn an_order_is_read_as_it_is() {
    let read = |paid, items: &[&str], time| {
        let build = Build::new().order("a", &["0"]).checkout("a", (20, 30)).find_order("a", paid, items, time);
        build.ends([9, 10], 9, &[("a", true, &["0"])])
    };
    assert_eq!(kinds(read(false, &["0"], (10, 15))), []);
    assert_eq!(kinds(read(true, &["0"], (25, 26))), []);
    assert_eq!(kinds(read(true, &["0"], (10, 15))), [DirtyRead]);
    assert_eq!(kinds(read(false, &["0"], (40, 50))), [StaleRead]);
    assert_eq!(kinds(read(false, &[], (10, 15))), [StaleRead]);
    assert_eq!(kinds(read(false, &["0", "1"], (10, 15))), [OrderChanged]);
}

#[test]
fn what_is_gone_is_missing() {
    let mut build = Build::new().order("a", &["0"]).ends([10, 10], 10, NO_ORDERS);
    build.history.state(Final::Order { order: "a".into(), found: None });
    assert_eq!(kinds(build), [Missing]);
    let mut build = Build::new().ends([10, 10], 10, NO_ORDERS);
    build.history.state(Final::User { user: "1".into(), credit: None });
    assert_eq!(kinds(build), [Missing]);
}

#[test]
fn a_checkout_shows_in_stock_and_later_not_in_credit() {
    let read = |credit| {
        let build = Build::new().order("a", &["0"]).checkout("a", (10, 100));
        // Both while the checkout runs, one after the other.
        let build = build.find("0", 9, (20, 30)).find_user("0", credit, (40, 50));
        build.ends([9, 10], 9, &[("a", true, &["0"])])
    };
    assert_eq!(kinds(read(9)), []);
    assert_eq!(kinds(read(10)), [TornCheckout]);
}

#[test]
fn two_checkouts_come_in_one_order_here_and_in_another_there() {
    let read = |first: i64, second: i64| {
        let build = Build::new().order("a", &["0", "1"]).order("b", &["0", "1", "1"]);
        let build = build.checkout("a", (10, 100)).checkout("b", (10, 100));
        // All at the same time, so that only what was read decides. Item 0 loses one by either, item 1 one or two.
        let build = build.find("1", first, (20, 90)).find_user("0", second, (20, 90));
        build.ends([8, 7], 5, &[("a", true, &["0", "1"]), ("b", true, &["0", "1", "1"])])
    };
    // Order a costs 2 and takes one of item 1; order b costs 3 and takes two.
    assert_eq!(kinds(read(9, 8)), []);
    assert_eq!(kinds(read(8, 7)), []);
    assert_eq!(kinds(read(9, 7)), [NotSerializable]);
    assert_eq!(kinds(read(8, 8)), [NotSerializable]);
}

#[test]
fn what_could_not_be_read_is_said_not_to_be_decided() {
    let build = Build::new().order("a", &["0"]).checkout_ended("a", (10, 20), Succeeded, "");
    let verdict = judge(&build.history);
    assert!(verdict.is_clean());
    assert!(verdict.undecided() > 0 && matches!(verdict.result(), Err(crate::Error::Undecided(_))));
}
