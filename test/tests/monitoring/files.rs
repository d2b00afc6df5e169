//! The files by themselves.

use std::collections::BTreeSet;

use sagamart_black_box::prometheus::promtool;

use crate::{path, text};

fn promtool_says(arguments: &[&str]) -> String {
    let output = promtool(&path("monitoring")).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {}: {said}", arguments.join(" "));
    said
}

#[test]
fn prometheus_takes_the_configuration_and_the_rules() {
    let said = promtool_says(&["check", "config", "prometheus.yml"]);
    assert!(said.contains("1 rule files found") && said.contains("rules found"), "{said}");
    promtool_says(&["check", "rules", "--lint=all", "--lint-fatal", "sagamart.rules.yml"]);
}

#[test]
fn each_alert_comes_when_it_should_and_only_then() {
    let said = promtool_says(&["test", "rules", "sagamart.test.yml"]);
    assert!(said.contains("SUCCESS"), "{said}");
    let (rules, tests) = (text("monitoring/sagamart.rules.yml"), text("monitoring/sagamart.test.yml"));
    for name in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let comes = tests.lines().any(|line| line.trim() == format!("alertname: {name}"));
        assert!(comes, "no test has {name} come");
    }
}

/// What a heading is linked by.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
        .collect::<String>();
    kept.replace(' ', "-")
}

#[test]
fn each_alert_says_what_to_do_in_a_section_that_is_there() {
    let rules = text("monitoring/sagamart.rules.yml");
    let operating = text("docs/operating.md");
    let anchors: BTreeSet<String> = operating
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches(['#', ' '])))
        .collect();
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10, "{}", alerts.len());
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        let link = alert.lines().find_map(|line| line.trim().strip_prefix("runbook_url: docs/operating.md#"));
        let link = link.unwrap_or_else(|| panic!("{name} has no section"));
        assert!(anchors.contains(link), "{name}: docs/operating.md has no section {link}: {anchors:?}");
        for part in ["severity: ", "summary: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        assert!(operating.contains(&format!("`{name}`")), "docs/operating.md does not name {name}");
    }
}
