//! What the history answers, compared with a list of all that happened.

use std::time::Duration;

use contract::{
    Amount, Change, Checkout, CheckoutData, CheckoutId, Event, Id, ItemId, LINES_MAX, Line, OrderId, Quantity, Reason,
    Station, Sum, UserId, Wait,
};
use observer::{
    Account, Command, Cursor, Entry, Filter, Found, HistoryRecord, Noted, Observer, Reply, Retention, Row, Span, State,
    Story, What,
};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use saga::{Codec, Input, RequestId, Solo, Timestamp, store::VALUE_BYTES_MAX};

mod bounds;
mod sums;

const START: u64 = 1_700_000_000_000;

/// A history, and everything that it was told.
struct Told {
    observer: Solo<Observer>,
    now: u64,
    events: Vec<Event>,
}

fn item(number: u64) -> ItemId {
    ItemId(Id::from_number(number))
}

fn user(number: u64) -> UserId {
    UserId(Id::from_number(number))
}

fn amount(value: u64) -> Amount {
    Amount::new(value).expect("a small number")
}

fn checkout(number: u64, item_number: u64, at: u64) -> Checkout {
    let data = CheckoutData {
        id: CheckoutId::from_random(u128::from(number)),
        order: OrderId(Id::from_number(number)),
        user: user(number % 7),
        amount: amount(10),
        lines: vec![Line { item: item(item_number), quantity: Quantity::new(2).expect("a quantity") }],
        started_at_ms: at,
        timeout_ms: 5000,
        request: None,
        caller: None,
    };
    data.into()
}

impl Told {
    fn new(retention: Retention) -> Self {
        Self {
            observer: Solo::new(Observer { retention, ..Observer::default() }, 0, 1),
            now: START,
            events: Vec::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        self.now += 1;
        self.observer.step(Input::Event(&event), Timestamp(self.now));
        self.events.push(event);
    }

    fn ask(&mut self, command: Command) -> Reply {
        let input = Input::Command { request: RequestId(1), command: &command };
        let outcome = self.observer.step(input, Timestamp(self.now));
        assert_eq!(outcome.written, 0, "who asks changes nothing");
        let (_, reply) = outcome.replies.into_iter().next().expect("a reply");
        let mut bytes = Vec::new();
        reply.encode_to(&mut bytes);
        assert_eq!(Reply::decode_from(&bytes).as_ref(), Ok(&reply), "it gets to another process");
        reply
    }

    /// All that a filter accepts, asked for in small portions.
    fn all(&mut self, filter: &Filter, limit: u32) -> Vec<Entry> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let command = Command::Checkouts { filter: filter.clone(), after, limit };
            let Reply::Checkouts { entries, next } = self.ask(command) else { panic!("of another kind") };
            assert!(entries.len() <= limit as usize);
            all.extend(entries);
            match next {
                Some(_) => after = next,
                None => return all,
            }
        }
    }

    fn rows(&mut self, account: &Account, limit: u32) -> Vec<Row> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let Reply::Account(some) =
                self.ask(Command::Account { account: account.clone(), after, limit, until: None })
            else {
                panic!("of another kind")
            };
            all.extend(some.rows);
            match some.next {
                next @ Some(_) => after = next,
                None => return all,
            }
        }
    }

    fn span(&mut self) -> Span {
        match self.ask(Command::Span) {
            Reply::Span(span) => span,
            other => panic!("{other:?}"),
        }
    }

    fn attempts(&mut self, number: u64) -> Vec<Story> {
        match self.ask(Command::Order { order: OrderId(Id::from_number(number)), after: None }) {
            Reply::Order { stories, next: None } => stories,
            other => panic!("{other:?}"),
        }
    }
}

