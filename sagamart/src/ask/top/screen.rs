//! Figures as lines, no more and no longer than there is room for.

use std::{collections::BTreeMap, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::figures::{Figures, Quantile};
use crate::ask::process::{Health, Partition};

/// By what partitions are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Name,
    Lag,
    Waiting,
}

/// How there is to be shown what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) is_coloured: bool,
    pub(super) order: Order,
    /// Whether it is shown again and again, and keys are listened to.
    pub(super) is_refreshed: bool,
}

/// What a line is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Head,
    Bad,
}

type Line = (Style, String);

const KEYS: &str = "q ends it; sorted by: n name, l lag, w what waits";

/// Columns of a partition beside its name and owner.
const COLUMNS: [&str; 7] = ["lag", "behind", "mailbox", "waiting", "open", "parked", "gate"];

impl Screen {
    /// All that there is room for. What is in the way of the shop comes before what there is much of.
    pub(super) fn lines(&self, figures: &Figures<'_>, every: Duration) -> Vec<String> {
        let mut lines = top(figures, every);
        let (mut processes, mut bad) = processes(figures);
        lines.extend(figures.lost.iter().map(|lost| (Style::Bad, format!("NOT reached: {lost}"))));
        lines.append(&mut bad);
        lines.append(&mut processes);
        let rows = self.rows(figures);
        if !rows.is_empty() {
            let head: String = COLUMNS.iter().map(|column| format!("{column:>8}")).collect();
            lines.push((Style::Head, format!("{:<12}{head}  owner", "partition")));
            lines.extend(rows.into_iter().map(|row| (Style::Plain, row)));
        }
        let footer = usize::from(self.is_refreshed);
        let room = self.height.saturating_sub(footer);
        if lines.len() > room {
            let hidden = lines.len() - room.saturating_sub(1);
            lines.truncate(room.saturating_sub(1));
            lines.push((Style::Plain, format!("… {hidden} more lines: there is no room for them")));
            lines.truncate(room);
        }
        if self.is_refreshed && self.height > 0 {
            // At the bottom, wherever that is.
            lines.resize(room, (Style::Plain, String::new()));
            lines.push((Style::Plain, KEYS.to_owned()));
        }
        lines.into_iter().map(|line| self.drawn(line)).collect()
    }

    fn drawn(&self, (style, text): Line) -> String {
        let cut: String = text.chars().take(self.width).collect();
        match style {
            _ if !self.is_coloured => cut,
            Style::Plain => cut,
            Style::Head => format!("\x1b[1m{cut}\x1b[0m"),
            Style::Bad => format!("\x1b[31m{cut}\x1b[0m"),
        }
    }

    /// A row for each partition, as its owner says if it was asked.
    fn rows(&self, figures: &Figures<'_>) -> Vec<String> {
        let mut partitions: BTreeMap<(usize, u16), (&str, &str, &Partition)> = BTreeMap::new();
        let names = ["order", "stock", "payment", "observer"];
        for (address, service) in &figures.services {
            let place = names.iter().position(|name| *name == service.service).unwrap_or(names.len());
            for partition in &service.partitions {
                let row = (service.service.as_str(), address.as_str(), partition);
                let known = partitions.entry((place, partition.partition)).or_insert(row);
                if partition.is_owned {
                    *known = row;
                }
            }
        }
        let mut rows: Vec<_> = partitions.into_values().collect();
        match self.order {
            Order::Name => {}
            Order::Lag => rows.sort_by_key(|(.., partition)| std::cmp::Reverse(partition.lag)),
            Order::Waiting => rows.sort_by_key(|(.., partition)| {
                let [_, _, mailbox, waiting, _, parked, gate] = partition.cells();
                std::cmp::Reverse(mailbox + waiting + parked + gate)
            }),
        }
        let row = |(service, address, partition): (&str, &str, &Partition)| {
            let name = format!("{service}/{}", partition.partition);
            if !partition.is_owned {
                return format!("{name:<12}{:>56}  {}", "", partition.owner());
            }
            let cells: String = partition.cells().iter().map(|cell| format!("{cell:>8}")).collect();
            format!("{name:<12}{cells}  {}", address.trim_start_matches("http://"))
        };
        rows.into_iter().map(row).collect()
    }
}

