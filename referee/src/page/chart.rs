//! Charts as inline SVG. Each is drawn twice, for wide and for narrow pages, of which the style sheet shows one: so text
//! has the same size on both.

use std::fmt::Write as _;

use super::{
    html::{Escaped, number},
    timeline::{Outage, Timeline},
};

/// Pixels around the plot.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;
const HEIGHT: f64 = 264.0;
/// Widths of the two drawings with their classes and how many labels fit below.
const SIZES: [(&str, f64, usize); 2] = [("wide", 920.0, 10), ("narrow", 360.0, 4)];

/// One line of a chart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series {
    /// Its class in the style sheet, which colours it.
    pub(super) class: &'static str,
    pub(super) name: &'static str,
}

/// What a chart shows.
#[derive(Debug)]
pub(super) struct Chart<'page> {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) series: &'page [Series],
    /// By bucket, the values of all series; `None` where there is nothing to show.
    pub(super) points: Vec<Option<Vec<f64>>>,
    /// Filled and on top of each other, or lines on a logarithmic scale.
    pub(super) stacked: bool,
}

struct Plot {
    width: f64,
    seconds: f64,
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Plot {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds / self.seconds).clamp(0.0, 1.0) * (self.width - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            value / self.high
        };
        TOP + (1.0 - share.clamp(0.0, 1.0)) * (HEIGHT - TOP - BOTTOM)
    }
}

