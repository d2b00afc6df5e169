//! The page: whole, self-contained, and safe whatever is in a history.

use super::*;
use crate::{
    Outcome::{Refused, Unknown},
    history::{Fault, FaultKind, build::Build},
    judge,
};

fn wrong() -> (History, Verdict) {
    let evil = "<script>alert(1)</script>";
    let mut build = Build::new()
        .add("0", 3, (1_000_000, 40_000_000))
        .find("0", 10, (50_000_000, 60_000_000))
        .take_ended(11, (10_000_000, 20_000_000), Refused, evil)
        .take_ended(2, (10_000_000, 90_000_000), Unknown, "cut-off")
        .ends([13, 10], 10, &[]);
    let fault = |fault, at| Fault { fault, at, target: evil.to_owned(), detail: evil.to_owned() };
    build.history.faults = vec![fault(FaultKind::Killed, 20_000_000), fault(FaultKind::Restarted, 30_000_000)];
    build.history.preface.url = evil.to_owned();
    let verdict = judge(&build.history);
    (build.history, verdict)
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_names_what_was_found() {
    let (history, verdict) = wrong();
    let page = page(&history, &verdict);
    for outside in ["src=", "href=", "@import", "url(", "fetch("] {
        assert!(!page.contains(outside), "{outside}");
    }
    for part in
        ["1 anomaly", "stale read", "read item 0 as 10", "Durability", "Linearizability", "server killed", "</html>"]
    {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn nothing_in_a_history_becomes_markup() {
    let (history, verdict) = wrong();
    let page = page(&history, &verdict);
    assert!(!page.contains("<script>alert"), "escaped everywhere");
    assert_eq!(page.matches("<script").count(), 2);
}

#[test]
fn every_element_that_is_opened_is_closed() {
    let (history, verdict) = wrong();
    let page = page(&history, &verdict);
    for element in
        ["main", "header", "section", "table", "tr", "figure", "svg", "details", "dl", "ol", "ul", "div", "g"]
    {
        let opened = page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
        assert!(opened > 0, "{element}");
    }
}

#[test]
fn an_empty_history_has_a_page_too() {
    let history = Build::new().ends([10, 10], 10, &[]).history;
    let verdict = judge(&history);
    let page = page(&history, &verdict);
    assert!(page.contains("<h1>Clean</h1>") && !page.contains("NaN"), "{page}");
}
