//! What the compose files promise, tried in Docker: the shipped files, unchanged, on images made by `images.sh`, with
//! containers stopped, killed and started again under load.
//!
//! ```text
//!   Project ── docker compose up ──▶ containers ◀── docker kill / start ── a fault
//!      │                                 ▲
//!      └── the gateway's port ◀── Crowd (fifty users), Load (sagamart bench --url, audit at its end) and Watch (reads)
//! ```
//!
//! The binary in the images is the one that `SAGAMART_BIN` names, put in place of the Dockerfiles' compiling stage. They
//! never run at once: each needs the whole machine.

mod crowd;
mod docker;
mod faults;
mod files;
mod gateway;
mod load;
mod monitoring;
mod observer;
mod project;
mod secrets;
mod walk;