impl Chart<'_> {
    /// The chart with its legend.
    pub(super) fn html(&self, timeline: &Timeline) -> String {
        let mut html = String::new();
        let (id, title) = (self.id, self.title);
        let _ = write!(html, r#"<figure class="chart" id="{id}"><figcaption><h3>{title}</h3><ul class="legend">"#);
        for series in self.series {
            let _ = write!(html, r#"<li class="{}"><i aria-hidden="true"></i>{}</li>"#, series.class, series.name);
        }
        if !timeline.outages.is_empty() {
            html.push_str(r#"<li class="fault"><i aria-hidden="true"></i>server killed or stopped</li>"#);
        }
        html.push_str("</ul></figcaption>");
        for (class, width, labels) in SIZES {
            self.draw(&mut html, timeline, class, width, labels);
        }
        html.push_str(r#"<p class="readout" aria-live="polite"></p></figure>"#);
        html
    }

    fn draw(&self, html: &mut String, timeline: &Timeline, class: &str, width: f64, labels: usize) {
        let values = || self.points.iter().flatten();
        let tops = values()
            .map(|values| if self.stacked { values.iter().sum() } else { values.iter().copied().fold(0.0, f64::max) });
        let high = tops.fold(0.0, f64::max);
        let low = values().flatten().copied().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        let logarithmic = !self.stacked;
        let (low, ticks) = if logarithmic { decades(low, high) } else { steps(high) };
        let high = ticks.last().copied().unwrap_or(1.0);
        let plot = Plot { width, seconds: timeline.seconds, low, high, logarithmic };
        let summary = self.summary(timeline);
        let _ = write!(
            html,
            r#"<svg class="{class}" viewBox="0 0 {width} {HEIGHT}" role="img" tabindex="0" data-left="{LEFT}" data-right="{RIGHT}" aria-label="{}">"#,
            Escaped(&summary)
        );
        grid(html, &plot, &ticks, self.unit, labels);
        outages(html, &plot, &timeline.outages);
        if self.stacked {
            self.areas(html, &plot, timeline)
        } else {
            self.lines(html, &plot, timeline)
        }
        let (top, bottom) = (TOP, HEIGHT - BOTTOM);
        let _ = write!(html, r#"<line class="cursor" x1="-9" x2="-9" y1="{top}" y2="{bottom}"/></svg>"#);
    }

    /// The chart in words, for those who do not see it.
    fn summary(&self, timeline: &Timeline) -> String {
        let mut text = format!("{} over {} s.", self.title, number(timeline.seconds));
        for (place, series) in self.series.iter().enumerate() {
            let values: Vec<f64> =
                self.points.iter().flatten().filter_map(|values| values.get(place).copied()).collect();
            let most = values.iter().copied().fold(0.0, f64::max);
            let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
            let _ = write!(text, " {}: mean {}, at most {} {}.", series.name, number(mean), number(most), self.unit);
        }
        text
    }

    fn areas(&self, html: &mut String, plot: &Plot, timeline: &Timeline) {
        let width = timeline.bucket_seconds;
        let mut floor = vec![0.0; self.points.len()];
        for (place, series) in self.series.iter().enumerate() {
            let (mut upper, mut lower) = (String::new(), Vec::new());
            for (bucket, (point, floor)) in self.points.iter().zip(&mut floor).enumerate() {
                let value = point.as_ref().and_then(|values| values.get(place)).copied().unwrap_or(0.0);
                let (from, to) = (bucket as f64 * width, (bucket + 1) as f64 * width);
                let (low, high) = (plot.y(*floor), plot.y(*floor + value));
                let command = if bucket == 0 { 'M' } else { 'L' };
                let _ = write!(upper, "{command}{:.1} {high:.1}L{:.1} {high:.1}", plot.x(from), plot.x(to));
                lower.push(format!("L{:.1} {low:.1}L{:.1} {low:.1}", plot.x(to), plot.x(from)));
                *floor += value;
            }
            lower.reverse();
            let _ = write!(html, r#"<path class="area {}" d="{upper}{}Z"/>"#, series.class, lower.concat());
        }
    }

    fn lines(&self, html: &mut String, plot: &Plot, timeline: &Timeline) {
        for (place, series) in self.series.iter().enumerate() {
            let mut path = String::new();
            let mut pen_up = true;
            for (bucket, point) in self.points.iter().enumerate() {
                let Some(value) = point.as_ref().and_then(|values| values.get(place)) else {
                    pen_up = true;
                    continue;
                };
                let x = plot.x((bucket as f64 + 0.5) * timeline.bucket_seconds);
                let command = if pen_up { 'M' } else { 'L' };
                let _ = write!(path, "{command}{x:.1} {:.1}", plot.y(*value));
                if pen_up {
                    // A point with nothing on either side shows as a dot.
                    path.push_str("h0.01");
                }
                pen_up = false;
            }
            let _ = write!(html, r#"<path class="line {}" d="{path}"/>"#, series.class);
        }
    }
}

fn grid(html: &mut String, plot: &Plot, ticks: &[f64], unit: &str, labels: usize) {
    let right = plot.width - RIGHT;
    for tick in ticks {
        let y = plot.y(*tick);
        let _ = write!(html, r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#);
        let _ = write!(
            html,
            r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 8.0,
            y + 4.0,
            number(*tick)
        );
    }
    let bottom = HEIGHT - BOTTOM;
    let step = nice_step(plot.seconds / labels as f64);
    let mut at = 0.0;
    while at <= plot.seconds * 1.0001 {
        let x = plot.x(at);
        let _ = write!(html, r#"<line class="axis" x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{:.1}"/>"#, bottom + 5.0);
        let _ = write!(
            html,
            r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            bottom + 20.0,
            number(at)
        );
        at += step;
    }
    let _ = write!(html, r#"<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>"#);
    let _ = write!(
        html,
        r#"<text class="tick" x="{right}" y="{:.1}" text-anchor="end">seconds · {unit}</text>"#,
        bottom + 36.0
    );
}

/// Bands over the plot and triangles on the axis.
fn outages(html: &mut String, plot: &Plot, outages: &[Outage]) {
    let bottom = HEIGHT - BOTTOM;
    for outage in outages {
        let from = plot.x(outage.from_seconds);
        let width = (plot.x(outage.to_seconds.unwrap_or(plot.seconds)) - from).max(1.5);
        let text = Escaped(&outage.text);
        let (at, height) = (number(outage.from_seconds), bottom - TOP);
        let _ = write!(
            html,
            r#"<g class="outage"><title>{at} s: {text}</title><rect x="{from:.1}" y="{TOP}" width="{width:.1}" height="{height}"/><path d="M{from:.1} {bottom}l-5 9h10z"/></g>"#
        );
    }
}

/// Round values from zero to past the highest.
fn steps(high: f64) -> (f64, Vec<f64>) {
    let step = nice_step(high.max(1.0) / 4.0);
    let mut ticks = vec![0.0];
    let mut at = 0.0;
    while at < high {
        at += step;
        ticks.push(at);
    }
    if ticks.len() == 1 {
        ticks.push(step);
    }
    (0.0, ticks)
}

/// Powers of ten from below the lowest to past the highest.
fn decades(low: f64, high: f64) -> (f64, Vec<f64>) {
    let (low, high) = if low.is_finite() && high > 0.0 { (low, high) } else { (0.1, 10.0) };
    let mut at = 10_f64.powf(low.log10().floor());
    let first = at;
    let mut ticks = vec![at];
    while at < high {
        at *= 10.0;
        ticks.push(at);
    }
    if ticks.len() == 1 {
        ticks.push(at * 10.0);
    }
    (first, ticks)
}

/// 1, 2 or 5 times a power of ten, at least this much.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least * 0.9999).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_values_that_cover_everything() {
        assert_eq!(steps(870.0).1, [0.0, 500.0, 1_000.0]);
        assert_eq!(steps(0.0).1, [0.0, 0.5, 1.0][..1].iter().chain(&[0.5]).copied().collect::<Vec<_>>());
        let (low, ticks) = decades(0.4, 30.0);
        assert!((low - 0.1).abs() < 1e-9 && *ticks.last().unwrap() >= 30.0, "{ticks:?}");
        for least in [0.03, 0.7, 1.0, 3.0, 99.0] {
            let step = nice_step(least);
            assert!(step >= least * 0.999 && step < least * 10.0, "{step}");
        }
    }
}