#[expect(clippy::indexing_slicing, reason = "places are drawn from those there are, and every checkout has a line")]
/// Many checkouts at once, some of which are refused, wait, or are never decided.
fn busy_shop(seed: u64, count: u64) -> Told {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut told = Told::new(Retention::default());
    let mut running: Vec<(Checkout, u8)> = Vec::new();
    let (station, mut begun) = (Station { partition: 0, is_last: true }, 0);
    while begun < count || !running.is_empty() {
        if begun < count && (running.len() < 3 || random.random_ratio(1, 4)) && running.len() < 400 {
            let checkout = checkout(begun, random.random_range(0..20), told.now + 1);
            told.tell(Event::CheckoutStarted(checkout.clone()));
            running.push((checkout, 0));
            begun += 1;
            continue;
        }
        let place = random.random_range(0..running.len());
        let (checkout, stage) = running[place].clone();
        let next = match stage {
            0 if random.random_ratio(1, 5) => {
                let wait = Wait::new(2, 1, 0);
                told.tell(Event::StockParked(checkout.clone(), station, checkout.lines[0].item.clone(), wait));
                Some(1)
            }
            0 | 1 if random.random_ratio(1, 6) => {
                let reason = Reason::OutOfStock { item: checkout.lines[0].item.clone() };
                told.tell(Event::StockRefused(checkout.clone(), station, reason.clone(), None));
                told.tell(Event::CheckoutCancelled(checkout.clone(), reason, None));
                None
            }
            0 | 1 => {
                told.tell(Event::StockReserved(checkout.clone(), station));
                Some(2)
            }
            2 => {
                told.tell(Event::PaymentAuthorized(checkout.clone()));
                Some(3)
            }
            // One in fifty is forgotten.
            _ if random.random_ratio(1, 50) => None,
            _ => {
                told.tell(Event::CheckoutCompleted(checkout.clone()));
                None
            }
        };
        match next {
            Some(stage) => running[place].1 = stage,
            None => drop(running.swap_remove(place)),
        }
        if random.random_ratio(1, 40) {
            let items = vec![item(random.random_range(0..20))];
            told.tell(Event::StockChanged {
                items,
                change: Change::Added(amount(3)),
                total: amount(9),
                price: amount(5),
                replaced: Sum::default(),
            });
        }
    }
    told
}

/// The checkouts that `told` decided, the last one first.
fn decided(told: &Told) -> Vec<(Checkout, bool)> {
    let decision = |event: &Event| match event {
        Event::CheckoutCompleted(checkout) => Some((checkout.clone(), true)),
        Event::CheckoutCancelled(checkout, ..) => Some((checkout.clone(), false)),
        _ => None,
    };
    told.events.iter().rev().filter_map(decision).collect()
}

fn events_of(told: &Told, checkout: &Checkout) -> usize {
    told.events.iter().filter(|event| event.checkout().is_some_and(|other| other.id == checkout.id)).count()
}

#[test]
fn every_checkout_is_found_whole_the_last_one_first_in_portions_of_any_size() {
    let mut told = busy_shop(1, 2000);
    assert!(told.events.len() > 7000, "several pages");
    let expected = decided(&told);
    for limit in [7, 1000] {
        let all = told.all(&Filter::default(), limit);
        assert_eq!(all.len(), expected.len());
        for (entry, (checkout, is_completed)) in all.iter().zip(&expected) {
            assert_eq!(entry.story.checkout.id, checkout.id);
            let decision = entry.story.decision().expect("it is decided");
            assert_eq!(decision.what == What::Completed, *is_completed);
            assert!(entry.story.has_begun());
            assert_eq!(entry.story.happenings.len(), events_of(&told, checkout), "{entry:?}");
        }
    }
}

#[test]
fn a_filter_lets_through_what_it_says_and_nothing_else() {
    let mut told = busy_shop(2, 1500);
    let expected = decided(&told);
    let count = |wanted: &dyn Fn(&Checkout, bool) -> bool| {
        expected.iter().filter(|(checkout, is_completed)| wanted(checkout, *is_completed)).count()
    };
    let middle = told.now - (told.now - START) / 2;
    let cases: [(Filter, usize); 6] = [
        (Filter { state: Some(State::Completed), ..Filter::default() }, count(&|_, completed| completed)),
        (Filter { state: Some(State::Cancelled), ..Filter::default() }, count(&|_, completed| !completed)),
        (Filter { reason: Some("out-of-stock".to_owned()), ..Filter::default() }, count(&|_, completed| !completed)),
        (
            Filter { item: Some(item(3)), ..Filter::default() },
            count(&|checkout, _| checkout.lines.iter().any(|line| line.item == item(3))),
        ),
        (Filter { user: Some(user(4)), ..Filter::default() }, count(&|checkout, _| checkout.user == user(4))),
        (Filter { since: Some(middle), ..Filter::default() }, count(&|checkout, _| checkout.started_at_ms >= middle)),
    ];
    for (filter, expected) in cases {
        assert!(expected > 0);
        assert_eq!(told.all(&filter, 50).len(), expected, "{filter:?}");
    }
    assert_eq!(told.all(&Filter { reason: Some("busy".to_owned()), ..Filter::default() }, 50), []);
    let slow = told.all(&Filter { at_least_ms: Some(40), ..Filter::default() }, 50);
    assert!(!slow.is_empty() && slow.iter().all(|entry| entry.story.took_ms() >= Some(40)));
}

