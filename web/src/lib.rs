//! What every HTTP service shares, down to how a handler asks a partition of a service on the engine ([`call`], [`bulk`]).
//!
//! ```text
//!  socket ─▶ server::serve ─▶ metrics ─▶ route ─▶ Path<T>, Idempotency ─▶ handler ─▶ reply or Problem
//!            bounds, drain    by route            400 as a Problem
//! ```
//!
//! A service writes handlers that take [`Path`] and [`Idempotency`] and answer `Result<_, Problem>`, documents them
//! with `#[utoipa::path]` and the building blocks in [`openapi`], and hands out an `OpenApiRouter`. [`Site`] joins the
//! routers of one process with the routes that every process has (health, metrics, documents), and [`server::serve`]
//! puts it on a listener. `tests/http/toy.rs` is a whole service in miniature.

mod accept;
pub mod access;
pub mod audit;
pub mod browsers;
pub mod bulk;
pub mod call;
mod dialect;
mod exposition;
mod idempotency;
pub mod logs;
pub mod metrics;
pub mod openapi;
pub mod operator;
mod pages;
mod path;
pub mod problem;
mod rate;
mod readiness;
mod request_name;
pub mod server;
mod site;
mod trace_parent;
mod watched;

pub use access::{Access, Asker};
pub use audit::AuditLog;
pub use browsers::Browsers;
pub use dialect::Dialect;
pub use idempotency::{IDEMPOTENCY_KEY_CHARS_MAX, Idempotency, RequestKey, is_replayed};
pub use path::Path;
pub use problem::Problem;
pub use readiness::{Readiness, Report};
pub use request_name::{REQUEST_NAME_CHARS_MAX, RequestName};
pub use site::Site;
pub use trace_parent::{TraceParent, Traced};
