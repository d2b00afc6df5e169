//! The judgement of each order: every 200 is still true, every 4xx left nothing, and its lines are those that were added.

use std::collections::BTreeMap;

use super::{
    case::{Case, OrderLog, Source, merged},
    finding::{Finding, safe},
};
use crate::{
    AnomalyKind, Outcome,
    history::{Action, Operation, OrderRead},
};

/// What the API says of orders that a batch initialisation makes: two lines of one unit.
const UNITS_OF_BATCH: i128 = 2;

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) findings: Vec<Finding>,
    pub(super) orders: u64,
    /// Orders whose last state was not there to be compared.
    pub(super) unread: u64,
    pub(super) answers: u64,
    pub(super) finds: u64,
}

/// Judges every order.
pub(super) fn judge(case: &Case<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let nothing = OrderLog::default();
    let named = case.orders.iter().map(|(order, log)| (*order, log));
    // Those that nobody touched are there too, and must still be as they were.
    let untouched = case.history.state.orders.keys().filter(|order| !case.orders.contains_key(order));
    let mut untouched: Vec<u32> = untouched.copied().collect();
    untouched.sort_unstable();
    for (order, log) in named.chain(untouched.into_iter().map(|order| (order, &nothing))) {
        judgement.orders += 1;
        judgement.answers += log.checkouts.len() as u64;
        judgement.finds += log.finds.len() as u64;
        let of_order = OfOrder { case, order, log };
        match case.history.state.orders.get(&order) {
            None => judgement.unread += 1,
            Some(None) => {
                if log.created_for.is_some() || u64::from(order) < case.history.preface.orders {
                    let detail = "the server does not know it any more";
                    judgement.findings.push(of_order.finding(AnomalyKind::Missing, detail, []));
                }
            }
            Some(Some(found)) => {
                judgement.findings.extend(of_order.outcome(found));
                judgement.findings.extend(of_order.contents(found, None));
                judgement.findings.extend(of_order.price(found));
            }
        }
        of_order.order_of_answers(&mut judgement.findings);
        of_order.reads(&mut judgement.findings);
    }
    judgement
}

struct OfOrder<'case, 'history> {
    case: &'case Case<'history>,
    order: u32,
    log: &'case OrderLog,
}

impl OfOrder<'_, '_> {
    fn finding(&self, kind: AnomalyKind, detail: &str, shown: impl IntoIterator<Item = u32>) -> Finding {
        let subject = format!("order {}", safe(self.case.history.orders.name(self.order)));
        Finding::new(self.case, kind, subject, detail.to_owned(), shown.into_iter().map(Source::Operation))
    }

    fn with(&self, indices: &[u32], outcome: Outcome) -> Vec<(u32, &Operation)> {
        let operations = indices.iter().filter_map(|index| Some((*index, self.case.operation(*index)?)));
        operations.filter(|(_, operation)| operation.outcome == outcome).collect()
    }

    /// The answers against whether it is paid at last.
    fn outcome(&self, found: &OrderRead) -> Option<Finding> {
        let checkouts = &self.log.checkouts;
        let succeeded = self.with(checkouts, Outcome::Succeeded);
        if !found.paid {
            let shown = succeeded.first()?;
            let detail = "a checkout was answered 2xx, but it is not paid";
            return Some(self.finding(AnomalyKind::SucceededButUnpaid, detail, [shown.0]));
        }
        if !succeeded.is_empty() || !self.with(checkouts, Outcome::Unknown).is_empty() {
            return None;
        }
        Some(if checkouts.is_empty() {
            self.finding(AnomalyKind::UnsentButPaid, "it is paid, but nobody checked it out", [])
        } else {
            let detail = "every checkout was answered 4xx, but it is paid";
            self.finding(AnomalyKind::RefusedButPaid, detail, checkouts.iter().copied().take(4))
        })
    }

    /// The lines against those that were added; `seen` is the read that showed them, if not the last one of all.
    fn contents(&self, found: &OrderRead, seen: Option<(u32, &Operation)>) -> Option<Finding> {
        let Some(user) = self.log.created_for else { return self.made_by_server(found) };
        let shown = || seen.map(|(index, _)| index);
        if found.user != user {
            return Some(self.finding(
                AnomalyKind::OrderChanged,
                "it is another user's than it was created for",
                shown(),
            ));
        }
        let (start, end) = seen.map_or((u64::MAX, u64::MAX), |(_, operation)| (operation.start, operation.end));
        let (mut least, mut most, mut refused) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for index in &self.log.additions {
            let Some(operation) = self.case.operation(*index) else { continue };
            let Action::AddItem { item, quantity, .. } = operation.action else { continue };
            let add = |to: &mut BTreeMap<u32, i64>| *to.entry(item).or_default() += quantity;
            match operation.outcome {
                Outcome::Refused => add(&mut refused),
                Outcome::Succeeded if operation.end < start => {
                    add(&mut least);
                    add(&mut most);
                }
                _ if operation.start <= end => add(&mut most),
                _ => {}
            }
        }
        let found: BTreeMap<u32, i64> = merged(&found.lines).into_iter().collect();
        let of = |sums: &BTreeMap<u32, i64>, item: &u32| sums.get(item).copied().unwrap_or(0);
        let additions = |item: u32| {
            let of_item = move |index: &u32| {
                let operation = self.case.operation(*index);
                matches!(operation.map(|found| &found.action), Some(Action::AddItem { item: added, .. }) if *added == item)
            };
            self.log.additions.iter().copied().filter(of_item).take(4).chain(shown()).collect::<Vec<_>>()
        };
        let item_name = |item: &u32| safe(self.case.history.items.name(*item));
        for (item, quantity) in &found {
            if *quantity > of(&most, item) {
                let (kind, why) = if *quantity <= of(&most, item) + of(&refused, item) {
                    (AnomalyKind::RefusedButKept, "an addition that was answered 4xx")
                } else {
                    (AnomalyKind::OrderChanged, "what nobody added")
                };
                let detail = format!("it has {quantity} of item {}, with {why}", item_name(item));
                return Some(self.finding(kind, &detail, additions(*item)));
            }
        }
        let (item, quantity) = least.iter().find(|(item, quantity)| of(&found, item) < **quantity)?;
        let kind = if seen.is_some() { AnomalyKind::StaleRead } else { AnomalyKind::LostUpdate };
        let (has, item_name) = (of(&found, item), item_name(item));
        let detail = format!("{quantity} of item {item_name} were added and answered 2xx, but it has {has}");
        Some(self.finding(kind, &detail, additions(*item)))
    }

