use contract::{Amount, CallerSpan, Checkout, CheckoutData, CheckoutId, Event, Id, ItemId, OrderId, Station, UserId};
use observer::Noted;

use super::*;

const START: u64 = 1_700_000_000_000;

fn checkout() -> Checkout {
    let caller = CallerSpan { trace: TraceId::new(7).expect("not zero"), span: SpanId::new(9) };
    let data = CheckoutData {
        id: CheckoutId::from_random(u128::MAX / 3),
        order: OrderId(Id::from_number(1)),
        user: UserId(Id::from_number(1)),
        amount: Amount::default(),
        lines: Vec::new(),
        started_at_ms: START,
        timeout_ms: 5000,
        request: None,
        caller: Some(caller),
    };
    data.into()
}

/// The story of these events, each with when it was committed and where.
fn story(events: &[(u64, u16, Event)]) -> Story {
    let noted = events.iter().flat_map(|(after, partition, event)| Noted::of(event, START + after, *partition));
    let happenings = noted.filter_map(|noted| match noted {
        Noted::Checkout(_, happening) => Some(happening),
        _ => None,
    });
    Story { checkout: checkout(), happenings: happenings.collect() }
}

/// Service, name, name of the parent, and from when to when; the parent of the first is the caller's.
fn drawn(story: &Story) -> Vec<(&'static str, String, String, u64, u64)> {
    let spans = spans_of(story);
    let name_of =
        |id: &[u8]| spans.iter().find(|(_, span)| span.span_id == id).map_or("caller", |(_, span)| &span.name);
    let ms = |nanoseconds: u64| nanoseconds / NANOSECONDS - START;
    let of = |(service, span): &(Service, Span)| {
        let (from, to) = (ms(span.start_time_unix_nano), ms(span.end_time_unix_nano));
        (service.name(), span.name.clone(), name_of(&span.parent_span_id).to_owned(), from, to)
    };
    spans.iter().map(of).collect()
}

fn at(service: &'static str, name: &str, parent: &str, from: u64, to: u64) -> (&'static str, String, String, u64, u64) {
    (service, name.to_owned(), parent.to_owned(), from, to)
}

#[test]
fn each_hold_wait_and_decision_is_a_span() {
    let station = |partition, is_last| Station { partition, is_last };
    let wait = Wait::new(2, 1, 3);
    // As they may be heard: an effect before its cause.
    let story = story(&[
        (9, 0, Event::CheckoutCompleted(checkout())),
        (0, 0, Event::CheckoutStarted(checkout())),
        (3, 1, Event::StockParked(checkout(), station(1, true), ItemId(Id::from_number(5)), wait)),
        (6, 1, Event::StockReserved(checkout(), station(1, true))),
        (2, 0, Event::StockReserved(checkout(), station(0, false))),
        (8, 0, Event::PaymentAuthorized(checkout())),
    ]);
    let expected = [
        at("order", "checkout", "caller", 0, 9),
        at("stock", "hold units", "checkout", 0, 2),
        at("stock", "hold units", "checkout", 2, 6),
        at("stock", "wait for units", "hold units", 3, 6),
        at("payment", "hold credit", "checkout", 6, 8),
        at("order", "decide", "checkout", 8, 9),
    ];
    assert_eq!(drawn(&story), expected);
    let spans = spans_of(&story);
    let mut ids: Vec<_> = spans.iter().map(|(_, span)| span.span_id.clone()).collect();
    assert!(spans.iter().all(|(_, span)| span.trace_id == checkout().trace().to_bytes()));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len());
    let first = &spans.first().expect("there are spans").1;
    assert_eq!((&first.parent_span_id[..], first.flags), (&9_u64.to_be_bytes()[..], 0x301));
    assert_eq!(first.status, None);
}

#[test]
fn one_that_waits_until_its_deadline_has_a_wait_until_then_and_failed() {
    let wait = Wait::new(2, 1, 0);
    let story = story(&[
        (0, 0, Event::CheckoutStarted(checkout())),
        (1, 0, Event::StockReserved(checkout(), Station { partition: 0, is_last: true })),
        (2, 0, Event::PaymentParked(checkout(), wait)),
        (5000, 0, Event::CheckoutCancelled(checkout(), Reason::Timeout, None)),
    ]);
    let expected = [
        at("order", "checkout", "caller", 0, 5000),
        at("stock", "hold units", "checkout", 0, 1),
        at("payment", "hold credit", "checkout", 1, 5000),
        at("payment", "wait for credit", "hold credit", 2, 5000),
        at("order", "decide", "checkout", 5000, 5000),
    ];
    assert_eq!(drawn(&story), expected);
    let spans = spans_of(&story);
    let status = spans.first().and_then(|(_, span)| span.status.clone()).expect("it failed");
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "timeout"));
}

#[test]
fn spans_go_out_under_the_service_that_made_them() {
    let story = story(&[
        (0, 0, Event::CheckoutStarted(checkout())),
        (1, 0, Event::StockRefused(checkout(), Station { partition: 0, is_last: true }, Reason::Busy, None)),
        (1, 0, Event::CheckoutCancelled(checkout(), Reason::Busy, None)),
    ]);
    let request = request_of(&[story.clone(), story]);
    let counts: Vec<_> = request
        .resource_spans
        .iter()
        .map(|of| of.scope_spans.iter().map(|scope| scope.spans.len()).sum::<usize>())
        .collect();
    assert_eq!(counts, [4, 2]);
}
