//! The benchmark of a shop with the order/stock/payment API: load, audit and report.
//!
//! [`run()`] prepares data through the public API, measures **first-time checkouts** (no order is ever sent twice), and
//! ends with an audit that compares everything the shop keeps with what it answered. It works with any server that has
//! this API. What its figures mean and how they are taken is in this crate's `README.md`.
//!
//! ```text
//!  run ──▶ prepare ──▶ load (closed or open loop) ──▶ audit ──▶ report (table, JSON)
//!           │             │    │                       │
//!           api           │    baseline ── process ──▶ bare        (servers to compare with)
//!           └──────────── client ──────────────────────┘
//! ```
//!
//! With a mixed load ([`MixOptions`]), or a history of any load, the [`referee`] judges what clients saw:
//!
//! ```text
//!  run_any ──▶ mix ┆ faults ──▶ referee::history ──▶ referee::judge ──▶ table, page (HTML)
//!                                        check ──────────┘            (`sagamart audit`)
//! ```

mod api;
pub mod audit;
pub mod bare;
mod baseline;
mod check;
pub mod client;
mod error;
mod faults;
mod final_state;
mod flags;
pub mod latency;
pub mod load;
mod mix;
mod mixed;
mod options;
pub mod outcome;
pub mod prepare;
mod process;
pub mod progress;
pub mod report;
mod run;
mod subject;
mod threads;
mod witness;

pub use {
    check::{CheckOptions, check},
    error::{Error, Result},
    faults::{FaultOptions, Name as SignalName, Target as FaultTarget},
    mix::MixOptions,
    options::{Options, URL_DEFAULT},
    report::Report,
    run::{run, run_any},
};
