//! The plans that are searched. Letters are families: A one item, B two partitions, C finds, D commands that take, E full
//! queues, F to J lost tails, K other writers, M late copies, P patience, R bulk commands; what follows a dash is a mutant of the plan before it.

use crate::{Mutant, Operation, Order, Partitions, Plan, Service, Shop};

/// How long a search takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Seconds: part of every run.
    Short,
    /// Minutes.
    Deep,
}

/// A plan to search.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub what: String,
    /// When it is searched.
    pub effort: Effort,
    /// The plan.
    pub plan: Plan,
}

use Effort::{Deep, Short};
use Operation::{Checkout, FindItem, FindOrder, FindUser, Subtract};
use Service::{Order as OrderService, Payment, Stock};

/// All plans, each followed by its mutants.
#[must_use]
pub fn configurations() -> Vec<Configuration> {
    let mut list = List(Vec::new());
    one_item(&mut list);
    two_partitions(&mut list);
    one_order(&mut list);
    finds(&mut list);
    takers(&mut list);
    lost_tails(&mut list);
    other_writers(&mut list);
    late_copies(&mut list);
    renewals(&mut list);
    list.0
}

struct List(Vec<Configuration>);

impl List {
    fn add(&mut self, name: &str, effort: Effort, what: &str, plan: Plan) {
        self.0.push(Configuration { name: name.into(), what: what.into(), effort, plan });
    }

    /// A plan without a guard that it needs.
    fn mutant(&mut self, name: &str, effort: Effort, mutant: Mutant, plan: Plan) {
        let what = format!("  without: {}", mutant.guard());
        self.add(name, effort, &what, Plan { mutant: Some(mutant), ..plan });
    }
}

const FIRST: Operation = Checkout { order: 0 };
const SECOND: Operation = Checkout { order: 1 };
const UNITS: Operation = FindItem { item: 0 };
const CREDIT: Operation = FindUser { user: 0 };
const RENEW_ORDER: Operation = Operation::RenewOrder { order: 0 };
const TAKE: Operation = Subtract { item: 0, quantity: 1 };

/// Two users want the last unit; the second has no credit.
fn last_unit() -> Plan {
    Plan {
        shop: Shop {
            stock: vec![1],
            credit: vec![1, 0],
            orders: vec![Order::new(0, [(0, 1)]), Order::new(1, [(0, 1)])],
        },
        operations: vec![FIRST, SECOND],
        redelivery: true,
        ..Plan::default()
    }
}

/// Three users want four units of two; the second has no credit.
fn three_checkouts() -> Plan {
    let orders = vec![Order::new(0, [(0, 1)]), Order::new(1, [(0, 1)]), Order::new(2, [(0, 2)])];
    Plan {
        shop: Shop { stock: vec![2], credit: vec![1, 0, 2], orders },
        operations: vec![FIRST, SECOND, Checkout { order: 2 }],
        ..last_unit()
    }
}

fn one_item(list: &mut List) {
    let deadline = || Plan { deadlines: true, ..last_unit() };
    list.add("A1", Short, "two want the last unit, one cannot pay", last_unit());
    list.mutant("A1-1", Short, Mutant::RefusesAtOnce, last_unit());
    list.mutant("A1-2", Short, Mutant::TrimsUnread, last_unit());
    list.add("A3", Short, "the same, with deadlines", deadline());
    list.mutant("A3-1", Short, Mutant::ForgetsEarlyCancel, deadline());
    list.mutant("A3-2", Short, Mutant::LeavesParked, deadline());
    list.mutant("A3-3", Short, Mutant::ConsumesAgain, deadline());
    list.mutant("A3-4", Short, Mutant::WithdrawsSilently, deadline());
    list.mutant("A3-5", Short, Mutant::TrimsDeadlines, deadline());
    list.add("A5", Short, "three checkouts of two units", three_checkouts());
    list.add("A6", Deep, "the same, with deadlines", Plan { deadlines: true, ..three_checkouts() });
    let crowded = || Plan { parked_max: 1, ..three_wait() };
    list.add("E1", Short, "three want the last unit, one may wait for it", crowded());
    list.mutant("E1-1", Short, Mutant::BlocksWhenFull, crowded());
    list.add("E2", Deep, "the same, with deadlines", Plan { deadlines: true, ..crowded() });
}

