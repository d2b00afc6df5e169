//! A checkout as a sequence of messages between the services.

use contract::Service;
use maud::{Markup, html};

use crate::{
    page::{Happening, Story, What},
    shown::ShownEvent,
};

const LEFT: i32 = 10;
const WIDTH: i32 = 356;
const TOP: i32 = 34;
const ROW: i32 = 30;

/// Where the line of a service stands.
fn lane(service: Service) -> i32 {
    match service {
        Service::Order => 76,
        Service::Stock => 206,
        Service::Payment => 336,
    }
}

/// Whom an event is for; nobody where its service waits.
fn receivers(what: &What) -> &'static [Service] {
    match what {
        What::Started => &[Service::Stock],
        What::Reserved => &[Service::Payment],
        What::Authorized | What::PaymentRefused(..) | What::StockRefused(..) | What::Withdrawn => &[Service::Order],
        What::Completed | What::Cancelled(..) => &[Service::Stock, Service::Payment],
        What::StockParked(..) | What::PaymentParked(_) => &[],
    }
}

fn kind(what: &What) -> &'static str {
    match what {
        What::Completed => "good",
        What::Cancelled(..) | What::StockRefused(..) | What::PaymentRefused(..) => "bad",
        What::StockParked(..) | What::PaymentParked(_) => "waits",
        _ => "plain",
    }
}

/// Draws it.
pub(super) fn draw(story: &Story) -> Markup {
    let rows = i32::try_from(story.happenings.len()).unwrap_or(0);
    let bottom = TOP + ROW * rows + 12;
    let rows = story.happenings.iter().zip(1..).map(|(happening, row)| (happening, TOP + ROW * row));
    let placed: Vec<(&Happening, i32)> = rows.collect();
    html! {
        svg.sequence viewBox={ (LEFT) " 0 " (WIDTH) " " (bottom) } role="img"
            aria-label={ "Sequence of " (placed.len()) " events between order, stock and payment; the same in words below" } {
            @for service in Service::ALL {
                text.lane x=(lane(service)) y="14" text-anchor="middle" { (service.name()) }
                line.lane x1=(lane(service)) x2=(lane(service)) y1="22" y2=(bottom) {}
            }
            @for (place, (happening, y)) in placed.iter().enumerate() {
                @if let What::StockParked(..) | What::PaymentParked(_) = &happening.what {
                    @let service = happening.what.service();
                    @let until = placed.iter().skip(place + 1).find(|(later, _)| later.what.service() == service || later.what.is_decision());
                    rect.wait x=(lane(service) - 4) width="8" y=(y) height=(until.map_or(bottom, |(_, until)| *until) - y) rx="3" {}
                }
            }
            @for (happening, y) in &placed { (row(story, happening, *y)) }
        }
    }
}

fn row(story: &Story, happening: &Happening, y: i32) -> Markup {
    let shown = ShownEvent::of(story, happening);
    let from = lane(happening.what.service());
    let to: Vec<i32> = receivers(&happening.what).iter().map(|service| lane(*service)).collect();
    let reason = shown.reason.map_or_else(String::new, |reason| format!(" {reason}"));
    let label = match (shown.wanted, shown.free) {
        (Some(wanted), Some(free)) => format!("waits: wants {wanted}, {free} free"),
        _ => format!("{}{reason}", shown.event),
    };
    let far = to.last().copied();
    let (x, anchor) = match far {
        Some(far) => (i32::midpoint(from, far), "middle"),
        None if from == lane(Service::Payment) => (from - 10, "end"),
        None => (from + 10, "start"),
    };
    let label_y = if far.is_some() { y - 5 } else { y + 4 };
    html! { g class=(kind(&happening.what)) {
        title { (shown.service) "/" (shown.partition) " at " (shown.at) }
        text.ms x="46" y=(y + 4) text-anchor="end" { (shown.after_ms) " ms" }
        @if let Some(far) = far { line.arrow x1=(from) x2=(far) y1=(y) y2=(y) {} }
        @for to in &to {
            @let back = if *to > from { to - 7 } else { to + 7 };
            path.head d={ "M" (to) " " (y) "L" (back) " " (y - 4) "L" (back) " " (y + 4) "Z" } {}
        }
        circle.dot cx=(from) cy=(y) r="3.5" {}
        text.label x=(x) y=(label_y) text-anchor=(anchor) { (label) }
    } }
}
