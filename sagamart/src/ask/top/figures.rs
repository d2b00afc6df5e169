//! What has changed between two samples, and what is so now.

use std::{collections::BTreeMap, time::Duration};

use super::sample::Sample;
use crate::ask::{
    exposition::{Series, sum_by},
    process::Service,
};

/// What of `sagamart_sagas_total` is no refusal.
const COMPLETED: &str = "completed";

/// The route whose callers wait for a checkout.
const CHECKOUT: &str = "/orders/checkout/{order_id}";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Figures<'a> {
    /// Checkouts decided in a second, by outcome; nothing where there is no time to compare with.
    pub(super) decided: Option<BTreeMap<&'a str, f64>>,
    /// The time within which half of the answers to checkouts came, and 99 of a hundred, in seconds.
    pub(super) quantiles: [Option<Quantile>; 2],
    /// Checkouts begun and not decided, with something held for them, parked, and past their deadline.
    pub(super) open: f64,
    pub(super) held: f64,
    pub(super) parked: f64,
    pub(super) stuck: f64,
    /// What is not reached, in words.
    pub(super) lost: Vec<String>,
    /// Each service as one process knows it, with that process' address.
    pub(super) services: Vec<(String, &'a Service)>,
}

/// About how long something takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quantile {
    Seconds(f64),
    /// Longer than the longest time that is told apart.
    Above(f64),
}

impl<'a> Figures<'a> {
    /// What happened since `before`, and what there is `now`.
    pub(super) fn between(before: Option<&Sample>, now: &'a Sample) -> Self {
        let mut figures = Self::default();
        let mut elapsed = Duration::ZERO;
        let (mut decided, mut answers) = (BTreeMap::<&str, f64>::new(), Buckets::default());
        for (address, said) in &now.metrics {
            let metrics = match said {
                Ok(metrics) => metrics,
                Err(why) => {
                    figures.lost.push(why.clone());
                    continue;
                }
            };
            let sum = |name| sum_by(metrics, name, "service").values().sum::<f64>();
            figures.open += sum("sagamart_sagas_in_flight");
            figures.held += sum("sagamart_sagas_held");
            figures.parked += sum("sagamart_sagas_parked");
            figures.stuck += sum("sagamart_sagas_stuck");
            let known = before.and_then(|before| {
                let (_, said) = before.metrics.iter().find(|(known, _)| known == address)?;
                Some((before.at, said.as_deref().ok()?))
            });
            // Of a server that was not reached before, nothing is known of when it did what it did.
            let Some((at, known)) = known else { continue };
            elapsed = now.at.duration_since(at);
            let earlier = sum_by(known, "sagamart_sagas_total", "outcome");
            for (outcome, count) in sum_by(metrics, "sagamart_sagas_total", "outcome") {
                *decided.entry(outcome).or_default() += grown(count, earlier.get(outcome).copied());
            }
            answers.add(metrics, known);
        }
        if !elapsed.is_zero() {
            decided.values_mut().for_each(|count| *count /= elapsed.as_secs_f64());
            figures.decided = Some(decided);
            figures.quantiles = [0.5, 0.99].map(|share| answers.quantile(share));
        }
        for (address, said) in &now.processes {
            match said {
                Ok(process) => {
                    let services = process.iter().flat_map(|process| &process.services);
                    figures.services.extend(services.map(|service| (address.to_string(), service)));
                }
                Err(why) => figures.lost.push(why.clone()),
            }
        }
        figures.lost.sort();
        figures.lost.dedup();
        figures
    }

    pub(super) fn completed(&self) -> Option<f64> {
        self.decided.as_ref().map(|decided| decided.get(COMPLETED).copied().unwrap_or(0.0))
    }

    /// Why checkouts were refused in the time, the most frequent reason first.
    pub(super) fn refused(&self) -> Vec<(String, f64)> {
        let decided = self.decided.iter().flatten();
        let refused = decided.filter(|(outcome, rate)| **outcome != COMPLETED && **rate > 0.0);
        let mut refused: Vec<_> = refused.map(|(outcome, rate)| (outcome.replace('_', "-"), *rate)).collect();
        refused.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        refused
    }
}

/// By how much a counter has grown; one that is smaller than it was began anew.
fn grown(now: f64, before: Option<f64>) -> f64 {
    match before {
        Some(before) if before <= now => now - before,
        _ => now,
    }
}

