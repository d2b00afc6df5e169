//! The referee: a correct shop is found clean, and each broken one is named for what it does.

use referee::AnomalyKind;
use sagamart_bench::{Error, Options};

use crate::{ORDERS, bench, options, shop::Fault, start};

/// Runs against a broken shop and returns the kinds of anomalies, after checking that everything says so.
async fn anomalies(fault: Fault, change: impl FnOnce(Options) -> Options) -> Vec<AnomalyKind> {
    let options = change(options(start(fault).await));
    let (result, output) = bench(&options).await;
    let error = result.expect_err("a broken shop is found out");
    assert_eq!(error.exit_code(), 3, "{error}");
    assert!(matches!(&error, Error::Anomalies { count, .. } if *count > 0));
    assert!(output.contains("audit: FAILED"), "{output}");
    let first = error.anomalies().first().expect("the first anomalies are listed");
    assert!(output.contains(&first.to_string()), "{output}");
    let mut kinds: Vec<_> = error.anomalies().iter().map(|anomaly| anomaly.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert!(kinds.iter().all(|kind| output.contains(kind.name())), "{output}");
    kinds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correct_shop_is_clean_and_every_unit_explained() {
    let options = options(start(Fault::None).await);
    let (result, output) = bench(&options).await;
    let report = result.unwrap();
    assert!(output.contains("audit: clean: 2,000 paid orders"), "{output}");
    let audit = report.audit;
    assert_eq!((audit.orders, audit.users, audit.items), (u64::from(ORDERS), 100, 100));
    assert_eq!(audit.orders_paid, u64::from(ORDERS));
    assert_eq!(audit.stock.taken_by_paid_orders, 2 * i128::from(ORDERS));
    assert_eq!(audit.stock.after, 100 * 1_000_000_000 - 2 * i128::from(ORDERS));
    assert_eq!(audit.credit.after, 100 * 1_000_000_000 - 2 * i128::from(ORDERS));
    assert_eq!((audit.stock.unexplained(), audit.credit.unexplained()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correct_shop_that_refuses_is_clean() {
    // 500 units for 4,000, and credit for some.
    let options = Options { stock: 5, credit: 4, ..options(start(Fault::None).await) };
    let report = bench(&options).await.0.unwrap();
    let refused = &report.checkouts.outcomes.refused;
    assert!(refused["out-of-stock"] > 0 && refused["not-enough-credit"] > 0, "{refused:?}");
    assert_eq!(report.checkouts.outcomes.total(), u64::from(ORDERS));
    assert_eq!(report.audit.orders_paid, report.checkouts.outcomes.succeeded);
    assert!(report.audit.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overselling_is_found() {
    let scarce = |options| Options { stock: 5, ..options };
    assert_eq!(anomalies(Fault::Oversells, scarce).await, [AnomalyKind::Oversold]);
    assert_eq!(anomalies(Fault::OversellsBelowZero, scarce).await, [AnomalyKind::Oversold]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_credit_is_found() {
    assert_eq!(anomalies(Fault::LosesACredit, |options| options).await, [AnomalyKind::CreditLost]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_was_not_charged_is_found() {
    assert_eq!(anomalies(Fault::ForgetsToCharge, |options| options).await, [AnomalyKind::CreditInvented]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_200_without_payment_is_found() {
    assert_eq!(anomalies(Fault::AnswersWithoutPaying, |options| options).await, [AnomalyKind::SucceededButUnpaid]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_kept_by_a_refused_checkout_is_found() {
    let poor = |options| Options { credit: 10, ..options };
    assert_eq!(anomalies(Fault::KeepsStockOfTheRefused, poor).await, [AnomalyKind::StockLost]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_4xx_for_what_is_paid_is_found() {
    assert_eq!(anomalies(Fault::RefusesWhatIsPaid, |options| options).await, [AnomalyKind::RefusedButPaid]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_paid_that_was_never_checked_out_is_found() {
    // At a rate, so that three quarters of the orders are never sent.
    let at_a_rate = |options| Options { rate: Some(1_000), seconds: std::time::Duration::from_millis(500), ..options };
    let kinds = anomalies(Fault::PaysTwice, at_a_rate).await;
    assert!(kinds.contains(&AnomalyKind::UnsentButPaid), "{kinds:?}");
    assert!(kinds.contains(&AnomalyKind::CreditInvented) && kinds.contains(&AnomalyKind::StockInvented), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_order_is_found() {
    let kinds = anomalies(Fault::ForgetsOrders, |options| options).await;
    assert!(kinds.contains(&AnomalyKind::Missing), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_order_is_found() {
    let kinds = anomalies(Fault::ChangesOrders, |options| options).await;
    assert!(kinds.contains(&AnomalyKind::OrderChanged), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_price_is_found() {
    assert_eq!(anomalies(Fault::ChangesPrices, |options| options).await, [AnomalyKind::PriceChanged]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_outcomes_may_be_either_as_the_orders_say() {
    let unknown = u64::from(ORDERS) / 50;
    for (fault, status, paid, unpaid) in
        [(Fault::AnswersLateErrors, "502", unknown, 0), (Fault::AnswersEarlyErrors, "500", 0, unknown)]
    {
        let report = bench(&options(start(fault).await)).await.0.unwrap();
        assert_eq!(report.checkouts.outcomes.unknown, [(status.to_owned(), unknown)].into());
        assert_eq!((report.audit.unknown_paid, report.audit.unknown_unpaid), (paid, unpaid));
        assert!(report.audit.is_clean());
        assert!(report.notes.iter().any(|note| note.contains("unknown")), "{:?}", report.notes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_that_cannot_read_everything_is_an_error_and_not_clean() {
    let (result, output) = bench(&options(start(Fault::GarblesUsers).await)).await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Api { .. }), "{error}");
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("/payment/find_user/"), "{error}");
    assert_eq!(output, "");
}
