//! The pages that people see in a browser: `/`, and what each kind of problem means.
//!
//! They stand by themselves: style and script are in them, and a policy lets nothing else run, because they have to work behind any
//! gateway, and because what cannot be fetched cannot be replaced by somebody else. The script asks this shop and nobody else.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use utoipa::openapi::OpenApi;

use crate::{
    openapi::About,
    problem::{Kind, TYPE_PREFIX},
    readiness::Report,
};

use self::explorer::Group;

mod explorer;
#[cfg(test)]
mod tests;

const STYLE: &str = include_str!("pages/style.css");
const SCRIPT: &str = include_str!("pages/script.js");

/// Two links of a chain, in a colour that is seen on light and on dark.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' fill='none' \
                    stroke='%232f9e8f' stroke-width='4'%3E%3Crect x='3' y='10' width='16' height='12' rx='6'/%3E%3Crect \
                    x='13' y='10' width='16' height='12' rx='6'/%3E%3C/svg%3E";

/// Where a shop is said to be whose own name is not known.
const BASE: &str = "http://127.0.0.1:8000";

/// What every page is made with.
#[derive(Debug)]
pub(crate) struct Pages {
    about: About,
    policy: HeaderValue,
    routes: Vec<Group>,
}

impl Pages {
    pub(crate) fn new(about: About, document: &OpenApi) -> Self {
        // Maud writes both as they are, so these are the hashes of what the browser reads.
        let [style, script] = [STYLE, SCRIPT].map(|text| BASE64_STANDARD.encode(Sha256::digest(text)));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        );
        let policy = policy.try_into().expect("a policy is visible ASCII");
        let routes = about.tags.iter().map(|(tag, description)| Group::of(document, tag, description)).collect();
        Self { about, policy, routes }
    }

    /// What this is and what to do with it.
    pub(crate) fn index(&self, headers: &HeaderMap, report: &Report) -> Response {
        let About { name, description, example, steps, pages, .. } = &self.about;
        let body = html! {
            p.lead {
                (description)
                @if let Some((address, called)) = pages { " " a href=(address) { (called) } "." }
            }
            p.status {
                @if report.ready {
                    span.good { "●" } " Ready: requests are welcome."
                } @else {
                    span.bad { "●" } " Not ready:"
                    @for reason in &report.reasons { " " (reason) "." }
                }
                @for limit in &report.limits { " Limited: " (limit) "." }
                @if let Some(durability) = report.durability { " Durability: " (durability) "." }
                " (" a href="/readyz" { "/readyz" } ")"
            }
            @if !steps.is_empty() {
                h2 { "Try it" }
                p { "Press the buttons from the first to the last. Each answer fills in the names that the next steps need." }
                noscript { p { "The buttons need JavaScript; the commands below do not." } }
                (explorer::walk(steps))
            }
            @if let Some(example) = example {
                h2 { "The same in a terminal" }
                p { "Paste this; one click marks all of it." }
                pre id="example" tabindex="0" { (example.replace(BASE, &base(headers))) }
            }
            h2 { "All routes" }
            p {
                "Open one to try it. " a href="/openapi.json" { "/openapi.json" } " describes each in full, and "
                a href="/metrics" { "/metrics" } " is for Prometheus."
            }
            @for group in &self.routes { (group.markup()) }
            h2 { "When something fails" }
            p {
                "A failure is a JSON object (RFC 9457) that says what happened and whether anything was changed. "
                a href="/problems" { "All kinds of problems" } " are explained."
            }
        };
        self.page(name, &body)
    }

    /// All kinds of problems.
    pub(crate) fn problems(&self, kinds: &[&'static Kind]) -> Response {
        let body = html! {
            p.lead { "What can go wrong, and what then is the case. The body of every failure names its kind as its " code { "type" } "." }
            div.wide { table {
                thead { tr { th { "Status" } th { "Kind" } th { "In short" } } }
                tbody { @for kind in kinds { tr {
                    td { (kind.status().as_u16()) }
                    td { a href={ (TYPE_PREFIX) (kind.slug()) } { (kind.slug()) } }
                    td { (kind.title()) }
                } } }
            } }
        };
        self.page("Problems", &body)
    }

    /// One kind of problem.
    pub(crate) fn problem(&self, kind: &Kind) -> Response {
        let body = html! {
            p { code { (kind.status()) } }
            p.lead {
                // What stands between backticks is code.
                @for (index, part) in kind.explanation().split('`').enumerate() {
                    @if index % 2 == 1 { code { (part) } } @else { (part) }
                }
            }
            p { a href="/problems" { "All kinds of problems" } }
        };
        self.page(kind.title(), &body)
    }

    fn page(&self, title: &str, body: &Markup) -> Response {
        let About { name, version, .. } = &self.about;
        let is_index = title == *name;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) @if !is_index { " · " (name) } }
                    link rel="icon" href=(PreEscaped(ICON));
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    @if !is_index { nav { a href="/" { (name) } " / " a href="/problems" { "problems" } } }
                    main {
                        h1 { (title) @if is_index { " " small { (version) } } }
                        (body)
                    }
                    @if is_index { script { (PreEscaped(SCRIPT)) } }
                }
            }
        };
        let headers: [(HeaderName, HeaderValue); 4] = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (header::VARY, HeaderValue::from_static("accept")),
        ];
        (headers, page.into_string()).into_response()
    }
}

/// Where the client found this page, as far as it is safe to paste into a shell.
fn base(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = text("host");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_plain) {
        return BASE.to_owned();
    }
    let scheme = if text("x-forwarded-proto") == "https" { "https" } else { "http" };
    format!("{scheme}://{host}")
}
