//! Cycles over sales and reads; that whole histories are judged rightly is in the referee's own tests.

use super::*;

fn nodes(spans: &[(u64, u64)]) -> Nodes {
    let mut nodes = Nodes::default();
    for (number, (start, end)) in (0..).zip(spans) {
        nodes.add(Source::Operation(number), *start, *end);
    }
    nodes
}

#[test]
fn time_and_edges_together_make_a_cycle() {
    // 0 is before 1, by time; 2 overlaps both.
    let nodes = nodes(&[(0, 10), (20, 30), (0, 30)]);
    assert!(cycle::cycles(&nodes, &[(0, 2), (2, 1)], 9).is_empty());
    let cycles = cycle::cycles(&nodes, &[(2, 0), (1, 2)], 9);
    let [cycle] = &cycles[..] else { panic!("{cycles:?}") };
    let mut members = cycle.clone();
    members.sort_unstable();
    assert_eq!(members, [0, 1, 2]);
}

#[test]
fn what_touches_overlaps() {
    let nodes = nodes(&[(0, 10), (10, 30)]);
    assert!(cycle::cycles(&nodes, &[(1, 0)], 9).is_empty());
}

#[test]
fn what_has_no_end_is_before_nothing_by_time() {
    let nodes = nodes(&[(0, OPEN), (20, 30)]);
    assert!(cycle::cycles(&nodes, &[(1, 0)], 9).is_empty());
}

#[test]
fn cycles_apart_from_each_other_are_each_found_and_no_more_than_asked_for() {
    let nodes = nodes(&[(0, 9), (0, 9), (0, 9), (0, 9), (0, 9)]);
    let edges = [(0, 1), (1, 0), (2, 3), (3, 2), (3, 4)];
    assert_eq!(cycle::cycles(&nodes, &edges, 9).len(), 2);
    assert_eq!(cycle::cycles(&nodes, &edges, 1).len(), 1);
}

#[test]
fn a_long_chain_needs_no_recursion() {
    let spans: Vec<(u64, u64)> = (0..200_000).map(|number| (number * 10, number * 10 + 5)).collect();
    let nodes = nodes(&spans);
    assert!(cycle::cycles(&nodes, &[], 9).is_empty());
    assert_eq!(cycle::cycles(&nodes, &[(199_999, 0)], 9).len(), 1);
}