/// What the shop does as a whole.
fn top(figures: &Figures<'_>, every: Duration) -> Vec<Line> {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let now = now.get(..19).unwrap_or(&now);
    let [half, most] = figures.quantiles.map(shown);
    let decided = figures.decided.as_ref().map(|decided| decided.values().sum::<f64>());
    let refused: Vec<_> =
        figures.refused().iter().map(|(reason, rate)| format!("{reason} {}", per_second(Some(*rate)))).collect();
    let refused = match (&figures.decided, refused.is_empty()) {
        (None, _) => "not known yet".to_owned(),
        (_, true) => "none".to_owned(),
        _ => refused.join(", "),
    };
    let Figures { open, held, parked, stuck, .. } = figures;
    let waits = format!("now         {open} open, {held} with holds, {parked} parked, {stuck} past their deadline");
    vec![
        (Style::Head, format!("sagamart top  {now} UTC, every {every:?}")),
        (
            Style::Plain,
            format!(
                "checkouts   {} decided, {} paid; answered: p50 {half}, p99 {most}",
                per_second(decided),
                per_second(figures.completed())
            ),
        ),
        (Style::Plain, format!("refused     {refused}")),
        (if *stuck > 0.0 { Style::Bad } else { Style::Plain }, waits),
    ]
}

/// What processes say of their services, and what of that is not well.
fn processes(figures: &Figures<'_>) -> (Vec<Line>, Vec<Line>) {
    let (mut well, mut bad) = (Vec::new(), Vec::new());
    for (_, service) in &figures.services {
        let mut said = Vec::new();
        let mut health = service.show(&mut said).unwrap_or(Health::Unwell);
        let of_service = said.len();
        for partition in &service.partitions {
            health = health.max(partition.show(&mut said, &service.service, false).unwrap_or(Health::Unwell));
        }
        let text = String::from_utf8_lossy(&said).into_owned();
        let lines = text.lines().map(|line| line.trim_start().to_owned());
        if health == Health::Well && of_service == said.len() {
            // Where there is one of it, the rows say all.
            let lines = lines.filter(|_| service.has_replicas());
            well.extend(lines.map(|line| (Style::Plain, line)));
        } else {
            bad.extend(lines.map(|line| (Style::Bad, line)));
        }
    }
    (well, bad)
}

fn per_second(rate: Option<f64>) -> String {
    match rate {
        None => "–/s".to_owned(),
        Some(rate) if rate < 100.0 => format!("{rate:.1}/s"),
        Some(rate) => format!("{rate:.0}/s"),
    }
}

fn shown(quantile: Option<Quantile>) -> String {
    match quantile {
        None => "–".to_owned(),
        Some(Quantile::Above(bound)) => format!("above {}", time_of(bound)),
        Some(Quantile::Seconds(seconds)) => time_of(seconds),
    }
}

fn time_of(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(width: usize, height: usize) -> Screen {
        Screen { width, height, is_coloured: false, order: Order::Name, is_refreshed: true }
    }

    #[test]
    fn a_screen_is_never_larger_than_the_terminal_and_says_what_is_left_out() {
        let lost: Vec<_> =
            (0..40).map(|number| format!("shop {number}: it is away, and that for quite a while")).collect();
        let figures = Figures { lost, ..Figures::default() };
        for (width, height) in [(80, 24), (20, 5), (1, 1), (0, 0), (300, 2), (80, 100)] {
            let lines = screen(width, height).lines(&figures, Duration::from_secs(1));
            assert!(lines.len() <= height && lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
        }
        let lines = screen(80, 24).lines(&figures, Duration::from_secs(1));
        assert!(lines.get(22).is_some_and(|line| line.starts_with("… 22 more lines")), "{lines:#?}");
        assert_eq!(lines.last().map(String::as_str), Some(KEYS));
    }

    #[test]
    fn without_colours_there_is_no_control_character() {
        let figures = Figures { lost: vec!["shop: it is away".to_owned()], ..Figures::default() };
        let plain = screen(80, 24).lines(&figures, Duration::from_secs(1));
        assert!(plain.iter().all(|line| !line.contains('\x1b')), "{plain:#?}");
        let coloured = Screen { is_coloured: true, ..screen(80, 24) }.lines(&figures, Duration::from_secs(1));
        assert!(
            coloured.iter().any(|line| line.contains("\x1b[31mNOT reached: shop: it is away\x1b[0m")),
            "{coloured:#?}"
        );
    }
}
