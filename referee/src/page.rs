//! A verdict as one HTML page that needs nothing else: for a browser, a colleague, or a build's artifacts.
//!
//! Everything is drawn here, as markup and inline SVG, so the page can be read without scripts; the little script only
//! shows the values under the pointer. Whatever comes from a server or a file is escaped.

mod chart;
mod findings;
mod html;
mod timeline;

use std::{fmt::Write as _, path::Path};

use chart::{Chart, Series};
use html::{Escaped, number};
use timeline::{OfKind, Timeline};

use crate::{Error, Outcome, Result, history::History, judge::Verdict};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

const RATES: [Series; 3] = [
    Series { class: "succeeded", name: "succeeded" },
    Series { class: "refused", name: "refused" },
    Series { class: "unknown", name: "unknown" },
];
const LATENCIES: [Series; 3] = [
    Series { class: "p50", name: "median" },
    Series { class: "p99", name: "99 %" },
    Series { class: "max", name: "slowest" },
];

/// Writes the page.
///
/// # Errors
/// [`Error::Io`].
pub fn write(file: &Path, history: &History, verdict: &Verdict) -> Result<()> {
    std::fs::write(file, page(history, verdict)).map_err(Error::io(format!("cannot write {}", file.display())))
}

fn page(history: &History, verdict: &Verdict) -> String {
    let timeline = Timeline::of(history);
    let (class, headline) = headline(verdict);
    let mut page = String::with_capacity(1 << 17);
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{} – referee's report</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><style>{STYLE}</style></head><body><main>",
        Escaped(&headline)
    );
    let url = Escaped(&history.preface.url);
    let _ = write!(
        page,
        r#"<header class="{class}"><p class="eyebrow">Referee’s report</p><h1>{}</h1><p class="lead">{}</p><p class="where">{url}</p></header>"#,
        Escaped(&headline),
        Escaped(lead(verdict, &timeline)),
    );
    figures(&mut page, history, verdict, &timeline);
    checks(&mut page, verdict);
    findings::write(&mut page, verdict);
    charts(&mut page, &timeline);
    outcomes(&mut page, &timeline);
    environment(&mut page, history, verdict);
    let _ = write!(page, "</main>{}<script>{SCRIPT}</script></body></html>", data(&timeline));
    page.push('\n');
    page
}

fn headline(verdict: &Verdict) -> (&'static str, String) {
    match (verdict.findings_count, verdict.undecided()) {
        (0, 0) => ("clean", "Clean".to_owned()),
        (0, _) => ("open", "Nothing wrong found, but not everything decided".to_owned()),
        (1, _) => ("wrong", "1 anomaly".to_owned()),
        (count, _) => ("wrong", format!("{} anomalies", indicatif::HumanCount(count))),
    }
}

fn lead(verdict: &Verdict, timeline: &Timeline) -> String {
    let faults = match timeline.outages.len() {
        0 => String::new(),
        1 => ", through 1 fault,".to_owned(),
        count => format!(", through {count} faults,"),
    };
    let count = indicatif::HumanCount(verdict.operations);
    let what =
        if verdict.is_clean() { "agree with each other and with" } else { "do not agree with each other or with" };
    format!("{count} operations in {} s{faults} {what} the state they ended in.", number(timeline.seconds))
}

fn figures(page: &mut String, history: &History, verdict: &Verdict, timeline: &Timeline) {
    page.push_str(r#"<dl class="figures">"#);
    let mut figure = |name: &str, value: String| {
        let _ = write!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(value));
    };
    figure("operations", indicatif::HumanCount(verdict.operations).to_string());
    figure("paid orders", indicatif::HumanCount(verdict.sales).to_string());
    figure("per second", number(verdict.operations as f64 / timeline.seconds));
    figure("unknown outcomes", indicatif::HumanCount(timeline.tally.of(Outcome::Unknown)).to_string());
    figure("faults", timeline.outages.len().to_string());
    let durability = history.preface.durability.clone();
    page.push_str("</dl>");
    let _ = write!(
        page,
        r#"<p class="durability"><b>Durability, as the server states it:</b> {}</p>"#,
        Escaped(durability.unwrap_or_else(|| "it does not say".to_owned()))
    );
}

