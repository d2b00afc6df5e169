//! Whether there is one order of all checkouts, changes and reads that explains what was read and keeps to the order of
//! time: strict serializability across accounts, as far as what was read decides it.
//!
//! Linearizability of each account says nothing about a checkout that shows in stock before and in credit after
//! somebody else's read. Here each checkout is *one* node, whatever it touches:
//!
//! ```text
//!  an account was read as v ⇒ the changes that ran meanwhile and add up to v: some were certainly in, others certainly not
//!  in: change ─▶ read          not in: read ─▶ change          ended before another began: ─▶
//!  a cycle: no order explains what was read
//! ```
//!
//! Whether a change was certainly in or out is decided exactly, by the sums that the others can make. What was narrowed
//! by one read helps with the next, until nothing changes. So every cycle is an anomaly, whatever the server does inside;
//! but a history without a cycle may still be unserializable in ways that these reads leave open.

mod cycle;
mod forced;

use std::collections::HashMap;

use super::{
    case::{Case, OPEN, Source},
    finding::Finding,
};
use crate::{AnomalyKind, Outcome, history::Action};

/// Rounds of narrowing; few are ever needed, and more would only find more.
const ROUNDS_MAX: usize = 8;
/// Cycles that are named.
const NAMED_MAX: usize = 20;

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) findings: Vec<Finding>,
    /// Reads that were compared with the sums.
    pub(super) decided: u64,
    /// Reads with too many possibilities.
    pub(super) undecided: u64,
}

/// One operation or sale with the time in which it takes effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) source: Source,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Everything that has a place in the order.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub(super) nodes: Vec<Node>,
    numbers: HashMap<Source, u32>,
}

impl Nodes {
    fn count(&self) -> u32 {
        u32::try_from(self.nodes.len()).expect("no more nodes than operations and sales")
    }

    fn add(&mut self, source: Source, start: u64, end: u64) -> u32 {
        if let Some(number) = self.numbers.get(&source) {
            return *number;
        }
        let number = self.count();
        self.numbers.insert(source, number);
        self.nodes.push(Node { source, start, end });
        number
    }

    pub(super) fn get(&self, number: u32) -> Option<&Node> {
        self.nodes.get(number as usize)
    }
}

/// Searches for cycles.
pub(super) fn judge(case: &Case<'_>) -> Judgement {
    let mut nodes = Nodes::default();
    for (number, sale) in (0..).zip(&case.sales) {
        nodes.add(Source::Sale(number), sale.start, sale.end);
    }
    let ledgers: Vec<forced::Account> =
        case.ledgers.values().map(|ledger| forced::Account::of(ledger, &mut nodes)).collect();
    // By node: the time in which it takes effect, as narrowed so far.
    let mut spans: Vec<(u64, u64)> = nodes.nodes.iter().map(|node| (node.start, node.end)).collect();
    let mut recorded = spans.clone();
    let mut edges = of_orders(case, &mut nodes, &mut recorded);
    let mut judgement = Judgement::default();
    // The first round is about the spans as they were recorded. In a later one a read that contradicts another may find
    // nothing that explains it any more, and says nothing; by then the edges are there that say it.
    for _ in 0..ROUNDS_MAX {
        let before = spans.clone();
        (judgement.decided, judgement.undecided) = (0, 0);
        let mut found = Vec::new();
        for ledger in &ledgers {
            let read = ledger.read(&before, &mut spans, &mut found);
            judgement.decided += read.decided;
            judgement.undecided += read.undecided;
        }
        edges.extend(found);
        for (span, of_orders) in spans.iter_mut().zip(&recorded) {
            *span = (span.0.max(of_orders.0), span.1.min(of_orders.1));
        }
        if spans == before {
            break;
        }
    }
    edges.sort_unstable();
    edges.dedup();
    for cycle in cycle::cycles(&nodes, &edges, NAMED_MAX) {
        let sources: Vec<Source> = cycle.iter().filter_map(|node| nodes.get(*node)).map(|node| node.source).collect();
        // What shows in one place alone is that place's affair, and named there.
        if places(case, &sources) > 1 {
            judgement.findings.push(finding(case, sources));
        }
    }
    judgement
}

/// What reads of orders, and lines that were added, say of sales.
fn of_orders(case: &Case<'_>, nodes: &mut Nodes, spans: &mut Vec<(u64, u64)>) -> Vec<(u32, u32)> {
    let mut edges = Vec::new();
    for (order, sale) in &case.sale_of_order {
        let Some(log) = case.orders.get(order) else { continue };
        for index in log.finds.iter().chain(&log.additions) {
            let Some(operation) = case.operation(*index).filter(|found| found.outcome == Outcome::Succeeded) else {
                continue;
            };
            let after = match &operation.action {
                Action::FindOrder { read: Some(read), .. } => read.paid,
                Action::AddItem { .. } => false,
                _ => continue,
            };
            let node = nodes.add(Source::Operation(*index), operation.start, operation.end);
            if spans.len() < nodes.nodes.len() {
                spans.push((operation.start, operation.end));
            }
            edges.push(if after { (*sale, node) } else { (node, *sale) });
            narrow(spans, *sale, operation.start, operation.end, after);
        }
    }
    edges
}

/// A change that was in is in effect before the read ends; one that was not takes effect after it has begun.
fn narrow(spans: &mut [(u64, u64)], node: u32, start: u64, end: u64, before: bool) {
    if let Some(span) = spans.get_mut(node as usize) {
        if before {
            span.1 = span.1.min(end);
        } else {
            span.0 = span.0.max(start);
        }
    }
}

/// How many accounts and orders the operations besides the sales are about.
fn places(case: &Case<'_>, sources: &[Source]) -> usize {
    let place = |source: &Source| match source {
        Source::Operation(index) => case.operation(*index).map(|operation| match &operation.action {
            Action::Change(account, _) | Action::Find(account, _) => (Some(*account), None),
            Action::AddItem { order, .. } | Action::Checkout { order, .. } | Action::FindOrder { order, .. } => {
                (None, Some(*order))
            }
            Action::Create { order, .. } => (None, *order),
        }),
        Source::Sale(_) => None,
    };
    sources.iter().filter_map(place).collect::<std::collections::HashSet<_>>().len()
}

fn finding(case: &Case<'_>, sources: Vec<Source>) -> Finding {
    let sales = sources.iter().filter(|source| matches!(source, Source::Sale(_))).count();
    let kind = if sales == 1 { AnomalyKind::TornCheckout } else { AnomalyKind::NotSerializable };
    let subject = sources.iter().find_map(|source| match source {
        Source::Sale(sale) => {
            case.sales.get(*sale as usize).map(|sale| format!("order {}", case.history.orders.name(sale.order)))
        }
        Source::Operation(_) => None,
    });
    let detail = match kind {
        AnomalyKind::TornCheckout => "its checkout shows in one place and later does not in another",
        _ => "each of these has to come before the next, and the last before the first",
    };
    Finding::new(case, kind, subject.unwrap_or_else(|| "reads".to_owned()), detail.to_owned(), sources)
}

/// Whether a span is one of something that may never happen.
pub(super) fn is_open(end: u64) -> bool {
    end == OPEN
}

#[cfg(test)]
mod tests;