#[test]
fn what_was_never_decided_is_open_the_oldest_first() {
    let mut told = busy_shop(3, 2000);
    let is_decided = |checkout: &Checkout| decided(&told).iter().any(|(other, _)| other.id == checkout.id);
    let begun = told.events.iter().filter_map(|event| match event {
        Event::CheckoutStarted(checkout) => Some(checkout.clone()),
        _ => None,
    });
    let mut expected: Vec<_> = begun.filter(|checkout| !is_decided(checkout)).map(|checkout| checkout.id).collect();
    assert!(expected.len() > 10);
    let open = told.all(&Filter { state: Some(State::Open), ..Filter::default() }, 3);
    let mut found: Vec<_> = open.iter().map(|entry| entry.story.checkout.id).collect();
    assert!(open.is_sorted_by_key(|entry| entry.story.checkout.started_at_ms));
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert!(open.iter().all(|entry| entry.story.happenings.last().map(|last| &last.what) == Some(&What::Authorized)));
    assert_eq!(told.span().undecided, expected.len() as u64);
    assert_eq!(told.all(&Filter { state: Some(State::Parked), ..Filter::default() }, 3), []);
    let waiting = checkout(77_777, 1, told.now);
    told.tell(Event::CheckoutStarted(waiting.clone()));
    let station = Station { partition: 0, is_last: true };
    told.tell(Event::StockParked(waiting.clone(), station, item(1), Wait::new(2, 0, 3)));
    let parked = told.all(&Filter { state: Some(State::Parked), ..Filter::default() }, 3);
    assert_eq!(parked.iter().map(|entry| entry.story.checkout.id).collect::<Vec<_>>(), [waiting.id]);
}

#[test]
fn an_orders_attempts_are_found_wherever_they_are() {
    let mut told = Told::new(Retention::default());
    let attempt = |number: u128, at| {
        let data = CheckoutData { id: CheckoutId::from_random(number), ..(*checkout(5, 1, at)).clone() };
        Checkout::from(data)
    };
    let first = attempt(1, told.now);
    told.tell(Event::CheckoutStarted(first.clone()));
    told.tell(Event::CheckoutCancelled(first.clone(), Reason::Timeout, None));
    for number in 100..1100 {
        let other = checkout(number, 2, told.now);
        told.tell(Event::CheckoutStarted(other.clone()));
        told.tell(Event::CheckoutCompleted(other));
    }
    // Its refusal comes a page after its decision.
    let station = Station { partition: 0, is_last: true };
    told.tell(Event::StockWithdrawn(first.clone(), station));
    let second = attempt(2, told.now);
    told.tell(Event::CheckoutStarted(second.clone()));
    let attempts = told.attempts(5);
    assert_eq!(attempts.iter().map(|story| story.checkout.id).collect::<Vec<_>>(), [second.id, first.id]);
    let heard: Vec<_> = attempts[1].happenings.iter().map(|happening| &happening.what).collect();
    assert_eq!(heard, [&What::Started, &What::Cancelled(Reason::Timeout, None), &What::Withdrawn]);
    assert_eq!(told.attempts(99_999), []);
}

#[test]
fn a_statement_of_account_has_every_change_and_every_purchase() {
    let mut told = busy_shop(4, 1500);
    let rows = told.rows(&Account::Item(item(3)), 10);
    assert!(rows.is_sorted_by(|one, next| one.cursor > next.cursor));
    let bought = rows.iter().filter(|row| matches!(row.found, Found::Checkout(_, units) if units == amount(2))).count();
    let of_item = |checkout: &Checkout| checkout.lines.iter().any(|line| line.item == item(3));
    assert_eq!(bought, decided(&told).iter().filter(|(checkout, completed)| *completed && of_item(checkout)).count());
    let added = rows.iter().filter(|row| row.found == Found::Change(Change::Added(amount(3)), amount(9))).count();
    let changes =
        told.events.iter().filter(|event| matches!(event, Event::StockChanged { items, .. } if items == &[item(3)]));
    assert_eq!(added, changes.count());
    assert_eq!(bought + added, rows.len());
    let paid = told.rows(&Account::User(user(4)), 1000);
    assert!(paid.iter().all(|row| matches!(row.found, Found::Checkout(_, price) if price == amount(10))));
    assert_eq!(
        paid.len(),
        decided(&told).iter().filter(|(checkout, completed)| *completed && checkout.user == user(4)).count()
    );
}

