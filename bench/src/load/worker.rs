//! One connection's work.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use smol_str::SmolStr;

use super::{Attempt, Claims, Gate, OrderIds, Phase, Record, Schedule, Window, pacer::OpenTurns};
use crate::{
    api::blamed_item,
    client::{Connection, Method},
    outcome::classify,
};
use referee::Outcome;
use referee::history::{Entry, Kind, Scribe};

/// Between two attempts at connecting: often enough to see a restarted server at once, seldom enough not to flood it.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Whose turn it is to send.
#[derive(Clone, Debug)]
pub(super) enum Turns {
    /// A connection's own, once it has an answer.
    Closed,
    /// The next free connection's, when a request has come due.
    Open(Arc<OpenTurns>),
}

impl Turns {
    pub(super) fn open(schedule: Schedule) -> Self {
        Self::Open(Arc::new(OpenTurns::new(schedule)))
    }

    pub(super) fn open_turns(&self) -> Option<&Arc<OpenTurns>> {
        match self {
            Self::Closed => None,
            Self::Open(turns) => Some(turns),
        }
    }

    /// Waits for a turn; `None` when the time is over.
    async fn next(&self, window: Window, now: Instant) -> Option<Turn> {
        match self {
            Self::Closed => (now < window.end).then_some(Turn { due: None }),
            Self::Open(turns) => turns.next().await.map(|due| Turn { due: Some(window.start + due) }),
        }
    }
}

/// Leave to send one request.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// When it should have been sent; in a closed loop that is whenever it is.
    due: Option<Instant>,
}

pub(super) struct Worker {
    connection: Connection,
    orders: Arc<OrderIds>,
    claims: Arc<Claims>,
    turns: Turns,
    gate: Arc<Gate>,
    /// Shared by the workers of one thread, so never contended.
    record: Arc<Mutex<Record>>,
    ended: Arc<AtomicU64>,
    number: u32,
    scribe: Option<Scribe>,
}

impl Worker {
    pub(super) fn new(
        phase: &Phase,
        number: usize,
        turns: &Turns,
        gate: &Arc<Gate>,
        record: &Arc<Mutex<Record>>,
        ended: &Arc<AtomicU64>,
    ) -> Self {
        Self {
            connection: Connection::new(Arc::clone(&phase.target), phase.timeout),
            orders: Arc::clone(&phase.orders),
            claims: Arc::clone(&phase.claims),
            turns: turns.clone(),
            gate: Arc::clone(gate),
            record: Arc::clone(record),
            ended: Arc::clone(ended),
            number: u32::try_from(number).expect("a connection has a port"),
            scribe: phase.scribe.clone(),
        }
    }

    pub(super) async fn run(mut self) {
        if self.connection.ensure_open().await.is_err() {
            // Tried again, and counted, once the clock runs.
            self.connection.close();
        }
        let Some(window) = self.await_start().await else { return };
        let mut now = Instant::now();
        while let Some(turn) = self.turns.next(window, now).await {
            // Connecting comes before claiming: an order is claimed only when its request can really be sent.
            if !self.open(window).await {
                return;
            }
            let Some(order) = self.claims.next() else {
                self.record().ran_out(window.start.elapsed());
                return;
            };
            now = self.checkout(order, turn, window).await;
        }
    }

    async fn await_start(&self) -> Option<Window> {
        let mut window = self.gate.window.subscribe();
        self.gate.ready.add_permits(1);
        let window = window.wait_for(Option::is_some).await.ok()?;
        *window
    }

    /// Connects, again and again until the time is over; false when it could not.
    async fn open(&mut self, window: Window) -> bool {
        while self.connection.ensure_open().await.is_err() {
            self.record().connect_failures += 1;
            if Instant::now() + CONNECT_PAUSE >= window.end {
                return false;
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        true
    }

    async fn checkout(&mut self, order: u64, turn: Turn, window: Window) -> Instant {
        let sent = Instant::now();
        let end = self
            .connection
            .exchange(Method::Post, |path| {
                path.extend_from_slice(b"/orders/checkout/");
                self.orders.write(order, path);
            })
            .await;
        let ended = Instant::now();
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, reason) = classify(&end);
        record.tally.count(outcome, reason.as_deref());
        if let Some(scribe) = &mut self.scribe {
            let body = end.as_ref().map_or(&b""[..], |answer| answer.body);
            let item = (outcome == Outcome::Refused).then(|| blamed_item(body)).flatten();
            scribe.record(Entry {
                op: Kind::Checkout,
                client: self.number,
                start: scribe.nanoseconds(sent),
                end: scribe.nanoseconds(ended),
                outcome,
                reason,
                item,
                user: None,
                order: Some(SmolStr::new(self.orders.name(order))),
                amount: None,
                value: None,
                found: None,
            });
        }
        let attempt = Attempt { order, intended: turn.due.unwrap_or(sent), sent, ended, outcome };
        record.add(&attempt, window);
        self.ended.fetch_add(1, Ordering::Relaxed);
        ended
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