/// Three users want the last unit, and the two first have no credit.
fn three_wait() -> Plan {
    Plan {
        shop: Shop {
            stock: vec![1],
            credit: vec![0, 0, 1],
            orders: vec![Order::new(0, [(0, 1)]), Order::new(1, [(0, 1)]), Order::new(2, [(0, 1)])],
        },
        ..three_checkouts()
    }
}

/// Two users want the last unit of each of two items, which live in two partitions.
fn crossing() -> Plan {
    Plan {
        shop: Shop {
            stock: vec![1, 1],
            credit: vec![2, 2],
            orders: vec![Order::new(0, [(0, 1), (1, 1)]), Order::new(1, [(0, 1), (1, 1)])],
        },
        partitions: Partitions::default().with(Stock, 2),
        placement: vec![0, 1],
        ..last_unit()
    }
}

/// Three users and two partitions: two want both items, the third all there is of the second.
fn three_crossing() -> Plan {
    let orders = vec![Order::new(0, [(0, 1), (1, 1)]), Order::new(1, [(0, 1), (1, 1)]), Order::new(2, [(1, 2)])];
    Plan {
        shop: Shop { stock: vec![1, 2], credit: vec![2, 0, 2], orders },
        operations: vec![FIRST, SECOND, Checkout { order: 2 }],
        ..crossing()
    }
}

fn two_partitions(list: &mut List) {
    list.add("B1", Short, "two want the same two items of two partitions", crossing());
    list.mutant("B1-1", Short, Mutant::WalksUnsorted, crossing());
    list.add("B3", Short, "the same, with deadlines", Plan { deadlines: true, ..crossing() });
    let joint = Plan { domains: vec![vec![OrderService, Stock, Payment]], crashes_max: 1, ..crossing() };
    list.add(
        "B4",
        Deep,
        "the same, and one journal loses its tail",
        Plan { deadlines: true, redelivery: false, ..joint },
    );
    list.add("B5", Short, "three checkouts of items of two partitions", three_crossing());
    list.add("B6", Deep, "the same, with deadlines", Plan { deadlines: true, ..three_crossing() });
}

/// Two clients check the same order out, and a third changes it.
fn one_order(list: &mut List) {
    let plan = || Plan {
        shop: Shop { stock: vec![2], credit: vec![2], orders: vec![Order::new(0, [(0, 1)])] },
        operations: vec![FIRST, FIRST, Operation::AddItem { order: 0, item: 0, quantity: 1 }, FindOrder { order: 0 }],
        deadlines: true,
        ..last_unit()
    };
    list.add("L1", Short, "two check one order out, others change and find it", plan());
    let short = Plan { shop: Shop { stock: vec![1], ..plan().shop }, ..plan() };
    list.add(
        "L2",
        Deep,
        "the same, and stock takes a unit away",
        Plan { operations: vec![FIRST, FIRST, TAKE, FindOrder { order: 0 }], ..short },
    );
}

fn finds(list: &mut List) {
    let finds = || Plan {
        operations: vec![FIRST, SECOND, UNITS, CREDIT],
        after: vec![None, None, None, Some(2)],
        ..last_unit()
    };
    let own = || Plan { after: vec![None, None, Some(0), Some(0)], ..finds() };
    list.add("C3", Short, "somebody finds the units, then the credit", finds());
    list.mutant("C3-1", Short, Mutant::ShowsAvailable, finds());
    list.mutant("C3-2", Short, Mutant::ShowsTotal, finds());
    list.add("C6", Short, "units and credit are found after the own checkout", own());
    list.mutant("C6-1", Short, Mutant::ShowsTotal, own());
    list.add(
        "C7",
        Deep,
        "somebody finds the units, then the credit, with deadlines",
        Plan { deadlines: true, ..finds() },
    );
    let order_first = Plan {
        operations: vec![FIRST, SECOND, FindOrder { order: 0 }, UNITS, CREDIT],
        after: vec![None, None, None, Some(2), Some(3)],
        ..last_unit()
    };
    list.add("C8", Deep, "somebody finds the order, then the units, then the credit", order_first);
    let both = Plan {
        operations: vec![FIRST, SECOND, FindItem { item: 1 }, UNITS, CREDIT],
        after: vec![None, None, None, Some(2), Some(3)],
        redelivery: false,
        ..crossing()
    };
    list.add("C9", Short, "two partitions: both items, then the credit are found", both.clone());
    list.add("C10", Deep, "the same, with deadlines", Plan { deadlines: true, ..both });
}

