//! Plots that stretch with the page: the lines do, the words beside them do not.

use maud::{Markup, html};

use super::layout::when;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 160.0;

/// What something was from each moment on, the first one first.
pub(super) fn steps(name: &str, points: &[(u64, u64)], until: u64) -> Markup {
    let Some((from, _)) = points.first().copied() else { return html! {} };
    let most = points.iter().map(|(_, value)| *value).max().unwrap_or(0).max(1);
    let span = until.saturating_sub(from).max(1);
    let across = |at: u64| WIDTH * precise(at.saturating_sub(from).min(span)) / precise(span);
    let down = |value: u64| HEIGHT - (HEIGHT - 4.0) * precise(value) / precise(most) - 2.0;
    let mut path = String::new();
    for (place, (at, value)) in points.iter().enumerate() {
        let (x, y) = (across(*at), down(*value));
        path += &if place == 0 { format!("M{x:.1} {y:.1}") } else { format!("H{x:.1}V{y:.1}") };
    }
    path += &format!("H{WIDTH:.1}");
    html! { figure.plot {
        span.most { (most) }
        span.least { "0" }
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
            aria-label={ (name) " over time, from 0 to " (most) "; the same in the table below" } {
            path.area d={ (path) "V" (HEIGHT) "H0Z" } {}
            path.line d=(path) {}
        }
        figcaption { span { (when(from)) } span { (when(until)) } }
    } }
}

/// Numbers of a plot are far below what a float tells apart.
#[expect(clippy::cast_precision_loss, reason = "a plot has a thousand pixels")]
fn precise(value: u64) -> f64 {
    value as f64
}

/// Columns of a plot of counts.
const COLUMNS: u16 = 60;

/// How much happened when: what went well below, what did not above it.
pub(super) fn stacked(happened: &[(u64, bool)], from: u64, until: u64) -> Markup {
    let span = until.saturating_sub(from).max(1);
    let mut columns = vec![(0_u64, 0_u64); usize::from(COLUMNS)];
    for (at, is_well) in happened {
        let place = at.saturating_sub(from).min(span - 1) * u64::from(COLUMNS) / span;
        let column = usize::try_from(place).ok().and_then(|place| columns.get_mut(place));
        let (well, badly) = column.expect("it is before the end");
        *(if *is_well { well } else { badly }) += 1;
    }
    let most = columns.iter().map(|(well, badly)| well + badly).max().unwrap_or(0).max(1);
    let high = |count: u64| (HEIGHT - 4.0) * precise(count) / precise(most);
    let wide = WIDTH / f64::from(COLUMNS);
    html! { figure.plot {
        span.most { (most) }
        span.least { "0" }
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
            aria-label={ (happened.len()) " decisions over time; at most " (most) " in a " (COLUMNS) "th of it" } {
            @for (place, (well, badly)) in (0..COLUMNS).zip(&columns) {
                @let x = format!("{:.1}", f64::from(place) * wide + 1.0);
                @let (below, above) = (high(*well), high(*badly));
                @if *well > 0 { rect.well x=(x) width=(format!("{:.1}", wide - 2.0)) y=(format!("{:.1}", HEIGHT - below)) height=(format!("{below:.1}")) {} }
                @if *badly > 0 { rect.badly x=(x) width=(format!("{:.1}", wide - 2.0)) y=(format!("{:.1}", HEIGHT - below - above)) height=(format!("{above:.1}")) {} }
            }
        }
        figcaption { span { (when(from)) } span { (when(until)) } }
    } }
}

/// How much it is of the most there is.
pub(super) fn bar(count: usize, most: usize) -> Markup {
    html! { svg.bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
        rect.badly width=(count * 100 / most.max(1)) height="10" {}
    } }
}
