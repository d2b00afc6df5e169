//! The registry in the two formats that scrapers read.
//!
//! They differ where it matters: what OpenMetrics calls the counter `x`, with a sample `x_total`, is in Prometheus' older
//! format the counter `x_total`. A reader of the one takes the counters of the other for untyped.

use std::fmt;

use prometheus_client::{encoding::text, registry::Registry};

#[cfg(test)]
mod tests;

/// The content type of [`openmetrics`].
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of [`prometheus`].
pub(crate) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// OpenMetrics 1.0.
///
/// # Errors
/// As a metric says that cannot show itself.
pub(crate) fn openmetrics(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    text::encode(&mut text, registry)?;
    Ok(text)
}

/// Prometheus' text format 0.0.4.
///
/// # Errors
/// As a metric says that cannot show itself.
pub(crate) fn prometheus(registry: &Registry) -> Result<String, fmt::Error> {
    openmetrics(registry).map(|text| older(&text))
}

/// The same samples with the older format's comments.
fn older(openmetrics: &str) -> String {
    let mut older = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // It stands before the type, which decides the name.
            (Some("#"), Some("HELP"), Some(_), text) => help = text,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some(help) = help.take() {
                    // Quotes are plain in the older format's help.
                    older += &format!("# HELP {name}{suffix} {}\n", help.replace("\\\"", "\""));
                }
                older += &format!("# TYPE {name}{suffix} {kind}\n");
            }
            // The older format has neither units nor an end.
            (Some("#"), ..) => {}
            _ => {
                // Nor exemplars: nothing else has this between its value and its end.
                older += line.split_once(" # {").map_or(line, |(sample, _)| sample);
                older.push('\n');
            }
        }
    }
    older
}
