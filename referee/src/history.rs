//! The history of a run: every operation of every client, with when it began and ended and what became of it.
//!
//! It is a file of lines, each a JSON object, of which the first says what was there before the first operation. The
//! format is described in `docs/referee.md`; [`entry`] has its types.
//!
//! ```text
//!  workers ── batches of entries ──▶ recorder's thread ──▶ FILE ──▶ read() ──▶ History ──▶ the referee
//! ```

#[cfg(test)]
pub(crate) mod build;
pub mod entry;
mod read;
mod recorder;

pub use {
    entry::{Entry, Fault, FaultKind, Final, Kind, OrderFound, Preface},
    read::{Account, Action, History, Known, Names, Operation, OrderRead, read, read_state},
    recorder::{Recorder, Scribe},
};

#[cfg(test)]
mod tests;