#[test]
fn what_was_taken_of_a_hot_item_long_ago_is_found_without_looking_at_what_came_after() {
    let mut told = busy_shop(6, 20);
    let hot = |number, at| checkout(number, 3, at);
    let early = hot(100_000, told.now);
    told.tell(Event::CheckoutStarted(early.clone()));
    told.tell(Event::CheckoutCompleted(early.clone()));
    let until = told.now;
    // Far more pages of it than one question looks at.
    for number in 100_001..130_000 {
        let later = hot(number, told.now);
        told.tell(Event::CheckoutCompleted(later));
    }
    let account = Account::Item(item(3));
    let Reply::Account(changes) = told.ask(Command::Account { account, after: None, limit: 1, until: Some(until) })
    else {
        panic!("of another kind")
    };
    let taken = Found::Checkout(early.order.clone(), amount(2));
    assert_eq!(changes.rows.iter().map(|row| &row.found).collect::<Vec<_>>(), [&taken]);
    // Whoever waited for it then is asked for with the checkouts that ran then: 30 seconds later they are passed over.
    let filter = Filter { item: Some(item(3)), until: Some(until), ..Filter::default() };
    let shown = told.all(&filter, 1000);
    assert_eq!(shown.first().map(|entry| entry.story.checkout.id), Some(early.id));
}

#[test]
fn events_are_told_in_order_from_any_place_on() {
    let mut told = busy_shop(5, 1000);
    let (mut all, mut after) = (Vec::new(), Cursor::default());
    loop {
        let Reply::Events { events, next, is_cut } = told.ask(Command::Events { after: Some(after), limit: 300 })
        else {
            panic!("of another kind")
        };
        assert!(!is_cut);
        if events.is_empty() {
            assert_eq!(next, after);
            break;
        }
        assert_eq!(events.last().map(|(cursor, _)| *cursor), Some(next));
        all.extend(events);
        after = next;
    }
    assert_eq!(all.len(), told.events.len());
    for ((_, noted), event) in all.iter().zip(&told.events) {
        let id = event.checkout().map(|checkout| checkout.id);
        assert!(match noted {
            Noted::Checkout(checkout, _) => Some(checkout.id) == id,
            Noted::Movement(_) => id.is_none(),
            Noted::Gap(_) | Noted::Act(_) => false,
        });
    }
    let Reply::Events { events, next, .. } = told.ask(Command::Events { after: None, limit: 300 }) else { panic!() };
    assert_eq!((events.len(), next), (0, after), "who begins now begins at the end");
    let new = checkout(88_888, 1, told.now);
    told.tell(Event::CheckoutStarted(new));
    let Reply::Events { events, .. } = told.ask(Command::Events { after: Some(next), limit: 300 }) else { panic!() };
    assert_eq!(events.len(), 1);
}

#[test]
fn the_oldest_goes_first_by_time_and_by_size() {
    let fill = |retention| {
        let mut told = Told::new(retention);
        for number in 0..6000 {
            let checkout = checkout(number, 1, told.now);
            told.tell(Event::CheckoutStarted(checkout.clone()));
            told.tell(Event::CheckoutCompleted(checkout));
        }
        told
    };
    let mut all = fill(Retention::default());
    let mut by_size = fill(Retention { bytes: 200_000, ..Retention::default() });
    let mut by_time = fill(Retention { time: Duration::from_secs(3), ..Retention::default() });
    let whole = all.span();
    assert_eq!((whole.completed, whole.from), (6000, Some(START + 1)));
    for (name, told) in [("size", &mut by_size), ("time", &mut by_time)] {
        let span = told.span();
        assert_eq!(span.completed, 6000, "counted all the same");
        assert!(span.pages < whole.pages && span.from > whole.from, "{name}: {span:?}");
        let kept = told.all(&Filter::default(), 100);
        assert!(kept.len() > 500 && kept.len() < 6000, "{name}: {}", kept.len());
        let Reply::Events { is_cut, events, .. } =
            told.ask(Command::Events { after: Some(Cursor { page: 0, place: 5 }), limit: 9 })
        else {
            panic!("of another kind")
        };
        assert!(is_cut && events.len() == 9, "who was away for long is told so");
    }
    assert!(by_size.span().bytes < 300_000);
    let stored: usize = by_size.observer.records().iter().map(|(_, record)| stored_bytes(record)).sum();
    assert!(stored < 400_000, "{stored} bytes are about what was asked for");
}

