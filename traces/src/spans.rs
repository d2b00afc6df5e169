//! A checkout as spans.
//!
//! ```text
//!  the caller's span, if it has one
//!   └─ checkout                       order    from its beginning to the commit of its decision
//!       ├─ hold units                 stock    for each partition: from the commit of what asks it to that of its answer
//!       │   └─ wait for units         stock    while it was parked
//!       ├─ hold credit                payment  likewise
//!       │   └─ wait for credit        payment
//!       └─ decide                     order    from the commit of the last vote to that of the decision
//! ```
//!
//! Each time is of the clock of the service that says it, to the millisecond. Flushes are not in the events, and so not here.

use std::collections::BTreeMap;

use contract::{Reason, Service, Shortage, SpanId, TraceId, Wait};
use observer::{Happening, Story, What, name_of};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, SpanFlags, Status, span::SpanKind, status::StatusCode},
};

#[cfg(test)]
mod tests;

const NANOSECONDS: u64 = 1_000_000;

/// The lowest of W3C's flags: this trace is recorded.
const SAMPLED: u32 = 1;

/// The parts of a checkout's span, each with room for a partition.
const HOLD_UNITS: u64 = 1 << 16;
const WAIT_FOR_UNITS: u64 = 2 << 16;
const HOLD_CREDIT: u64 = 3 << 16;
const WAIT_FOR_CREDIT: u64 = 4 << 16;
const DECIDE: u64 = 5 << 16;

/// All these checkouts in one request.
pub(crate) fn request_of(stories: &[Story]) -> ExportTraceServiceRequest {
    let mut spans: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    for (service, span) in stories.iter().flat_map(spans_of) {
        spans.entry(service.name()).or_default().push(span);
    }
    let version = env!("CARGO_PKG_VERSION");
    let of_service = |(service, spans): (&str, Vec<Span>)| {
        let scope = InstrumentationScope {
            name: "sagamart".to_owned(),
            version: version.to_owned(),
            ..InstrumentationScope::default()
        };
        let attributes = vec![
            text("service.name", service),
            text("service.namespace", "sagamart"),
            text("service.version", version),
        ];
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    };
    ExportTraceServiceRequest { resource_spans: spans.into_iter().map(of_service).collect() }
}

