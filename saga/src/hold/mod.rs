//! Holds: tentative claims of sagas on quantities, with parking instead of false refusals.
//!
//! One record per saga and participant:
//!
//! ```text
//!             request fits                       commit
//!   (none) ─────────────────▶ held ────────────────────────────▶ (none), taken
//!     │ │                      ▲ └──────────── release ────────▶ (none), given back
//!     │ │ might fit later      │ woken
//!     │ └────────────────▶ parked ─── release ─────────────────▶ (none), withdrawn
//!     │ never fits            │ woken and never fits
//!     ├───────────────────▶ refused ── release ────────────────▶ (none)
//!     │ upstream said no
//!     ├───────────────────▶ barred ─── release ────────────────▶ (none)
//!     │ release came first
//!     └───────────────────▶ tombstone ─ request or upstream's no ▶ (none), withdrawn
//! ```
//!
//! A participant hears two things about every saga: the word of whoever comes before it (a request, or that none will
//! come) and the decision (commit or release). The record is dropped when both were heard, so nothing is kept by time,
//! and in return each participant says exactly one word to whoever comes after it: *held*, *refused* or *withdrawn*.
//! Logs are consumed in order and once, so neither can be heard again.

mod pool;
#[cfg(test)]
mod tests;

use minicbor::{Decode, Encode};

pub use pool::{Generation, Parked, Pool, Ticket};

use crate::{Missing, RequestId};

/// A quantity wanted of one pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Claim<A> {
    /// Which pool.
    #[n(0)]
    pub account: A,
    /// How much.
    #[n(1)]
    pub quantity: u64,
    /// The pool's generation in which it is held; meaningless before.
    #[n(2)]
    pub generation: Generation,
}

impl<A> Claim<A> {
    /// A claim that is not held yet.
    pub fn new(account: A, quantity: u64) -> Self {
        Self { account, quantity, generation: Generation::default() }
    }
}

/// What a participant knows of one saga.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Hold<A, C> {
    /// Waits in the queue of every pool it wants something of.
    #[n(0)]
    Parked {
        /// What it wants; each pool once.
        #[n(0)]
        claims: Vec<Claim<A>>,
        /// What the participant needs to speak about it.
        #[n(1)]
        context: C,
    },
    /// Holds what it wanted.
    #[n(1)]
    Held {
        /// What it holds.
        #[n(0)]
        claims: Vec<Claim<A>>,
    },
    /// Was refused, and waits for its release.
    #[n(2)]
    Refused,
    /// Will never ask, because somebody before it said no, and waits for its release.
    #[n(3)]
    Barred,
    /// Was released before it asked, and must not be served when it does.
    #[n(4)]
    Tombstone,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// There is no such pool.
    Unknown,
    /// It is more than there is, even if every hold were undone.
    Short,
    /// Too many wait already.
    Busy,
    /// It waited for as long as it may.
    Expired,
}

/// What a participant says about a saga, once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Word<A> {
    /// It holds all that was asked for.
    Held,
    /// It does not and will not.
    Refused {
        /// The pool that was short.
        account: A,
        /// Why.
        refusal: Refusal,
    },
    /// It was released before it held anything.
    Withdrawn,
}

/// The records of the sagas in a ledger.
pub type HoldOf<L> = Hold<<L as Ledger>::Account, <L as Ledger>::Context>;

/// The participant's side of the holds: where pools and hold records are, and how it speaks.
pub trait Ledger {
    /// Names a pool.
    type Account: Clone + PartialEq;
    /// Names a saga.
    type Saga: Copy + PartialEq;
    /// What the participant needs to speak about a saga.
    type Context: Clone;

    /// The pool of an account, to be changed.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    fn pool(&mut self, account: &Self::Account) -> Result<Option<&mut Pool<Self::Saga>>, Missing>;

    /// The pool of an account, to be looked at.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    fn peek(&mut self, account: &Self::Account) -> Result<Option<&Pool<Self::Saga>>, Missing>;

    /// The record of a saga.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    fn hold(&mut self, saga: Self::Saga) -> Result<Option<&HoldOf<Self>>, Missing>;

    /// Replaces or removes the record of a saga.
    fn set_hold(&mut self, saga: Self::Saga, hold: Option<HoldOf<Self>>);

    /// Says a word about a saga to whoever comes next.
    fn say(&mut self, saga: Self::Saga, context: &Self::Context, word: Word<Self::Account>);

    /// Answers a caller that wanted to take at once.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    fn answer(&mut self, request: RequestId, account: &Self::Account, refusal: Option<Refusal>) -> Result<(), Missing>;