fn checks(page: &mut String, verdict: &Verdict) {
    page.push_str(r#"<section aria-labelledby="checks"><h2 id="checks">What was checked</h2><ol class="checks">"#);
    for check in &verdict.checks {
        let (class, word) = match (check.anomalies, check.undecided) {
            (0, 0) => ("clean", "clean".to_owned()),
            (0, undecided) => ("open", format!("{} not decided", indicatif::HumanCount(undecided))),
            (1, _) => ("wrong", "1 anomaly".to_owned()),
            (anomalies, _) => ("wrong", format!("{} anomalies", indicatif::HumanCount(anomalies))),
        };
        let _ = write!(
            page,
            r#"<li class="{class}"><h3>{} <span class="badge">{word}</span></h3><p>{}</p><p class="method">{}</p><p class="count">{} {} decided{}</p></li>"#,
            Escaped(&check.name),
            Escaped(&check.claim),
            Escaped(&check.method),
            indicatif::HumanCount(check.decided),
            Escaped(&check.unit),
            if check.undecided > 0 {
                format!(", {} not", indicatif::HumanCount(check.undecided))
            } else {
                String::new()
            },
        );
    }
    page.push_str("</ol></section>");
}

fn charts(page: &mut String, timeline: &Timeline) {
    page.push_str(r#"<section aria-labelledby="time"><h2 id="time">Over time</h2>"#);
    let rates = Chart {
        id: "throughput",
        title: "Answers per second",
        unit: "answers per second",
        series: &RATES,
        points: timeline.buckets.iter().map(|bucket| Some(bucket.rates.to_vec())).collect(),
        stacked: true,
    };
    let latencies = Chart {
        id: "latency",
        title: "Latency",
        unit: "milliseconds, logarithmic",
        series: &LATENCIES,
        points: timeline.buckets.iter().map(|bucket| bucket.latencies_ms.map(|values| values.to_vec())).collect(),
        stacked: false,
    };
    page.push_str(&rates.html(timeline));
    page.push_str(&latencies.html(timeline));
    if !timeline.outages.is_empty() {
        page.push_str("<details><summary>Faults</summary><table><thead><tr><th scope=\"col\">from</th><th scope=\"col\">to</th><th scope=\"col\">what</th></tr></thead><tbody>");
        for outage in &timeline.outages {
            let to = outage.to_seconds.map_or_else(|| "–".to_owned(), |to| format!("{to:.2} s"));
            let _ = write!(
                page,
                "<tr><td>{:.2} s</td><td>{to}</td><td>{}</td></tr>",
                outage.from_seconds,
                Escaped(&outage.text)
            );
        }
        page.push_str("</tbody></table></details>");
    }
    page.push_str("<details><summary>The same in figures</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\">from</th>");
    for series in RATES.iter().chain(&LATENCIES) {
        let _ = write!(page, "<th scope=\"col\">{}</th>", series.name);
    }
    page.push_str("</tr></thead><tbody>");
    for (place, bucket) in timeline.buckets.iter().enumerate() {
        let _ = write!(page, "<tr><th scope=\"row\">{} s</th>", number(place as f64 * timeline.bucket_seconds));
        bucket.rates.iter().for_each(|rate| page.push_str(&format!("<td>{}</td>", number(*rate))));
        let latencies = bucket.latencies_ms.map(|values| values.map(|value| format!("{} ms", number(value))));
        let latencies = latencies.unwrap_or_else(|| ["–".to_owned(), "–".to_owned(), "–".to_owned()]);
        latencies.iter().for_each(|latency| page.push_str(&format!("<td>{latency}</td>")));
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div></details></section>");
}

fn outcomes(page: &mut String, timeline: &Timeline) {
    page.push_str(r#"<section aria-labelledby="outcomes"><h2 id="outcomes">Outcomes</h2><div class="scroll"><table class="kinds"><thead><tr><th scope="col">operation</th><th scope="col">count</th><th scope="col">succeeded</th><th scope="col">refused</th><th scope="col">unknown</th><th scope="col">median</th><th scope="col">99 %</th></tr></thead><tbody>"#);
    for (kind, OfKind { tally, latencies_ms }) in &timeline.kinds {
        let _ = write!(page, "<tr><th scope=\"row\">{kind}</th><td>{}</td>", indicatif::HumanCount(tally.total()));
        for outcome in Outcome::ALL {
            let _ = write!(page, "<td>{}</td>", indicatif::HumanCount(tally.of(outcome)));
        }
        let [median, p99, _] = latencies_ms.unwrap_or_default();
        let _ = write!(page, "<td>{} ms</td><td>{} ms</td></tr>", number(median), number(p99));
    }
    page.push_str("</tbody></table></div>");
    let most = [Outcome::Refused, Outcome::Unknown].into_iter().flat_map(|outcome| timeline.tally.reasons(outcome));
    let most = most.map(|(_, count)| count).max().unwrap_or(0).max(1);
    page.push_str(r#"<div class="reasons">"#);
    for (outcome, title) in [(Outcome::Refused, "Refused, by reason"), (Outcome::Unknown, "Unknown, by cause")] {
        let reasons = timeline.tally.reasons(outcome);
        let _ = write!(page, r#"<div class="{}"><h3>{title}</h3>"#, outcome.name());
        if reasons.is_empty() {
            page.push_str("<p>none</p></div>");
            continue;
        }
        page.push_str("<dl>");
        for (reason, count) in reasons {
            let share = count as f64 * 100.0 / most as f64;
            let _ = write!(
                page,
                r#"<dt>{}</dt><dd><i style="width:{share:.1}%" aria-hidden="true"></i><span>{}</span></dd>"#,
                Escaped(reason),
                indicatif::HumanCount(count)
            );
        }
        page.push_str("</dl></div>");
    }
    page.push_str("</div></section>");
}

fn environment(page: &mut String, history: &History, verdict: &Verdict) {
    page.push_str(
        r#"<section aria-labelledby="environment"><h2 id="environment">Environment</h2><dl class="environment">"#,
    );
    let preface = &history.preface;
    let mut say = |name: &str, value: String| {
        let _ = write!(page, "<div><dt>{}</dt><dd>{}</dd></div>", Escaped(name), Escaped(value));
    };
    say("server", preface.url.clone());
    say("started", html::utc(preface.started_unix_seconds));
    let machine = &preface.machine;
    say("load from", format!("{} cores, {}, {}", machine.cores, machine.operating_system, machine.architecture));
    for (name, value) in &preface.load {
        say(name, value.clone());
    }
    say("items", format!("{}, with a stock of {} each, at {}", preface.items, preface.stock, preface.price));
    say("users", format!("{}, with a credit of {} each", preface.users, preface.credit));
    say("recorded by", format!("sagamart {}", preface.version));
    page.push_str("</dl>");
    for note in &verdict.notes {
        let _ = write!(page, r#"<p class="note">{}</p>"#, Escaped(note));
    }
    page.push_str(
        "<p class=\"note\">A clean verdict is one about this run: nothing in it contradicts the claims above. It does \
         not prove that another run could not. Reads decide what is serializable, so the more were made, the more it \
         says; flushing is tested by pulling the plug, not by killing a process.</p></section>",
    );
}

/// What the script shows under the pointer.
fn data(timeline: &Timeline) -> String {
    let buckets: Vec<_> = timeline.buckets.iter().map(|bucket| (bucket.rates, bucket.latencies_ms)).collect();
    let data = serde_json::json!({ "width": timeline.bucket_seconds, "seconds": timeline.seconds, "buckets": buckets });
    // Numbers only, so nothing in it can end the element.
    format!("<script type=\"application/json\" id=\"data\">{data}</script>")
}

#[cfg(test)]
mod tests;