fn takers(list: &mut List) {
    // The checkouts cannot be paid, so the unit is there for whoever takes it.
    let take = || Plan {
        shop: Shop { credit: vec![0, 0], ..last_unit().shop },
        operations: vec![FIRST, SECOND, TAKE],
        ..last_unit()
    };
    list.add("D2", Short, "somebody takes the last unit while checkouts hold it", take());
    list.mutant("D2-1", Short, Mutant::RefusesAtOnce, take());
    let patience = Plan { operations: vec![FIRST, SECOND, TAKE, UNITS], patience: true, ..last_unit() };
    list.add("P1", Short, "whoever takes or finds may lose patience", patience.clone());
    list.add("P2", Deep, "the same, with deadlines", Plan { deadlines: true, ..patience });
}

fn loses(services: &[Service], plan: Plan) -> Plan {
    let domains = services.iter().map(|service| vec![*service]).collect();
    Plan { domains, crashes_max: 1, redelivery: false, ..plan }
}

fn lost_tails(list: &mut List) {
    one_loses(list);
    all_lose(list);
    // Somebody looks twice, before and after.
    let seen = || Plan {
        operations: vec![FIRST, SECOND, UNITS, UNITS],
        after: vec![None, None, None, Some(2)],
        ..loses(&[Stock], last_unit())
    };
    list.add("H2", Short, "stock loses its tail between two finds", seen());
    let taken = || Plan {
        shop: Shop { orders: vec![Order::new(0, [(0, 1)])], ..last_unit().shop },
        operations: vec![FIRST, TAKE, UNITS, UNITS],
        ..seen()
    };
    list.add("J2", Short, "a unit is taken, stock loses its tail between two finds", taken());
    list.mutant("J2-1", Short, Mutant::RepliesBeforeDurable, taken());
    list.mutant("J2-2", Short, Mutant::ShowsBeforeDurable, taken());
}

/// One service loses its tail.
fn one_loses(list: &mut List) {
    list.add("F2", Short, "stock loses its tail", loses(&[Stock], last_unit()));
    list.mutant("F2-1", Short, Mutant::KeepsCursors, loses(&[Stock], last_unit()));
    let payment = || loses(&[Payment], last_unit());
    list.add("F4", Short, "payment loses its tail", payment());
    list.mutant("F4-1", Short, Mutant::SendsBeforeDurable, payment());
    let order = || loses(&[OrderService], last_unit());
    list.add("F6", Short, "order loses its tail", order());
    list.mutant("F6-1", Short, Mutant::SendsBeforeDurable, order());
    let in_time = || Plan { deadlines: true, ..order() };
    list.add("F7", Short, "order loses its tail, with deadlines", in_time());
    list.mutant("F7-1", Short, Mutant::RepliesBeforeDurable, in_time());
    let taken = || Plan {
        shop: Shop { stock: vec![2], credit: vec![1, 1], ..last_unit().shop },
        operations: vec![FIRST, SECOND, TAKE],
        ..loses(&[Stock], last_unit())
    };
    list.add("F10", Short, "a unit is taken, stock loses its tail", taken());
    list.mutant("F10-1", Short, Mutant::SendsBeforeDurable, taken());
    let two_inputs = || {
        let orders = vec![Order::new(0, [(0, 1), (1, 1)]), Order::new(1, [(1, 1)])];
        let shop = Shop { stock: vec![2, 1], credit: vec![2, 1], orders };
        loses(&[Stock], Plan { shop, ..crossing() })
    };
    list.add("F12", Short, "two partitions of stock lose their tail", two_inputs());
    list.mutant("F12-1", Short, Mutant::SendsBeforeDurable, two_inputs());
}

