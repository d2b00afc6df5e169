//! What all pages have in common.

use std::collections::BTreeMap;

use axum::{
    http::{HeaderName, StatusCode, header},
    response::{self, IntoResponse},
};
use maud::{DOCTYPE, Markup, html};
use utoipa::{
    IntoResponses,
    openapi::{
        ContentBuilder, RefOr, Response, ResponseBuilder,
        schema::{ObjectBuilder, Type},
    },
};
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

const PLACES: [(&str, &str); 4] =
    [("/console", "Now"), ("/console/checkouts", "Checkouts"), ("/console/proof", "Proof"), ("/", "API")];

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

/// What any page may be instead, in the document: 400 malformed, 500 internal, 503 unavailable.
pub(super) struct NoPage;

/// What a page about something may be instead, in the document: 404.
pub(super) struct NothingSuch;

fn pages_instead(statuses: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let page = |why: &str| {
        let body = ContentBuilder::new().schema(Some(text())).build();
        ResponseBuilder::new().description(why).content("text/html", body).build()
    };
    statuses.iter().map(|(status, why)| ((*status).to_owned(), page(why).into())).collect()
}

impl IntoResponses for NoPage {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        pages_instead(&[
            ("400", "A page that says what is malformed."),
            ("500", "A page that says that the service met a defect of its own."),
            ("503", "A page that says that it is not to be had now."),
        ])
    }
}

impl IntoResponses for NothingSuch {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        pages_instead(&[("404", "A page that says that there is no such thing.")])
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl Page {
    pub(super) fn with_status(self, status: StatusCode) -> response::Response {
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
    fn into_response(self) -> response::Response {
        self.with_status(StatusCode::OK)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> response::Response {
        let Self(problem) = self;
        let kind = problem.kind();
        let body = html! {
            p.bad role="alert" { (problem.detail()) }
            p { a href="/console/checkouts" { "Look for a checkout" } }
        };
        Page { title: kind.title().to_owned(), place: "", body }.with_status(kind.status())
    }
}

/// What is shown anew with every event, unless that is paused.
pub(super) fn live(body: &Markup) -> Markup {
    html! {
        p.state {
            span id="state" role="status" {} " "
            button.quiet id="pause" type="button" aria-pressed="false" hidden { "Pause" }
        }
        div id="live" { (body) }
        script src="/console/script.js" defer {}
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
