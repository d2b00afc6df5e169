//! Reads the text format that Prometheus scrapes.

use std::collections::BTreeMap;

/// One sample: its name, labels and value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With the suffix, such as `_total` or `_bucket`.
    pub name: String,
    /// By name.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// A whole scrape.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    /// The type of each metric family, by its name.
    pub families: BTreeMap<String, String>,
    /// The names of the families that have a help text.
    pub helped: Vec<String>,
    /// Every sample.
    pub samples: Vec<Sample>,
}

impl Exposition {
    /// Reads `text`.
    ///
    /// # Panics
    /// It is not in the format.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends too");
        let mut exposition = Self::default();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                exposition.comment(comment);
            } else if !line.is_empty() {
                let sample = sample(line).unwrap_or_else(|| panic!("no sample: {line}"));
                exposition.samples.push(sample);
            }
        }
        exposition
    }

    fn comment(&mut self, comment: &str) {
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("TYPE"), Some(name), Some(kind)) => {
                let known = ["counter", "gauge", "histogram", "summary", "info", "stateset", "unknown", "untyped"];
                assert!(known.contains(&kind), "{comment}");
                assert!(is_name(name), "{comment}");
                let before = self.families.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "a family has one type: {comment}");
            }
            (Some("HELP"), Some(name), Some(_)) => self.helped.push(name.to_owned()),
            (Some("UNIT"), Some(_), Some(_)) | (Some("EOF"), None, None) => {}
            _ => panic!("no comment of the format: {comment}"),
        }
    }

    /// The sum of all samples of this name whose labels contain these.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        self.samples.iter().filter(wanted).map(|sample| sample.value).reduce(|left, right| left + right)
    }

    /// The family that a sample belongs to, by its suffix.
    #[must_use]
    pub fn family(&self, sample: &Sample) -> Option<&str> {
        let suffixes = ["", "_total", "_bucket", "_sum", "_count", "_info", "_created"];
        let names = suffixes.iter().filter_map(|suffix| sample.name.strip_suffix(suffix));
        let mut known = names.filter_map(|name| self.families.get_key_value(name));
        known.next().map(|(name, _)| name.as_str())
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    // An exemplar may follow the value after ` # `.
    let value = rest.strip_prefix(' ')?.split(' ').next()?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        value => value.parse().ok()?,
    };
    is_name(name).then(|| Sample { name: name.to_owned(), labels, value })
}

/// Reads `a="b",c="d"}` and returns what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        rest = rest.strip_prefix(',').unwrap_or(rest);
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        if !is_name(name) || labels.insert(name.to_owned(), value).is_some() {
            return None;
        }
        rest = after;
    }
}

/// Reads up to the closing quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

fn is_name(name: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
    !name.is_empty() && name.chars().all(letter) && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_labels_escapes_and_exemplars() {
        let text = "# HELP a_seconds What.\n# TYPE a_seconds histogram\na_seconds_bucket{le=\"+Inf\",route=\"/a\\\"b\"} 3 # {x=\"y\"} 1\na_seconds_sum 0.5\n# EOF\n";
        let exposition = Exposition::parse(text);
        assert_eq!(exposition.families.get("a_seconds").map(String::as_str), Some("histogram"));
        assert_eq!(exposition.sum("a_seconds_bucket", &[("route", "/a\"b")]), Some(3.0));
        assert_eq!(exposition.sum("a_seconds_sum", &[]), Some(0.5));
        assert_eq!(exposition.sum("other", &[]), None);
        assert!(exposition.samples.iter().all(|sample| exposition.family(sample) == Some("a_seconds")));
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        for line in ["name", "1name 2", "name{a=\"b\" 2", "name{a=\"b\",a=\"c\"} 2", "name x", "na me 1 2x{"] {
            assert_eq!(sample(line), None, "{line}");
        }
    }
}
