//! Circles in a graph.

use std::collections::{BTreeMap, BTreeSet};

/// The groups of nodes of which each reaches every other, of two or more.
pub(super) fn circles<Node: Ord + Clone>(arrows: &BTreeMap<Node, Vec<Node>>) -> Vec<Vec<Node>> {
    // Files are few: what each reaches is simply gone through.
    let reached: BTreeMap<&Node, BTreeSet<&Node>> =
        arrows.keys().map(|node| (node, reached_from(arrows, node))).collect();
    let reaches = |from: &Node, to: &Node| reached.get(from).is_some_and(|reached| reached.contains(to));
    let mut found: Vec<Vec<Node>> = Vec::new();
    for node in arrows.keys() {
        if found.iter().any(|circle| circle.contains(node)) {
            continue;
        }
        let circle: Vec<Node> =
            arrows.keys().filter(|other| reaches(node, other) && reaches(other, node)).cloned().collect();
        if circle.len() > 1 {
            found.push(circle);
        }
    }
    found
}

fn reached_from<'graph, Node: Ord>(arrows: &'graph BTreeMap<Node, Vec<Node>>, from: &Node) -> BTreeSet<&'graph Node> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Node> = arrows.get(from).into_iter().flatten().collect();
    while let Some(node) = open.pop() {
        if reached.insert(node) {
            open.extend(arrows.get(node).into_iter().flatten());
        }
    }
    reached
}
