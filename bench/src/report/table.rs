//! The report as a person reads it.

use std::fmt::{self, Display, Formatter};

use indicatif::HumanCount;

use super::{Baseline, Report, Series};
use crate::{
    audit::{AuditReport, Total},
    baseline::{self, Kind},
    latency::Summary,
};
use referee::Outcome;

/// Anomalies that are printed one by one.
const ANOMALIES_SHOWN_MAX: usize = 5;
/// Where the second column starts.
const LABEL_WIDTH: usize = 13;
/// At most this many seconds are drawn one by one.
const SPARKS_MAX: usize = 60;

/// Displays a report as a table.
#[derive(Clone, Copy, Debug)]
pub struct Table<'report>(pub &'report Report);

impl Display for Table<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(formatter, "\nFirst-time checkouts at {}\n", report.server.url)?;
        describe(formatter, report)?;
        writeln!(formatter)?;
        throughput(formatter, &report.checkouts)?;
        writeln!(formatter)?;
        latencies(formatter, &report.checkouts)?;
        if let Some(baseline) = &report.baseline {
            writeln!(formatter)?;
            comparison(formatter, &report.checkouts, baseline)?;
        }
        writeln!(formatter)?;
        for note in &report.notes {
            writeln!(formatter, "note: {note}")?;
        }
        audit(formatter, &report.audit)
    }
}

fn row(formatter: &mut Formatter<'_>, label: &str, value: impl Display) -> fmt::Result {
    writeln!(formatter, "  {label:LABEL_WIDTH$} {value}")
}

fn describe(formatter: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let load = &report.load;
    let pace = match load.rate_per_second {
        Some(rate) => format!("open loop at {}/s", HumanCount(rate)),
        None => "closed loop".to_owned(),
    };
    let rounds = match load.rounds {
        1 => String::new(),
        rounds => format!(" in {rounds} rounds"),
    };
    let (connections, threads) = (count_of(load.connections, "connection"), count_of(load.threads, "thread"));
    let time = format!("{:.1} s{rounds} after {:.1} s of warm-up", load.seconds, load.warm_up_seconds);
    row(formatter, "load", format_args!("{pace}, {connections}, {threads}, {time}"))?;
    let data = &report.data;
    let hot = data.hot_item_percent.map_or_else(String::new, |percent| format!(", {percent} % with item 0"));
    row(
        formatter,
        "data",
        format_args!(
            "{} orders of {}{hot}; {} items, {} users",
            HumanCount(data.orders),
            count_of(data.lines_per_order, "line"),
            HumanCount(data.items.into()),
            HumanCount(data.users.into()),
        ),
    )?;
    let durability = report.server.durability.as_deref();
    row(formatter, "durability", durability.unwrap_or("not stated by the server"))?;
    let machine = &report.machine;
    let cores = count_of(machine.cores, "core");
    row(formatter, "machine", format_args!("{cores}, {}, {}", machine.operating_system, machine.architecture))
}

fn count_of(count: impl Into<usize>, what: &str) -> String {
    let count = count.into();
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", HumanCount(count as u64))
}

fn throughput(formatter: &mut Formatter<'_>, checkouts: &Series) -> fmt::Result {
    row(formatter, "throughput", format_args!("{} checkouts/s", rate(checkouts.succeeded_per_second)))?;
    if checkouts.rounds_succeeded_per_second.len() > 1 {
        let rounds: Vec<String> = checkouts.rounds_succeeded_per_second.iter().map(|round| rate(*round)).collect();
        row(formatter, "", format_args!("median of {}", rounds.join(", ")))?;
    }
    if let Some(sparkline) = sparkline(&checkouts.succeeded_each_second) {
        row(formatter, "each second", sparkline)?;
    }
    if let Some(schedule) = &checkouts.schedule {
        let behind = schedule.lateness.map_or_else(
            || "nothing sent".to_owned(),
            |lateness| format!("p99 {}, at most {}", time(lateness.p99_ms), time(lateness.max_ms)),
        );
        let unsent = match schedule.unsent {
            0 => String::new(),
            unsent => format!("; {} of {} never sent", HumanCount(unsent), HumanCount(schedule.due)),
        };
        row(formatter, "behind", format_args!("{behind} after a checkout was due{unsent}"))?;
    }
    let generator = &checkouts.generator;
    row(
        formatter,
        "generator",
        format_args!(
            "{:.1} µs of processor time a checkout, threads {:.0} % busy",
            generator.processor_us_per_request,
            generator.busy * 100.0
        ),
    )
}

/// A bar for each second; nothing when there are too few to say anything or too many to draw.
fn sparkline(each_second: &[u64]) -> Option<String> {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if !(2..=SPARKS_MAX).contains(&each_second.len()) {
        return None;
    }
    let max = *each_second.iter().max()?;
    let bar = |count: &u64| {
        let height = (count * BARS.len() as u64).checked_div(max + 1).unwrap_or(0);
        usize::try_from(height).ok().and_then(|height| BARS.get(height)).copied()
    };
    Some(each_second.iter().filter_map(bar).collect())
}

