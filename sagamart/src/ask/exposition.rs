//! What a server's `/metrics` say.

use std::collections::BTreeMap;

/// One line of it: the labels as they stand there, and the value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series<'text> {
    labels: &'text str,
    pub(super) value: f64,
}

impl<'text> Series<'text> {
    /// Every series of one name.
    pub(super) fn all(exposition: &'text str, name: &str) -> impl Iterator<Item = Self> {
        exposition.lines().filter_map(move |line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('{'))?;
            Some(Series { labels, value: value.parse().ok()? })
        })
    }

    /// What one of its labels says.
    pub(super) fn label(&self, name: &str) -> Option<&'text str> {
        let pattern = format!("{name}=\"");
        let mut starts = self.labels.match_indices(&pattern).map(|(start, _)| start);
        let start = starts.find(|start| {
            *start > 0 && self.labels.get(start - 1..*start).is_some_and(|before| before == "{" || before == ",")
        })?;
        let rest = self.labels.get(start + pattern.len()..)?;
        rest.split_once('"').map(|(value, _)| value)
    }
}

/// What a metric comes to for each value of a label; series without it count for "".
pub(super) fn sum_by<'text>(exposition: &'text str, name: &str, label: &str) -> BTreeMap<&'text str, f64> {
    let mut sums = BTreeMap::new();
    for series in Series::all(exposition, name) {
        *sums.entry(series.label(label).unwrap_or("")).or_default() += series.value;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_added_up_and_other_metrics_are_not() {
        let exposition = "# TYPE a gauge\na{service=\"order\",partition=\"0\"} 1\na{service=\"order\",partition=\"1\"} 2\n\
                          a{service=\"stock\",partition=\"0\"} 0\nab{service=\"stock\"} 9\nc 1\n# EOF\n";
        let sum = |name| sum_by(exposition, name, "service");
        assert_eq!(sum("a"), BTreeMap::from([("order", 3.0), ("stock", 0.0)]));
        assert_eq!(sum("c"), BTreeMap::from([("", 1.0)]));
        assert_eq!(sum("b"), BTreeMap::new());
    }

    #[test]
    fn a_label_is_found_by_its_whole_name_whatever_the_others_say() {
        let exposition = "d_bucket{method=\"POST\",route=\"/a/{id}\",le=\"0.5\"} 7\n";
        let series = Series::all(exposition, "d_bucket").next().expect("a series");
        assert_eq!(series.label("route"), Some("/a/{id}"));
        assert_eq!(series.label("le"), Some("0.5"));
        assert_eq!(series.label("oute"), None);
        assert!((series.value - 7.0).abs() < f64::EPSILON);
    }
}