/// Several services lose their tails, each its own or all together.
fn all_lose(list: &mut List) {
    let all = [Stock, Payment, OrderService];
    list.add("F8", Short, "any one of the three loses its tail", loses(&all, last_unit()));
    list.add("G1", Deep, "all three lose tails, three times", Plan { crashes_max: 3, ..loses(&all, last_unit()) });
    let twice = Plan { crashes_max: 2, deadlines: true, ..loses(&all, last_unit()) };
    list.add("G2", Deep, "all three lose tails, twice, with deadlines", twice);
    let joint = || Plan { domains: vec![all.to_vec()], crashes_max: 2, redelivery: false, ..last_unit() };
    list.add("G3", Short, "one journal of all three loses its tail, twice", joint());
    list.add("G4", Deep, "the same, with deadlines", Plan { deadlines: true, ..joint() });
    let seen = Plan {
        operations: vec![FIRST, SECOND, UNITS, CREDIT],
        after: vec![None, None, None, Some(2)],
        crashes_max: 1,
        ..joint()
    };
    list.add("G5", Deep, "one journal loses its tail, units and credit are found", seen);
}

fn other_writers(list: &mut List) {
    let taken_over = |services: &[Service], plan: Plan| Plan {
        overtaken: services.to_vec(),
        overtakes_max: 1,
        redelivery: false,
        ..plan
    };
    let order = || taken_over(&[OrderService], Plan { deadlines: true, ..last_unit() });
    list.add("K1", Short, "another writer takes an order partition over, with deadlines", order());
    list.mutant("K1-1", Short, Mutant::ReusesAttempt, order());
    let stock = Plan { operations: vec![FIRST, SECOND, TAKE, UNITS], ..last_unit() };
    list.add("K2", Short, "another writer takes a stock partition over from callers", taken_over(&[Stock], stock));
    let any = taken_over(&[OrderService, Stock, Payment], Plan { deadlines: true, ..last_unit() });
    let two = Plan { deadlines: true, ..crossing() };
    list.add("K5", Deep, "another writer takes a stock partition of two over", taken_over(&[Stock], two));
    list.add("K3", Deep, "other writers take any partition over, twice", Plan { overtakes_max: 2, ..any.clone() });
    list.add(
        "K4",
        Deep,
        "another writer, and any one service loses its tail",
        loses(&[Stock, Payment, OrderService], any),
    );
}

/// One order is tried twice in vain, of which it remembers one by name, and could be paid after that: so no copy of
/// either may begin anything.
fn late_copies(list: &mut List) {
    let plan = || Plan {
        shop: Shop { stock: vec![0], credit: vec![1], orders: vec![Order::new(0, [(0, 1)])] },
        operations: vec![FIRST, FIRST, Operation::Add { item: 0, quantity: 1 }, FIRST],
        after: vec![None, None, Some(0), Some(2)],
        redelivery: false,
        copies_max: 2,
        cancelled_max: 1,
        ..last_unit()
    };
    list.add("M1", Short, "one order is tried again and again, and copies come late", plan());
    list.mutant("M1-1", Short, Mutant::ForgetsFloor, plan());
    let renewed = || Plan {
        shop: Shop { stock: vec![1], credit: vec![2], ..plan().shop },
        operations: vec![FIRST, RENEW_ORDER, Operation::RenewItem { item: 0, units: 1 }, FIRST],
        after: vec![None, Some(0), Some(1), Some(2)],
        ..plan()
    };
    list.add("M2", Short, "an order is set anew after its checkout, and copies come late", renewed());
    list.mutant("M2-1", Short, Mutant::ForgetsFloor, renewed());
    list.add(
        "M3",
        Deep,
        "M1 with deadlines and another writer",
        Plan { deadlines: true, overtaken: vec![OrderService], overtakes_max: 1, ..plan() },
    );
}

/// Bulk commands set what checkouts use.
fn renewals(list: &mut List) {
    let order = || Plan { operations: vec![FIRST, SECOND, RENEW_ORDER, FindOrder { order: 0 }], ..last_unit() };
    list.add("R1", Short, "an order is set anew while it is checked out", order());
    list.mutant("R1-1", Short, Mutant::RenewsBusy, order());
    let item = || Plan { operations: vec![FIRST, SECOND, Operation::RenewItem { item: 0, units: 2 }], ..last_unit() };
    list.add("R2", Short, "an item is set anew while checkouts hold it", item());
    list.mutant("R2-1", Short, Mutant::RenewsBusy, item());
    let user = || Plan { operations: vec![FIRST, SECOND, Operation::RenewUser { user: 0, credit: 2 }], ..last_unit() };
    list.add("R3", Short, "a user is set anew while a checkout holds credit", user());
    list.mutant("R3-1", Short, Mutant::RenewsBusy, user());
    list.add("R4", Deep, "the first, with deadlines", Plan { deadlines: true, ..order() });
}
