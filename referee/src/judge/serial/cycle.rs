//! Cycles in the order that reads and time demand.
//!
//! The order of time is carried by a chain of *barriers*, one for each end: an operation points to the barrier of its
//! end, each barrier to the next, and the last barrier before a beginning to what begins. So time costs two edges for each
//! operation instead of one for each pair.

use std::collections::{HashMap, VecDeque};

use super::{Nodes, is_open};

/// Up to `most` cycles, each as short as it can be, of nodes in their order.
pub(super) fn cycles(nodes: &Nodes, edges: &[(u32, u32)], most: usize) -> Vec<Vec<u32>> {
    let graph = Graph::new(nodes, edges);
    let mut found = Vec::new();
    for component in graph.components() {
        if found.len() == most {
            break;
        }
        let count = nodes.count();
        let Some(start) = component.iter().copied().filter(|node| *node < count).min() else { continue };
        if component.len() > 1 {
            let cycle = graph.shortest_cycle(start, &component);
            found.push(cycle.into_iter().filter(|node| *node < count).collect());
        }
    }
    found
}

/// Why there is something for each node.
const BELOW: &str = "every node is below the number of nodes";

struct Graph {
    /// Where the edges of each node are in `targets`.
    offsets: Vec<usize>,
    targets: Vec<u32>,
}

impl Graph {
    fn new(nodes: &Nodes, edges: &[(u32, u32)]) -> Self {
        let count = nodes.count();
        let mut ends: Vec<(u64, u32)> = (0..)
            .zip(&nodes.nodes)
            .filter(|(_, node)| !is_open(node.end))
            .map(|(number, node)| (node.end, number))
            .collect();
        ends.sort_unstable();
        let mut all = edges.to_vec();
        for (place, (_, node)) in (0..).zip(&ends) {
            all.push((*node, count + place));
            if place > 0 {
                all.push((count + place - 1, count + place));
            }
        }
        for (number, node) in (0..).zip(&nodes.nodes) {
            let before = ends.partition_point(|(end, _)| *end < node.start);
            if let Some(last) = u32::try_from(before).expect("no more ends than nodes").checked_sub(1) {
                all.push((count + last, number));
            }
        }
        all.sort_unstable();
        let total = nodes.nodes.len() + ends.len();
        let mut offsets = vec![0; total + 1];
        for (from, _) in &all {
            *offsets.get_mut(*from as usize + 1).expect(BELOW) += 1;
        }
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        Self { offsets, targets: all.into_iter().map(|(_, to)| to).collect() }
    }

    fn targets(&self, node: u32) -> &[u32] {
        let at = |place: usize| *self.offsets.get(place).expect(BELOW);
        self.targets.get(at(node as usize)..at(node as usize + 1)).expect("offsets rise up to the number of targets")
    }

    /// The strongly connected components of more than one node (Tarjan's algorithm, without recursion).
    fn components(&self) -> Vec<Vec<u32>> {
        const NEW: u32 = u32::MAX;
        let count = self.offsets.len() - 1;
        let mut index = vec![NEW; count];
        let mut low = vec![0_u32; count];
        let mut on_stack = vec![false; count];
        let (mut stack, mut found, mut next) = (Vec::new(), Vec::new(), 0_u32);
        // The lints forbid indexing, which is all that this algorithm does.
        let get = |list: &[u32], node: u32| *list.get(node as usize).expect(BELOW);
        let set = |list: &mut [u32], node: u32, value| *list.get_mut(node as usize).expect(BELOW) = value;
        for root in 0..u32::try_from(count).expect("nodes are numbered by this type") {
            if get(&index, root) != NEW {
                continue;
            }
            let mut calls = vec![(root, 0_usize)];
            while let Some((node, edge)) = calls.pop() {
                if edge == 0 {
                    set(&mut index, node, next);
                    set(&mut low, node, next);
                    next += 1;
                    stack.push(node);
                    *on_stack.get_mut(node as usize).expect(BELOW) = true;
                }
                if let Some(target) = self.targets(node).get(edge).copied() {
                    calls.push((node, edge + 1));
                    if get(&index, target) == NEW {
                        calls.push((target, 0));
                    } else if on_stack.get(target as usize) == Some(&true) {
                        let lower = get(&low, node).min(get(&index, target));
                        set(&mut low, node, lower);
                    }
                    continue;
                }
                if get(&low, node) == get(&index, node) {
                    let mut component = Vec::new();
                    while let Some(member) = stack.pop() {
                        *on_stack.get_mut(member as usize).expect(BELOW) = false;
                        component.push(member);
                        if member == node {
                            break;
                        }
                    }
                    if component.len() > 1 {
                        found.push(component);
                    }
                }
                if let Some((caller, _)) = calls.last() {
                    let lower = get(&low, *caller).min(get(&low, node));
                    set(&mut low, *caller, lower);
                }
            }
        }
        found
    }

    /// The shortest way from `start` back to it within a component.
    fn shortest_cycle(&self, start: u32, component: &[u32]) -> Vec<u32> {
        let members: std::collections::HashSet<u32> = component.iter().copied().collect();
        let mut from: HashMap<u32, u32> = HashMap::new();
        let mut open = VecDeque::from([start]);
        while let Some(node) = open.pop_front() {
            for target in self.targets(node).iter().copied().filter(|target| members.contains(target)) {
                if target == start {
                    let mut way = vec![node];
                    let mut at = node;
                    while at != start {
                        at = *from.get(&at).expect("every node but the first was come to from another one");
                        way.push(at);
                    }
                    way.reverse();
                    return way;
                }
                if target != start && !from.contains_key(&target) {
                    from.insert(target, node);
                    open.push_back(target);
                }
            }
        }
        unreachable!("each node of a component is on a way that leads back to it")
    }
}