fn stored_bytes(record: &HistoryRecord) -> usize {
    let mut bytes = Vec::new();
    record.encode_to(&mut bytes);
    assert_eq!(HistoryRecord::decode_from(&bytes).as_ref(), Ok(record));
    bytes.len()
}

/// However large events are, and however many checkouts are never decided.
#[test]
fn every_record_is_one_that_a_store_takes() {
    let long = |number: u64| format!("{number:0>64}").parse::<Id>().expect("an id of the greatest length");
    let mut told = Told::new(Retention::default());
    let mut largest = 0;
    for number in 0..9000 {
        let lines = if number % 50 == 0 { LINES_MAX as u64 } else { 1 };
        let quantity = Quantity::new(Amount::MAX.get()).expect("a quantity");
        let lines = (0..lines).map(|line| Line { item: ItemId(long(number * 1000 + line)), quantity });
        let data = CheckoutData {
            order: OrderId(long(number)),
            user: UserId(long(number)),
            lines: lines.collect(),
            ..(*checkout(number, 1, told.now)).clone()
        };
        told.tell(Event::CheckoutStarted(data.into()));
        if number % 100 == 0 {
            let users = (0..2000).map(|user| UserId(long(user))).collect();
            told.tell(Event::CreditChanged {
                users,
                change: Change::Set,
                total: Amount::MAX,
                replaced: Sum::default(),
            });
        }
        if number % 500 == 499 {
            let sizes = told.observer.records().into_iter().map(|(_, record)| stored_bytes(record));
            largest = sizes.chain([largest]).max().expect("there are records");
        }
    }
    assert!(largest < VALUE_BYTES_MAX, "{largest}");
    assert!(told.span().undecided > 7000);
}

#[test]
fn what_is_kept_comes_back_as_it_was() {
    let mut told = busy_shop(6, 1200);
    let before = told.all(&Filter::default(), 100);
    let records = told.observer.records().into_iter().map(|(key, record)| {
        let mut bytes = Vec::new();
        record.encode_to(&mut bytes);
        (*key, HistoryRecord::decode_from(&bytes).expect("it was encoded"))
    });
    let records: Vec<_> = records.collect();
    told.observer = told.observer.clone().with_records(records);
    assert_eq!(told.all(&Filter::default(), 100), before);
}

#[test]
fn a_cursor_is_what_it_says_and_nothing_else_is_one() {
    let cursor = Cursor { page: 7, place: 42 };
    assert_eq!(cursor.to_string().parse(), Ok(cursor));
    for wrong in ["", "-", "7", "7-", "-7", "+7-1", "7-1-1", "7-4294967296", "x-1"] {
        assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
    }
}

#[test]
fn what_was_cancelled_for_a_rare_reason_is_found_without_looking_at_pages_that_have_none() {
    let mut told = busy_shop(12, 20);
    let rare = checkout(700_000, 1, told.now);
    told.tell(Event::CheckoutCancelled(rare.clone(), Reason::Busy, None));
    // Far more pages with others that were cancelled than one question looks at.
    for number in 100..30_000 {
        told.tell(Event::CheckoutCancelled(checkout(number, 3, told.now), Reason::Timeout, None));
    }
    assert!(told.span().pages > 24);
    let filter = Filter { reason: Some("busy".to_owned()), ..Filter::default() };
    let Reply::Checkouts { entries, next: None } = told.ask(Command::Checkouts { filter, after: None, limit: 50 })
    else {
        panic!("it looked at others");
    };
    assert_eq!(entries.iter().map(|entry| entry.story.checkout.id).collect::<Vec<_>>(), [rare.id]);
}