    /// Answers a caller that wanted to read; the pool shows what it may see.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    fn show(&mut self, request: RequestId, account: &Self::Account) -> Result<(), Missing>;

    /// Notes something for the metrics.
    fn note(&mut self, what: &'static str);

    /// The longest queue a pool may have.
    fn parked_max(&self) -> usize;
}

type ClaimOf<L> = Claim<<L as Ledger>::Account>;
type TicketOf<L> = Ticket<<L as Ledger>::Saga>;

enum Verdict<A> {
    Granted,
    Parked,
    Refused(A, Refusal),
}

/// A saga asks for all of `claims` (each pool at most once) or nothing.
///
/// # Errors
/// [`Missing`], handed on.
pub fn request<L: Ledger>(
    ledger: &mut L,
    saga: L::Saga,
    context: &L::Context,
    mut claims: Vec<ClaimOf<L>>,
) -> Result<(), Missing> {
    match ledger.hold(saga)? {
        None => {}
        Some(Hold::Tombstone) => {
            ledger.set_hold(saga, None);
            ledger.say(saga, context, Word::Withdrawn);
            return Ok(());
        }
        // Asked before: a request is heard once, but being asked again must not hurt.
        Some(_) => return Ok(()),
    }
    match arrive(ledger, Ticket::Saga(saga), &claims)? {
        Verdict::Granted => {
            hold_all(ledger, &mut claims)?;
            ledger.set_hold(saga, Some(Hold::Held { claims }));
            ledger.say(saga, context, Word::Held);
        }
        Verdict::Parked => {
            ledger.note("parked");
            ledger.set_hold(saga, Some(Hold::Parked { claims, context: context.clone() }));
        }
        Verdict::Refused(account, refusal) => {
            ledger.set_hold(saga, Some(Hold::Refused));
            ledger.say(saga, context, Word::Refused { account, refusal });
        }
    }
    Ok(())
}

/// Somebody before this participant said no: the saga will never ask here.
///
/// # Errors
/// [`Missing`], handed on.
pub fn bar<L: Ledger>(ledger: &mut L, saga: L::Saga, context: &L::Context) -> Result<(), Missing> {
    let next = match ledger.hold(saga)? {
        None => Some(Hold::Barred),
        Some(Hold::Tombstone) => None,
        Some(_) => return Ok(()),
    };
    ledger.set_hold(saga, next);
    ledger.say(saga, context, Word::Withdrawn);
    Ok(())
}

/// The saga was decided for: what it holds is taken. `claims` is what it asked for, in case the hold was lost.
///
/// # Errors
/// [`Missing`], handed on.
pub fn commit<L: Ledger>(ledger: &mut L, saga: L::Saga, claims: Vec<ClaimOf<L>>) -> Result<(), Missing> {
    let held = match ledger.hold(saga)? {
        Some(Hold::Held { claims }) => Some(claims.clone()),
        Some(Hold::Parked { claims, .. }) => {
            let claims = claims.clone();
            leave_queues(ledger, Ticket::Saga(saga), &claims)?;
            None
        }
        _ => None,
    };
    if held.is_none() {
        // The decision stands whatever this participant remembers of it.
        ledger.note("anomaly");
    }
    let had_hold = held.is_some();
    let claims = held.unwrap_or(claims);
    for claim in &claims {
        if let Some(pool) = ledger.pool(&claim.account)? {
            if had_hold {
                pool.release(claim.quantity, claim.generation);
            }
            if !pool.take(claim.quantity) {
                ledger.note("shortfall");
            }
        }
    }
    ledger.set_hold(saga, None);
    ledger.note("committed");
    wake(ledger, &claims)
}

/// The saga was decided against: whatever it has here is undone. Cannot fail, and is exempt from every bound.
///
/// # Errors
/// [`Missing`], handed on.
pub fn release<L: Ledger>(ledger: &mut L, saga: L::Saga, context: &L::Context) -> Result<(), Missing> {
    match ledger.hold(saga)? {
        None => {
            ledger.note("tombstone");
            ledger.set_hold(saga, Some(Hold::Tombstone));
            Ok(())
        }
        Some(Hold::Tombstone) => Ok(()),
        Some(Hold::Refused | Hold::Barred) => {
            ledger.set_hold(saga, None);
            Ok(())
        }
        Some(Hold::Held { claims }) => {
            let claims = claims.clone();
            for claim in &claims {
                if let Some(pool) = ledger.pool(&claim.account)? {
                    pool.release(claim.quantity, claim.generation);
                }
            }
            ledger.set_hold(saga, None);
            ledger.note("released");
            wake(ledger, &claims)
        }
        Some(Hold::Parked { claims, .. }) => {
            let claims = claims.clone();
            leave_queues(ledger, Ticket::Saga(saga), &claims)?;
            ledger.set_hold(saga, None);
            ledger.note("unparked");
            ledger.say(saga, context, Word::Withdrawn);
            wake(ledger, &claims)
        }
    }
}

/// A caller takes from one pool at once, or waits in its queue like a saga.
///
/// # Errors
/// [`Missing`], handed on.
pub fn take<L: Ledger>(ledger: &mut L, request: RequestId, account: &L::Account, quantity: u64) -> Result<(), Missing> {
    let claim = Claim::new(account.clone(), quantity);
    match arrive(ledger, Ticket::Direct(request), std::slice::from_ref(&claim))? {
        Verdict::Granted => {
            if let Some(pool) = ledger.pool(account)? {
                pool.take(quantity);
            }
            // Nobody stands in the queue, or it would not have been granted: there is nobody to wake.
            ledger.answer(request, account, None)
        }
        Verdict::Parked => {
            ledger.note("parked");
            Ok(())
        }
        Verdict::Refused(account, refusal) => ledger.answer(request, &account, Some(refusal)),
    }
}

/// A caller adds to a pool: some who wait may have what they want now.
///
/// # Errors
/// [`Missing`], handed on.
pub fn added<L: Ledger>(ledger: &mut L, account: &L::Account) -> Result<(), Missing> {
    wake(ledger, &[Claim::new(account.clone(), 0)])
}

/// A caller wants to read: it is shown the pool at once, or when the holds that are there now are gone.
///
/// # Errors
/// [`Missing`], handed on.
pub fn read<L: Ledger>(ledger: &mut L, request: RequestId, account: &L::Account) -> Result<(), Missing> {
    if ledger.peek(account)?.is_none_or(|pool| !pool.has_holds()) {
        return ledger.show(request, account);
    }
    if let Some(pool) = ledger.pool(account)? {
        pool.read(request);
    }
    Ok(())
}

/// The patience of a caller is over. If it still waits, to take or to read, it does so no longer and is told so.
///
/// # Errors
/// [`Missing`], handed on.
pub fn expire<L: Ledger>(ledger: &mut L, request: RequestId, account: &L::Account) -> Result<(), Missing> {
    let Some(pool) = ledger.pool(account)? else {
        return Ok(());
    };
    if pool.forget_reader(request) {
        return ledger.answer(request, account, Some(Refusal::Expired));
    }
    if pool.unpark(&Ticket::Direct(request)) {
        ledger.note("unparked");
        ledger.answer(request, account, Some(Refusal::Expired))?;
        return wake(ledger, &[Claim::new(account.clone(), 0)]);
    }
    Ok(())
}

/// A newcomer: served if it fits and overtakes nobody who wants the same, refused if it never fits, else parked.
fn arrive<L: Ledger>(
    ledger: &mut L,
    ticket: TicketOf<L>,
    claims: &[ClaimOf<L>],
) -> Result<Verdict<L::Account>, Missing> {
    let parked_max = ledger.parked_max();
    let (mut fits, mut crowded) = (true, None);
    for claim in claims {
        let Some(pool) = ledger.peek(&claim.account)? else {
            return Ok(Verdict::Refused(claim.account.clone(), Refusal::Unknown));
        };
        if pool.never_fits(claim.quantity) {
            return Ok(Verdict::Refused(claim.account.clone(), Refusal::Short));
        }
        fits &= pool.parked().is_empty() && pool.fits(claim.quantity);
        if pool.parked().len() >= parked_max {
            crowded = Some(claim.account.clone());
        }
    }
    if fits {
        return Ok(Verdict::Granted);
    }
    if let Some(account) = crowded {
        return Ok(Verdict::Refused(account, Refusal::Busy));
    }
    for claim in claims {
        if let Some(pool) = ledger.pool(&claim.account)? {
            pool.park(ticket, claim.quantity);
        }
    }
    Ok(Verdict::Parked)
}

fn hold_all<L: Ledger>(ledger: &mut L, claims: &mut [ClaimOf<L>]) -> Result<(), Missing> {
    for claim in claims {
        if let Some(pool) = ledger.pool(&claim.account)? {
            claim.generation = pool.hold(claim.quantity);
        }
    }
    Ok(())
}

fn leave_queues<L: Ledger>(ledger: &mut L, ticket: TicketOf<L>, claims: &[ClaimOf<L>]) -> Result<(), Missing> {
    for claim in claims {
        if let Some(pool) = ledger.pool(&claim.account)? {
            pool.unpark(&ticket);
        }
    }
    Ok(())
}

/// After the pools of `claims` changed: serves or refuses whoever is first in their queues, for as long as that
/// changes anything, and answers readers. Each who waits is looked at only when it is first, so the work is in
/// proportion to who leaves, not to who waits.
fn wake<L: Ledger>(ledger: &mut L, claims: &[ClaimOf<L>]) -> Result<(), Missing> {
    let mut accounts: Vec<L::Account> = claims.iter().map(|claim| claim.account.clone()).collect();
    while let Some(account) = accounts.pop() {
        while let Some((ticket, claims)) = first_in_queue(ledger, &account)? {
            let verdict = judge(ledger, &ticket, &claims)?;
            if matches!(verdict, Verdict::Parked) {
                break;
            }
            leave_queues(ledger, ticket, &claims)?;
            let others = claims.iter().map(|claim| claim.account.clone()).filter(|other| *other != account);
            accounts.extend(others);
            ledger.note("unparked");
            serve(ledger, ticket, claims, verdict)?;
        }
        let readers = ledger.pool(&account)?.map(Pool::drained_readers).unwrap_or_default();
        for reader in readers {
            ledger.show(reader, &account)?;
        }
    }
    Ok(())
}

type Queued<L> = Option<(TicketOf<L>, Vec<ClaimOf<L>>)>;

fn first_in_queue<L: Ledger>(ledger: &mut L, account: &L::Account) -> Result<Queued<L>, Missing> {
    let Some(first) = ledger.peek(account)?.and_then(|pool| pool.parked().front().copied()) else {
        return Ok(None);
    };
    let claims = match first.ticket {
        Ticket::Direct(_) => vec![Claim::new(account.clone(), first.quantity)],
        Ticket::Saga(saga) => match ledger.hold(saga)? {
            Some(Hold::Parked { claims, .. }) => claims.clone(),
            // A place without a record is nobody's: give it up.
            _ => vec![Claim::new(account.clone(), u64::MAX)],
        },
    };
    Ok(Some((first.ticket, claims)))
}

/// What is to become of one who is first in a queue.
fn judge<L: Ledger>(
    ledger: &mut L,
    ticket: &TicketOf<L>,
    claims: &[ClaimOf<L>],
) -> Result<Verdict<L::Account>, Missing> {
    let mut served = true;
    for claim in claims {
        let Some(pool) = ledger.peek(&claim.account)? else {
            return Ok(Verdict::Refused(claim.account.clone(), Refusal::Unknown));
        };
        if pool.never_fits(claim.quantity) {
            return Ok(Verdict::Refused(claim.account.clone(), Refusal::Short));
        }
        served &= pool.is_first(ticket) && pool.fits(claim.quantity);
    }
    Ok(if served { Verdict::Granted } else { Verdict::Parked })
}

fn serve<L: Ledger>(
    ledger: &mut L,
    ticket: TicketOf<L>,
    mut claims: Vec<ClaimOf<L>>,
    verdict: Verdict<L::Account>,
) -> Result<(), Missing> {
    match (ticket, verdict) {
        (_, Verdict::Parked) => Ok(()),
        (Ticket::Direct(request), Verdict::Granted) => {
            for claim in &claims {
                if let Some(pool) = ledger.pool(&claim.account)? {
                    pool.take(claim.quantity);
                }
                ledger.answer(request, &claim.account, None)?;
            }
            Ok(())
        }
        (Ticket::Direct(request), Verdict::Refused(account, refusal)) => {
            ledger.answer(request, &account, Some(refusal))
        }
        (Ticket::Saga(saga), verdict) => {
            let Some(Hold::Parked { context, .. }) = ledger.hold(saga)? else {
                return Ok(());
            };
            let context = context.clone();
            match verdict {
                Verdict::Granted => {
                    hold_all(ledger, &mut claims)?;
                    ledger.set_hold(saga, Some(Hold::Held { claims }));
                    ledger.say(saga, &context, Word::Held);
                }
                Verdict::Refused(account, refusal) => {
                    ledger.set_hold(saga, Some(Hold::Refused));
                    ledger.say(saga, &context, Word::Refused { account, refusal });
                }
                Verdict::Parked => {}
            }
            Ok(())
        }
    }
}
