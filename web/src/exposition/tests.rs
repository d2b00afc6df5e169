use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Unit,
};

use super::*;

#[test]
fn the_older_format_names_counters_as_their_samples() {
    let mut registry = Registry::default();
    let counter = Family::<Vec<(&str, &str)>, Counter>::default();
    let gauge: Gauge = Gauge::default();
    counter.get_or_create(&vec![("path", "# a \"b\" \\ c")]).inc_by(3);
    gauge.set(-1);
    registry.register("poured", "How \"much\"", counter);
    registry.register("free", "What is left", gauge);
    registry.register("build", "Which", Info::new(vec![("version", "1")]));
    let wait = Histogram::new([0.5]);
    wait.observe(0.1);
    registry.register_with_unit("wait", "How long", Unit::Seconds, wait);
    let expected = "\
# HELP poured_total How \"much\".
# TYPE poured_total counter
poured_total{path=\"# a \\\"b\\\" \\\\ c\"} 3
# HELP free What is left.
# TYPE free gauge
free -1
# HELP build_info Which.
# TYPE build_info gauge
build_info{version=\"1\"} 1
# HELP wait_seconds How long.
# TYPE wait_seconds histogram
wait_seconds_sum 0.1
wait_seconds_count 1
wait_seconds_bucket{le=\"0.5\"} 1
wait_seconds_bucket{le=\"+Inf\"} 1
";
    assert_eq!(prometheus(&registry).unwrap(), expected);
    assert!(openmetrics(&registry).unwrap().contains("# TYPE poured counter\n"));
}