fn latencies(formatter: &mut Formatter<'_>, checkouts: &Series) -> fmt::Result {
    writeln!(
        formatter,
        "  {:22} {:>11} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "outcome", "count", "share", "p50", "p90", "p99", "p99.9", "max"
    )?;
    let total = checkouts.outcomes.total();
    for outcome in Outcome::ALL {
        let count = checkouts.outcomes.of(outcome);
        let share = percent(count, total);
        write!(formatter, "  {:22} {:>11} {share:>8}", outcome.name(), human(count))?;
        if let Some(summary) = checkouts.latency.of(outcome) {
            percentiles(formatter, summary)?;
        }
        writeln!(formatter)?;
        for (reason, count) in checkouts.outcomes.reasons(outcome) {
            let share = percent(count, total);
            writeln!(formatter, "    {reason:20} {:>11} {share:>8}", human(count))?;
        }
    }
    Ok(())
}

fn percentiles(formatter: &mut Formatter<'_>, summary: &Summary) -> fmt::Result {
    let Summary { p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms, .. } = *summary;
    for milliseconds in [p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms] {
        write!(formatter, " {:>9}", time(milliseconds))?;
    }
    Ok(())
}

fn comparison(formatter: &mut Formatter<'_>, checkouts: &Series, baseline: &Baseline) -> fmt::Result {
    writeln!(formatter, "  {:24} {:>11} {:>9} {:>9}   checkouts are", "compared with", "per second", "p50", "p99")?;
    let line = |formatter: &mut Formatter<'_>, name: &str, series: &Series| {
        let latency = |of: fn(&Summary) -> f64| {
            series.latency.succeeded.as_ref().map_or_else(String::new, |summary| time(of(summary)))
        };
        let per_second = rate(series.succeeded_per_second);
        let (p50, p99) = (latency(|summary| summary.p50_ms), latency(|summary| summary.p99_ms));
        write!(formatter, "  {name:24} {per_second:>11} {p50:>9} {p99:>9}")
    };
    for yardstick in &baseline.yardsticks {
        let kind = if yardstick.kind == Kind::Bare.name() { Kind::Bare } else { Kind::Durable };
        line(formatter, &baseline::name(kind, yardstick.threads), &yardstick.requests)?;
        writeln!(formatter, "   {:.2} of it", yardstick.ratio)?;
    }
    line(formatter, "checkouts", checkouts)?;
    writeln!(formatter, "   {:.2} of bare, {:.2} of durable", baseline.ratio_to_bare, baseline.ratio_to_durable)
}

fn audit(formatter: &mut Formatter<'_>, audit: &AuditReport) -> fmt::Result {
    let read = format!(
        "{} orders, {} users and {} items read back",
        human(audit.orders),
        human(audit.users),
        human(audit.items)
    );
    if audit.is_clean() {
        write!(
            formatter,
            "audit: clean: {} paid orders explain every credit and every unit of stock",
            human(audit.orders_paid)
        )?;
        return writeln!(formatter, " ({read})");
    }
    writeln!(formatter, "audit: FAILED: {} anomalies ({read})", human(audit.anomalies_count))?;
    for (name, total) in [("credit", &audit.credit), ("stock", &audit.stock)] {
        let Total { before, taken_by_paid_orders, after } = total;
        writeln!(
            formatter,
            "  {name}: {before} before, {taken_by_paid_orders} in {} paid orders, {after} after: {:+} unexplained in total",
            human(audit.orders_paid),
            total.unexplained()
        )?;
    }
    for (kind, count) in &audit.anomalies_by_kind {
        writeln!(formatter, "  {}: {} (usually: {})", kind.name(), human(*count), kind.usual_cause())?;
    }
    for anomaly in audit.anomalies.iter().take(ANOMALIES_SHOWN_MAX) {
        writeln!(formatter, "  - {anomaly}")?;
    }
    let more = audit.anomalies_count.saturating_sub(ANOMALIES_SHOWN_MAX as u64);
    if more > 0 {
        writeln!(formatter, "  - and {} more", human(more))?;
    }
    Ok(())
}

fn human(count: u64) -> String {
    HumanCount(count).to_string()
}

fn rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.1}") } else { human(per_second.round() as u64) }
}

/// A latency with three digits or so.
fn time(milliseconds: f64) -> String {
    match milliseconds {
        ..1.0 => format!("{:.0} µs", milliseconds * 1_000.0),
        ..10.0 => format!("{milliseconds:.2} ms"),
        ..100.0 => format!("{milliseconds:.1} ms"),
        ..1_000.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.2} s", milliseconds / 1_000.0),
    }
}

fn percent(count: u64, total: u64) -> String {
    match total {
        0 => String::new(),
        _ => format!("{:.2} %", count as f64 * 100.0 / total as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_about_three_digits_in_a_fitting_unit() {
        for (milliseconds, shown) in [
            (0.021, "21 µs"),
            (0.999, "999 µs"),
            (1.0, "1.00 ms"),
            (12.34, "12.3 ms"),
            (123.4, "123 ms"),
            (1_234.0, "1.23 s"),
        ] {
            assert_eq!(time(milliseconds), shown);
        }
    }

    #[test]
    fn each_second_is_drawn_against_the_best_one() {
        assert_eq!(sparkline(&[0, 50, 100]).as_deref(), Some("▁▄█"));
        assert_eq!(sparkline(&[0, 0]).as_deref(), Some("▁▁"));
        assert_eq!(sparkline(&[7]), None);
        assert_eq!(sparkline(&[7; 1_000]), None);
    }

    #[test]
    fn shares_of_nothing_are_left_out() {
        assert_eq!(percent(0, 0), "");
        assert_eq!(percent(1, 3), "33.33 %");
    }
}
