//! What the black-box tests share: a server that can be started, killed and started again, a client, a typed shop, a
//! load that remembers every answer, and the audit.
//!
//! Nothing here knows how the server works inside: it is started as a process and asked over HTTP, as its users do.
//! Helpers panic with the server's own output where something is not as it must be, because a test can do no better.
//!
//! ```text
//!   Directory ──▶ Server ──▶ Client ──▶ Shop ──▶ Market + load ──▶ audit
//!   its data      process    HTTP       calls    what was asked     what is there
//!                                                and answered       must agree
//! ```

pub mod apart;
pub mod audit;
pub mod binary;
pub mod browser;
pub mod client;
pub mod collector;
pub mod damage;
pub mod exposition;
pub mod fixture;
pub mod fleet;
pub mod load;
pub mod market;
pub mod observers;
pub mod problem;
pub mod prometheus;
pub mod raw;
pub mod server;
pub mod shop;
pub mod small_disk;

pub use apart::Apart;
pub use audit::{audit, audit_apart};
pub use browser::Browser;
pub use client::{Answer, Client, NoAnswer};
pub use fixture::Fixture;
pub use fleet::Fleet;
pub use market::{Market, Placed};
pub use observers::Observers;
pub use problem::Problem;
pub use prometheus::Prometheus;
pub use server::{Exit, Server, Settings, Store};
pub use shop::{Item, Order, Outcome, Shop, User};
