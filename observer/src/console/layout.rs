//! What all pages have in common.

use axum::{
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};
use web::Problem;

use crate::shown::moment;

/// Nothing but the console's own style and script, and what it asks of this listener.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// Two links of a chain, as on the shop's own pages.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' fill='none' \
                    stroke='%232f9e8f' stroke-width='4'%3E%3Crect x='3' y='10' width='16' height='12' rx='6'/%3E%3Crect \
                    x='13' y='10' width='16' height='12' rx='6'/%3E%3C/svg%3E";

const PLACES: [(&str, &str); 3] = [("/console", "Now"), ("/console/checkouts", "Checkouts"), ("/", "API")];

/// A page.
pub(super) struct Page {
    /// What it is about.
    pub(super) title: String,
    /// The address in the navigation that it belongs to.
    pub(super) place: &'static str,
    pub(super) body: Markup,
}

/// No page, and why.
pub(super) struct Failed(Problem);

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl Page {
    pub(super) fn with_status(self, status: StatusCode) -> Response {
        let Self { title, place, body } = self;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · sagamart console" }
                    link rel="icon" href=(ICON);
                    link rel="stylesheet" href="/console/style.css";
                }
                body {
                    a.skip href="#main" { "To the content" }
                    nav aria-label="Console" {
                        strong { "sagamart" }
                        @for (address, name) in PLACES {
                            a href=(address) aria-current=[(address == place).then_some("page")] { (name) }
                        }
                    }
                    main id="main" { h1 { (title) } (body) }
                }
            }
        };
        let headers: [(HeaderName, &str); 4] = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (status, headers, page.into_string()).into_response()
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        self.with_status(StatusCode::OK)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let kind = problem.kind();
        let body = html! {
            p.bad role="alert" { (problem.detail()) }
            p { a href="/console/checkouts" { "Look for a checkout" } }
        };
        Page { title: kind.title().to_owned(), place: "", body }.with_status(kind.status())
    }
}

/// A moment in a table: without the year.
pub(super) fn when(at: u64) -> Markup {
    let whole = moment(at);
    let short = whole.get(5..23).unwrap_or(&whole).replace('T', " ");
    html! { time datetime=(whole) title=(whole) { (short) } }
}

/// Where a checkout stands, in a colour and in a word.
pub(super) fn badge(state: &str) -> Markup {
    html! { span class={ "badge " (state) } { (state) } }
}

pub(super) fn order_link(order: &str) -> Markup {
    html! { a.id href={ "/console/orders/" (order) } { (order) } }
}

pub(super) fn item_link(item: &str) -> Markup {
    html! { a.id href={ "/console/items/" (item) } { (item) } }
}

pub(super) fn user_link(user: &str) -> Markup {
    html! { a.id href={ "/console/users/" (user) } { (user) } }
}
