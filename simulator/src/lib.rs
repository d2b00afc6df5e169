//! The proof of the protocol on the steps that ship.
//!
//! ```text
//!   check ── stateright: every schedule of a small plan ──┐
//!                                                         ▼
//!   tests ── proptest: random schedules ──────────▶ Market ── steps of order, stock and payment (the real ones)
//!                                                         │
//!                                  History ◀── replies ───┤
//!                                     │                   └── at rest: nothing left over, nothing lost
//!                                     ▼
//!                   Shop, the reference: could one bookkeeper, one operation at a time, have given these replies?
//! ```
//!
//! A [`Market`] is the whole shop without a runtime: partitions with their records, logs and cursors, and what may
//! happen to them — an event consumed, a message repeated, a deadline, a lost tail, another writer. A [`Plan`] says
//! what is in it and which of these may happen. A [`Mutant`] takes away one guard of the protocol, to show that its
//! absence is noticed.

#![expect(
    clippy::indexing_slicing,
    reason = "an index that is out of range is a mistake in this crate, and has to stop the run"
)]

mod attempt;
pub mod check;
mod history;
mod market;
mod mutant;
mod plan;
mod shared;
mod shop;
pub mod simulation;

pub use contract::Service;
pub use history::{Entry, History, Judgement};
pub use market::{Action, Address, Market};
pub use mutant::Mutant;
pub use plan::{Partitions, Plan};
pub use shop::{Operation, Order, Outcome, Shop};
