//! The anomalies, each with its operations drawn over time.

use std::fmt::Write as _;

use super::html::{Escaped, number};
use crate::judge::{Finding, Shown, Verdict};

const WIDTH: f64 = 300.0;
const ROW: f64 = 14.0;

pub(super) fn write(page: &mut String, verdict: &Verdict) {
    if verdict.is_clean() {
        return;
    }
    page.push_str(r#"<section aria-labelledby="findings"><h2 id="findings">Anomalies</h2><ul class="kinds">"#);
    for (kind, count) in &verdict.findings_by_kind {
        let (name, cause) = (Escaped(kind.name().replace('_', " ")), Escaped(kind.usual_cause()));
        let _ = write!(page, r#"<li><b>{}</b> {name}: usually {cause}</li>"#, indicatif::HumanCount(*count));
    }
    page.push_str("</ul>");
    let shown = verdict.findings.len() as u64;
    if shown < verdict.findings_count {
        let _ = write!(page, "<p>The first of each kind, {shown} in all:</p>");
    }
    for (place, finding) in verdict.findings.iter().enumerate() {
        // Open as many as a reader takes in.
        let open = if place < 3 { " open" } else { "" };
        let _ = write!(
            page,
            r#"<details class="finding"{open}><summary><span class="badge">{}</span> <b>{}</b> {}</summary>"#,
            Escaped(finding.kind.name().replace('_', " ")),
            Escaped(&finding.subject),
            Escaped(&finding.detail)
        );
        operations(page, finding);
        page.push_str("</details>");
    }
    page.push_str("</section>");
}

fn operations(page: &mut String, finding: &Finding) {
    let mut shown: Vec<&Shown> = finding.operations.iter().collect();
    if shown.is_empty() {
        page.push_str("<p>No single operation shows it.</p>");
        return;
    }
    shown.sort_by_key(|operation| (operation.start, operation.end));
    let first = shown.iter().map(|operation| operation.start).min().unwrap_or(0);
    let last = shown.iter().map(|operation| operation.end).max().unwrap_or(0);
    let span = (last - first).max(1) as f64;
    page.push_str(r#"<div class="scroll"><table class="operations"><thead><tr><th scope="col">operation</th><th scope="col">client</th><th scope="col">began</th><th scope="col">took</th><th scope="col">over time</th></tr></thead><tbody>"#);
    for operation in shown {
        let x = (operation.start - first) as f64 / span * WIDTH;
        let width = ((operation.end - operation.start) as f64 / span * WIDTH).max(2.0);
        let x = x.min(WIDTH - width);
        let took = (operation.end - operation.start) as f64 / 1e6;
        let _ = write!(
            page,
            r#"<tr><td>{}</td><td>{}</td><td>{:.3} s</td><td>{} ms</td><td><svg viewBox="0 0 {WIDTH} {ROW}" aria-hidden="true"><line x1="0" x2="{WIDTH}" y1="7" y2="7"/><rect x="{x:.1}" y="2" width="{width:.1}" height="10" rx="2"/></svg></td></tr>"#,
            Escaped(&operation.text),
            operation.client,
            operation.start as f64 / 1e9,
            number(took)
        );
    }
    page.push_str("</tbody></table></div>");
}