/// The spans of a checkout, each with who made it.
fn spans_of(story: &Story) -> Vec<(Service, Span)> {
    let checkout = &story.checkout;
    let Some(decision) = story.decision() else { return Vec::new() };
    let (trace, whole) = (checkout.trace(), checkout.id.span());
    let draw = Draw { trace, whole, story, decided: story.at(decision) };
    let mut spans = vec![(Service::Order, draw.checkout(decision))];
    let mut asked = checkout.started_at_ms;
    let mut partitions: Vec<_> = of(story, Service::Stock).map(|happening| happening.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    // A checkout visits them in this order.
    for partition in partitions {
        let here: Vec<_> = of(story, Service::Stock).filter(|happening| happening.partition == partition).collect();
        let parts = Parts {
            service: Service::Stock,
            names: ["hold units", "wait for units"],
            numbers: [HOLD_UNITS, WAIT_FOR_UNITS],
        };
        asked = draw.hold(&mut spans, &parts, &here, asked);
    }
    let here: Vec<_> = of(story, Service::Payment).collect();
    if !here.is_empty() {
        let parts = Parts {
            service: Service::Payment,
            names: ["hold credit", "wait for credit"],
            numbers: [HOLD_CREDIT, WAIT_FOR_CREDIT],
        };
        asked = draw.hold(&mut spans, &parts, &here, asked);
    }
    spans.push((
        Service::Order,
        draw.span(DECIDE, whole, "decide", [asked.min(draw.decided), draw.decided], Vec::new()),
    ));
    spans
}

fn of(story: &Story, service: Service) -> impl Iterator<Item = &Happening> {
    story.happenings.iter().filter(move |happening| happening.what.service() == service)
}

/// What a hold of a service looks like.
struct Parts {
    service: Service,
    names: [&'static str; 2],
    numbers: [u64; 2],
}

/// Draws the spans of one checkout.
struct Draw<'a> {
    trace: TraceId,
    whole: SpanId,
    story: &'a Story,
    decided: u64,
}

impl Draw<'_> {
    fn span(&self, part: u64, parent: SpanId, name: &str, [from, to]: [u64; 2], attributes: Vec<KeyValue>) -> Span {
        Span {
            trace_id: self.trace.to_bytes().to_vec(),
            span_id: self.whole.part(part).to_bytes().to_vec(),
            parent_span_id: parent.to_bytes().to_vec(),
            flags: SAMPLED,
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: from * NANOSECONDS,
            end_time_unix_nano: to.max(from) * NANOSECONDS,
            attributes,
            ..Span::default()
        }
    }

    /// The span of all of it.
    fn checkout(&self, decision: &Happening) -> Span {
        let checkout = &self.story.checkout;
        let reason = match &decision.what {
            What::Cancelled(reason, _) => Some(reason),
            _ => None,
        };
        let attributes = vec![
            text("sagamart.order_id", checkout.order.as_str()),
            text("sagamart.checkout_id", &format!("{:?}", checkout.id)),
            number("sagamart.lines", checkout.lines.len() as u64),
            text("sagamart.outcome", reason.map_or("paid", name_of)),
            flag("sagamart.has_begun", self.story.has_begun()),
        ];
        let (parent_span_id, remote) = match checkout.caller.and_then(|caller| caller.span) {
            Some(span) => (span.to_bytes().to_vec(), SpanFlags::ContextIsRemoteMask as u32),
            None => (Vec::new(), 0),
        };
        // These are failures of the shop; the others are answers.
        let is_failure = matches!(reason, Some(Reason::Timeout | Reason::Busy));
        let status = is_failure
            .then(|| Status { code: StatusCode::Error.into(), message: reason.map_or("", name_of).to_owned() });
        let span = self.span(0, self.whole, "checkout", [checkout.started_at_ms, self.decided], attributes);
        Span {
            span_id: self.whole.to_bytes().to_vec(),
            parent_span_id,
            kind: SpanKind::Server.into(),
            flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32 | remote,
            status,
            ..span
        }
    }

    /// What one partition did, that was asked at some time; returns when it had answered.
    fn hold(&self, spans: &mut Vec<(Service, Span)>, parts: &Parts, here: &[&Happening], asked: u64) -> u64 {
        let [hold, wait] =
            parts.numbers.map(|number| number + here.first().map_or(0, |first| u64::from(first.partition)));
        let is_wait = |what: &What| matches!(what, What::StockParked(..) | What::PaymentParked(_));
        let parked = here.iter().find(|happening| is_wait(&happening.what));
        let answer = here.iter().find(|happening| !is_wait(&happening.what));
        let until = answer.map_or(self.decided, |answer| self.story.at(answer));
        let mut attributes = vec![number("sagamart.partition", here.first().map_or(0, |first| first.partition.into()))];
        attributes
            .extend(answer.map_or_else(|| vec![text("sagamart.answer", "none")], |answer| answered(&answer.what)));
        let asked = asked.min(until);
        let name = |index: usize| parts.names.get(index).copied().unwrap_or_default();
        spans.push((parts.service, self.span(hold, self.whole, name(0), [asked, until], attributes)));
        if let Some(parked) = parked {
            let from = self.story.at(parked);
            let span = self.span(wait, self.whole.part(hold), name(1), [from, until], waited(&parked.what));
            spans.push((parts.service, span));
        }
        until
    }
}

fn answered(what: &What) -> Vec<KeyValue> {
    match what {
        What::StockRefused(reason, shortage) | What::PaymentRefused(reason, shortage) => {
            let mut attributes = vec![text("sagamart.answer", "refused"), text("sagamart.reason", name_of(reason))];
            if let Some(Shortage { wanted, left }) = shortage {
                attributes.extend([number("sagamart.wanted", wanted.get()), number("sagamart.left", left.get())]);
            }
            if let Reason::OutOfStock { item } | Reason::UnknownItem { item } = reason {
                attributes.push(text("sagamart.item_id", item.as_str()));
            }
            attributes
        }
        What::Withdrawn => vec![text("sagamart.answer", "withdrawn")],
        _ => vec![text("sagamart.answer", "held")],
    }
}

fn waited(what: &What) -> Vec<KeyValue> {
    let (What::StockParked(_, wait) | What::PaymentParked(wait)) = what else { return Vec::new() };
    let Wait { wanted, free, ahead } = wait;
    let mut attributes = vec![
        number("sagamart.wanted", wanted.get()),
        number("sagamart.free", free.get()),
        number("sagamart.ahead", *ahead),
    ];
    if let What::StockParked(item, _) = what {
        attributes.push(text("sagamart.item_id", item.as_str()));
    }
    attributes
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, Value::StringValue(value.to_owned()))
}

fn number(name: &str, value: u64) -> KeyValue {
    attribute(name, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn flag(name: &str, value: bool) -> KeyValue {
    attribute(name, Value::BoolValue(value))
}
