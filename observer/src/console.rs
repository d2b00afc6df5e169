//! The console: what the history knows, as pages for people.
//!
//! Pages are rendered here and need no script; what users chose is escaped by `maud`, and a policy lets the browser load nothing
//! but the style and the script of the console itself.

use std::sync::Arc;

use axum::http::{HeaderName, header};
use contract::Books;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{history::History, proof::Prover};

mod account;
mod find;
mod layout;
mod live;
mod order;
mod plot;
mod proof;
mod sequence;

/// What the pages are made from.
struct Console {
    history: History,
    books: Arc<dyn Books>,
    prover: Prover,
}

/// The pages of an operator.
pub(crate) fn console(history: History, books: Arc<dyn Books>, prover: Prover) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(live::show))
        .routes(routes!(find::show))
        .routes(routes!(proof::show))
        .routes(routes!(order::show))
        .routes(routes!(account::show_item))
        .routes(routes!(account::show_user))
        .routes(routes!(style))
        .routes(routes!(script))
        .with_state(Arc::new(Console { history, books, prover }))
}

/// A file of the console, with what it is.
type File = ([(HeaderName, &'static str); 2], &'static str);

/// The style of all pages.
#[utoipa::path(
    get, path = "/console/style.css", tag = "console",
    responses((status = 200, description = "A style sheet.", body = String, content_type = "text/css")),
)]
async fn style() -> File {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, include_str!("console/style.css"))
}

/// The script of the pages that go with what happens.
#[utoipa::path(
    get, path = "/console/script.js", tag = "console",
    responses((status = 200, description = "A script.", body = String, content_type = "text/javascript")),
)]
async fn script() -> File {
    let headers = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, include_str!("console/script.js"))
}
