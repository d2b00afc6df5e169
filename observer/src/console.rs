//! The console: what the history knows, as pages for people.
//!
//! Pages are rendered here and need no script; what users chose is escaped by `maud`, and a policy lets the browser load nothing
//! but the style and the script of the console itself.

use std::sync::Arc;

use axum::{http::header, routing::get};
use contract::Books;
use saga::Handle;
use utoipa_axum::router::OpenApiRouter;

use crate::{history::History, participant::Observer};

mod account;
mod find;
mod layout;
mod live;
mod order;
mod plot;
mod sequence;

/// What the pages are made from.
struct Console {
    history: History,
    books: Arc<dyn Books>,
}

/// The pages of an operator.
pub(crate) fn console(handle: Handle<Observer>, books: Arc<dyn Books>) -> OpenApiRouter {
    let style = include_str!("console/style.css");
    let style = ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], style);
    let script = include_str!("console/script.js");
    let script =
        ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], script);
    OpenApiRouter::new()
        .route("/console", get(live::show))
        .route("/console/checkouts", get(find::show))
        .route("/console/orders/{order_id}", get(order::show))
        .route("/console/items/{item_id}", get(account::show_item))
        .route("/console/users/{user_id}", get(account::show_user))
        .route("/console/style.css", get(async move || style))
        .route("/console/script.js", get(async move || script))
        .with_state(Arc::new(Console { history: History(handle), books }))
}