    /// An order of the shop's own batch initialisation has [`UNITS_OF_BATCH`] of any items, and any user.
    fn made_by_server(&self, found: &OrderRead) -> Option<Finding> {
        let preface = &self.case.history.preface;
        if u64::from(self.order) >= preface.orders || !self.log.additions.is_empty() {
            return None;
        }
        let changed = |detail: String| Some(self.finding(AnomalyKind::OrderChanged, &detail, []));
        if found.user >= preface.users {
            return changed(format!("its user {:?} does not exist", safe(self.case.history.users.name(found.user))));
        }
        if let Some((item, _)) = found.lines.iter().find(|(item, _)| *item >= preface.items) {
            return changed(format!("its item {:?} does not exist", safe(self.case.history.items.name(*item))));
        }
        if let Some((_, quantity)) = found.lines.iter().find(|(_, quantity)| *quantity < 1) {
            return changed(format!("it has a line of {quantity}"));
        }
        let units: i128 = found.lines.iter().map(|(_, quantity)| i128::from(*quantity)).sum();
        if units == UNITS_OF_BATCH { None } else { changed(format!("it has {units} units, not {UNITS_OF_BATCH}")) }
    }

    /// All items cost the same, so what an order costs follows from its lines.
    fn price(&self, found: &OrderRead) -> Option<Finding> {
        let units: i128 = found.lines.iter().map(|(_, quantity)| i128::from(*quantity)).sum();
        let expected = units * i128::from(self.case.history.preface.price);
        let of_run = self.log.created_for.is_some() || u64::from(self.order) < self.case.history.preface.orders;
        (of_run && i128::from(found.total_cost) != expected).then(|| {
            let detail = format!("its total cost is {}, but its lines come to {expected}", found.total_cost);
            self.finding(AnomalyKind::OrderChanged, &detail, [])
        })
    }

    /// Once it is paid it stays as it is: a checkout is a 200, and a line is refused.
    fn order_of_answers(&self, findings: &mut Vec<Finding>) {
        let succeeded = self.with(&self.log.checkouts, Outcome::Succeeded);
        let Some((paid, paid_at)) =
            succeeded.iter().map(|(index, found)| (*index, found.end)).min_by_key(|(_, end)| *end)
        else {
            return;
        };
        let later = |found: &[(u32, &Operation)]| {
            found.iter().find(|(_, operation)| operation.start > paid_at).map(|(index, _)| *index)
        };
        if let Some(index) = later(&self.with(&self.log.checkouts, Outcome::Refused)) {
            let detail = "a checkout was refused although one had been answered 2xx before";
            findings.push(self.finding(AnomalyKind::RefusedAfterPaid, detail, [paid, index]));
        }
        if let Some(index) = later(&self.with(&self.log.additions, Outcome::Succeeded)) {
            let detail = "a line was added although a checkout had been answered 2xx before";
            findings.push(self.finding(AnomalyKind::ChangedAfterPaid, detail, [paid, index]));
        }
    }

    /// Every read against the answers before it and against the reads before it.
    fn reads(&self, findings: &mut Vec<Finding>) {
        let mut reads = self.with(&self.log.finds, Outcome::Succeeded);
        reads.sort_unstable_by_key(|(_, operation)| operation.start);
        let read = |operation: &Operation| match &operation.action {
            Action::FindOrder { read: Some(read), .. } => Some((**read).clone()),
            _ => None,
        };
        let succeeded = self.with(&self.log.checkouts, Outcome::Succeeded);
        let paid_reads = reads.iter().filter(|(_, found)| read(found).is_some_and(|read| read.paid));
        let since = succeeded.iter().chain(paid_reads).min_by_key(|(_, operation)| operation.end);
        let sent = self.log.checkouts.iter().filter_map(|index| self.case.operation(*index));
        let sent_from = sent.filter(|found| found.outcome != Outcome::Refused).map(|found| found.start).min();
        for (index, operation) in &reads {
            let Some(read) = read(operation) else { continue };
            if let Some((before, _)) = since.filter(|(_, before)| !read.paid && before.end < operation.start) {
                let detail = "it was read as not paid although it had been paid before";
                findings.push(self.finding(AnomalyKind::StaleRead, detail, [*before, *index]));
                break;
            }
            if read.paid && sent_from.is_none_or(|start| start > operation.end) {
                let detail = "it was read as paid although no checkout was under way that could have paid it";
                findings.push(self.finding(AnomalyKind::DirtyRead, detail, [*index]));
                break;
            }
            if let Some(finding) = self.contents(&read, Some((*index, operation))) {
                findings.push(finding);
                break;
            }
        }
    }
}
