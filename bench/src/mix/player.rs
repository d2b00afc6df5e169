//! What one connection does next.

use std::{sync::Arc, time::Instant};

use rand::{RngExt as _, rngs::SmallRng};
use smol_str::SmolStr;

use super::{
    Left, MixOptions, Pool,
    client::{Client, Request},
};
use referee::Outcome;
use referee::history::{Entry, Kind};

/// A few amounts only: the fewer differ, the more the referee can decide.
const AMOUNT_MAX: u64 = 3;
const TAKEN_MAX: u64 = 2;
const LINES_MAX: u8 = 3;
/// How often a checkout that was refused is tried again at most.
const RETRIES_MAX: u8 = 3;

/// An order that this connection builds.
#[derive(Clone, Debug)]
struct Draft {
    order: SmolStr,
    user: u32,
    items: Vec<u32>,
    lines_left: u8,
    retries_left: u8,
}

#[derive(Debug)]
pub(super) struct Player {
    client: Client,
    options: MixOptions,
    pool: Arc<Pool>,
    random: SmallRng,
    draft: Option<Draft>,
    left: Left,
}

impl Player {
    pub(super) fn new(client: Client, options: MixOptions, pool: Arc<Pool>, random: SmallRng) -> Self {
        Self { client, options, pool, random, draft: None, left: Left::default() }
    }

    pub(super) async fn run(mut self, until: Instant) -> Left {
        // Each turn may send several requests; none is sent without a connection.
        let most = self.options.mix_operations.unwrap_or(u64::MAX);
        while Instant::now() < until && self.client.ended() < most && self.client.open(until).await {
            self.turn().await;
        }
        self.left
    }

    async fn send(&mut self, request: Request) -> Entry {
        let entry = self.client.send(request).await;
        self.left.unknown += u64::from(entry.outcome == Outcome::Unknown);
        entry
    }

    async fn turn(&mut self) {
        let die = self.random.random_range(0..100);
        match die {
            0..13 => self.change(Kind::AddStock).await,
            13..20 => self.change(Kind::SubtractStock).await,
            20..31 => self.change(Kind::FindItem).await,
            31..42 => self.change(Kind::AddFunds).await,
            42..48 => self.change(Kind::Pay).await,
            48..58 => self.change(Kind::FindUser).await,
            58..66 => self.meddle().await,
            _ => self.proceed().await,
        }
    }

    /// An item's or a user's number.
    fn record(&mut self) -> u32 {
        let hot = self.options.mix_hot.min(self.options.mix_records);
        if self.random.random_range(0..100) < self.options.mix_hot_percent {
            self.random.random_range(0..hot)
        } else {
            self.random.random_range(0..self.options.mix_records)
        }
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.random.random_range(0..100) < percent
    }

    async fn change(&mut self, kind: Kind) {
        let record = self.record();
        let amount = match kind {
            Kind::AddStock | Kind::AddFunds => Some(self.random.random_range(1..=AMOUNT_MAX)),
            Kind::SubtractStock | Kind::Pay => Some(self.random.random_range(1..=TAKEN_MAX)),
            _ => None,
        };
        let request = match kind {
            Kind::AddFunds | Kind::Pay | Kind::FindUser => Request::of_user(kind, record, amount),
            _ => Request::of_item(kind, record, amount),
        };
        self.send(request).await;
    }

    /// Something with an order that others work on as well.
    async fn meddle(&mut self) {
        let Some(order) = self.pool.any(&mut self.random) else { return };
        let request = match self.random.random_range(0..10) {
            0..4 => Request::of_order(Kind::FindOrder, &order),
            4..5 => {
                let item = self.record();
                Request::add_item(&order, item, self.random.random_range(1..=TAKEN_MAX))
            }
            _ => Request::of_order(Kind::Checkout, &order),
        };
        self.send(request).await;
    }

    /// The next step of an own order.
    async fn proceed(&mut self) {
        match self.draft.take() {
            None => self.create().await,
            Some(draft) if draft.lines_left > 0 => self.add_line(draft).await,
            Some(draft) => self.check_out(draft).await,
        }
    }

    async fn create(&mut self) {
        let user = self.record();
        let created = self.send(Request::of_user(Kind::CreateOrder, user, None)).await;
        let Some(order) = created.order else { return };
        self.left.names.push(order.clone());
        if self.chance(30) {
            self.pool.share(&order, &mut self.random);
        }
        let lines_left = self.random.random_range(1..=LINES_MAX);
        self.draft = Some(Draft { order, user, items: Vec::new(), lines_left, retries_left: RETRIES_MAX });
    }

    async fn add_line(&mut self, mut draft: Draft) {
        let item = self.record();
        let quantity = self.random.random_range(1..=TAKEN_MAX);
        self.send(Request::add_item(&draft.order, item, quantity)).await;
        draft.items.push(item);
        draft.lines_left -= 1;
        self.draft = Some(draft);
    }

    async fn check_out(&mut self, mut draft: Draft) {
        let checked_out = self.send(Request::of_order(Kind::Checkout, &draft.order)).await;
        if self.chance(20) {
            self.look(&draft).await;
        }
        match checked_out.outcome {
            Outcome::Succeeded => {
                if self.chance(8) {
                    self.send(Request::of_order(Kind::Checkout, &draft.order)).await;
                }
            }
            Outcome::Unknown if self.chance(50) => self.draft = Some(draft),
            Outcome::Unknown => {}
            Outcome::Refused if draft.retries_left > 0 && self.chance(70) => {
                self.supply(&draft).await;
                draft.retries_left -= 1;
                self.draft = Some(draft);
            }
            Outcome::Refused => {}
        }
    }

    /// Reads what a checkout has just changed, or not: the order, its user or an item.
    async fn look(&mut self, draft: &Draft) {
        let request = match self.random.random_range(0..3) {
            0 => Request::of_order(Kind::FindOrder, &draft.order),
            1 => Request::of_user(Kind::FindUser, draft.user, None),
            _ => match draft.items.first() {
                Some(item) => Request::of_item(Kind::FindItem, *item, None),
                None => return,
            },
        };
        self.send(request).await;
    }

    /// Gives what may have been missing, now and then.
    async fn supply(&mut self, draft: &Draft) {
        let request = match self.random.random_range(0..4) {
            0 => Request::of_user(Kind::AddFunds, draft.user, Some(AMOUNT_MAX)),
            1 => match draft.items.first() {
                Some(item) => Request::of_item(Kind::AddStock, *item, Some(AMOUNT_MAX)),
                None => return,
            },
            _ => return,
        };
        self.send(request).await;
    }
}