/// How many answers came within which time, each bound with all that came within it.
#[derive(Debug, Default)]
struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    /// Adds what came at one server between two scrapes.
    fn add(&mut self, now: &str, before: &str) {
        let before: BTreeMap<_, _> =
            checkouts(before).filter_map(|series| Some((series.label("le")?, series.value))).collect();
        for series in checkouts(now) {
            let Some(label) = series.label("le") else { continue };
            let bound = label.parse().unwrap_or(f64::INFINITY);
            let came = grown(series.value, before.get(label).copied());
            match self.0.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, sum)) => *sum += came,
                None => self.0.push((bound, came)),
            }
        }
        self.0.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    }

    /// Between the bounds of a bucket, all times are taken to be as likely.
    fn quantile(&self, share: f64) -> Option<Quantile> {
        let (_, all) = self.0.last().filter(|(_, all)| *all > 0.0)?;
        let rank = share * all;
        let (mut bound_before, mut came_before) = (0.0, 0.0);
        for (bound, came) in &self.0 {
            if *came >= rank {
                if bound.is_infinite() {
                    return Some(Quantile::Above(bound_before));
                }
                let within = if *came > came_before { (rank - came_before) / (came - came_before) } else { 1.0 };
                return Some(Quantile::Seconds(bound_before + (bound - bound_before) * within));
            }
            (bound_before, came_before) = (*bound, *came);
        }
        None
    }
}

fn checkouts(metrics: &str) -> impl Iterator<Item = Series<'_>> {
    let all = Series::all(metrics, "sagamart_http_request_duration_seconds_bucket");
    all.filter(|series| series.label("route") == Some(CHECKOUT))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn sample(at: Instant, metrics: Result<&str, &str>) -> Sample {
        let said = metrics.map(str::to_owned).map_err(str::to_owned);
        Sample { at, metrics: vec![("http://a:1".parse().expect("an address"), said)], processes: Vec::new() }
    }

    fn metrics(completed: u32, busy: u32, buckets: [u32; 3]) -> String {
        let [fast, slow, all] = buckets;
        let bucket = |le: &str, count: u32| {
            format!(
                "sagamart_http_request_duration_seconds_bucket{{method=\"POST\",route=\"{CHECKOUT}\",le=\"{le}\"}} {count}\n"
            )
        };
        format!(
            "sagamart_sagas_total{{outcome=\"completed\"}} {completed}\nsagamart_sagas_total{{outcome=\"busy\"}} {busy}\n{}{}{}",
            bucket("0.1", fast),
            bucket("0.2", slow),
            bucket("+Inf", all)
        )
    }

    #[test]
    fn rates_and_quantiles_are_of_the_time_between_two_samples() {
        let began = Instant::now();
        let before = sample(began, Ok(&metrics(100, 5, [10, 10, 10])));
        let now = sample(began + Duration::from_secs(2), Ok(&metrics(140, 15, [30, 50, 50])));
        let figures = Figures::between(Some(&before), &now);
        assert_eq!(figures.completed(), Some(20.0));
        assert_eq!(figures.refused(), [("busy".to_owned(), 5.0)]);
        let [half, most] = figures.quantiles;
        assert!(matches!(half, Some(Quantile::Seconds(half)) if (half - 0.1).abs() < 1e-9), "{half:?}");
        assert!(matches!(most, Some(Quantile::Seconds(most)) if (most - 0.198).abs() < 1e-9), "{most:?}");
    }

    #[test]
    fn a_server_that_began_anew_or_was_away_makes_no_figure_that_never_was() {
        let began = Instant::now();
        let later = began + Duration::from_secs(1);
        let (many, few) = (metrics(100, 5, [10, 10, 10]), metrics(3, 0, [0, 0, 4]));
        let (before, now) = (sample(began, Ok(&many)), sample(later, Ok(&few)));
        let anew = Figures::between(Some(&before), &now);
        assert_eq!((anew.completed(), anew.refused()), (Some(3.0), vec![]));
        assert_eq!(anew.quantiles, [Some(Quantile::Above(0.2)); 2]);
        let away = sample(began, Err("it is away"));
        assert_eq!(Figures::between(Some(&away), &now).completed(), None);
        assert_eq!(Figures::between(None, &now).completed(), None);
        // It is asked for its metrics and for what it is like, and named once.
        let mut gone = sample(later, Err("it is away"));
        gone.processes.push(("http://a:1".parse().expect("an address"), Err("it is away".to_owned())));
        assert_eq!(Figures::between(Some(&before), &gone).lost, ["it is away"]);
    }
}
