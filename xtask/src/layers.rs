//! Crates depend on each other in one direction only.
//!
//! ```text
//!                 sagamart                     the only one that joins services and stores
//!        ┌───────────┼───────────┐
//!        ▼           ▼           ▼
//!      bench   order stock    store-*
//!        │     payment │         │
//!        ▼       │  ▼  ▼         │
//!     referee    │  api          │
//!                │  ▼  ▼         │
//!                │ web contract  │
//!                └──▶ saga ◀─────┘
//! ```
//!
//! `contract` names no I/O, not even through a dependency; nor does a service outside its routes and problems.

use std::{collections::BTreeSet, fs, path::Path};

use cargo_metadata::{DependencyKind, Package};

use crate::{
    failure::{Failure, Result},
    workspace::Workspace,
};

/// What one of our packages may depend on, of ours.
struct Layer {
    /// The package, or with a `*` at the end all whose names begin so.
    package: &'static str,
    allowed: &'static [&'static str],
    /// What its tests may depend on besides.
    allowed_in_tests: &'static [&'static str],
}

const SERVICE: [&str; 4] = ["saga", "sagamart-api", "sagamart-contract", "sagamart-web"];
const MEMORY: &[&str] = &["saga-store-memory"];

/// A package that no row names is a finding: whoever adds one says here where it stands.
const LAYERS: &[Layer] = &[
    layer("saga", &[], MEMORY),
    layer("saga-store-*", &["saga"], &["sagamart-test-servers"]),
    layer("sagamart-contract", &[], &[]),
    layer("sagamart-web", &["saga"], MEMORY),
    layer("sagamart-api", &["sagamart-contract", "sagamart-web"], &[]),
    layer("sagamart-order", &SERVICE, MEMORY),
    layer("sagamart-stock", &SERVICE, MEMORY),
    layer("sagamart-payment", &SERVICE, MEMORY),
    layer("sagamart-observer", &SERVICE, MEMORY),
    layer("sagamart-traces", &["saga", "sagamart-contract", "sagamart-observer"], &[]),
    layer("sagamart-referee", &[], &[]),
    layer("sagamart-bench", &["sagamart-referee"], &[]),
    // It drives the services' steps, and needs neither their routes nor a store's disk.
    layer(
        "sagamart-simulator",
        &[
            "saga",
            "saga-store-memory",
            "sagamart-contract",
            "sagamart-order",
            "sagamart-stock",
            "sagamart-payment",
            "sagamart-observer",
        ],
        &[],
    ),
    layer(
        "sagamart",
        &[
            "saga",
            "saga-store-*",
            "sagamart-api",
            "sagamart-contract",
            "sagamart-web",
            "sagamart-order",
            "sagamart-stock",
            "sagamart-payment",
            "sagamart-observer",
            "sagamart-traces",
            "sagamart-bench",
            "sagamart-simulator",
        ],
        &[],
    ),
    // It knows the shop as a client does: by its binary and its API.
    layer("sagamart-black-box", &["sagamart-test-servers"], &[]),
    layer("sagamart-test-servers", &[], &[]),
    // It holds the deployment files against that binary.
    layer("sagamart-deployment-tests", &["sagamart-black-box"], &["sagamart-test-servers"]),
    // As the black-box tests, whose client it borrows; but of a shop in containers.
    layer("sagamart-compose-tests", &[], &["sagamart-black-box"]),
    layer("xtask", &[], &[]),
];

const fn layer(
    package: &'static str,
    allowed: &'static [&'static str],
    allowed_in_tests: &'static [&'static str],
) -> Layer {
    Layer { package, allowed, allowed_in_tests }
}

/// The package whose whole dependency tree is free of I/O.
const PURE: &str = "sagamart-contract";

/// Crates that talk to the world: network, disk, clock, randomness, or an executor for them.
const IO_CRATES: [&str; 17] = [
    "async-std",
    "axum",
    "fjall",
    "fs4",
    "getrandom",
    "hyper",
    "hyper-util",
    "mio",
    "rand",
    "redis",
    "reqwest",
    "rustix",
    "smol",
    "socket2",
    "sqlx",
    "tempfile",
    "tokio",
];

/// The packages whose sources are pure except for the files that serve HTTP.
const SERVICES: [&str; 3] = ["sagamart-order", "sagamart-stock", "sagamart-payment"];

/// What such a source may not name.
const IO_WORDS: [&str; 11] = [
    "axum::",
    "getrandom::",
    "hyper::",
    "rand::",
    "std::fs",
    "std::net",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio::",
    "utoipa::",
];

pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    let ours = workspace.metadata.workspace_packages();
    let names: BTreeSet<&str> = ours.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in &ours {
        let Some(layer) = LAYERS.iter().find(|layer| matches(layer.package, &package.name)) else {
            findings.push(format!("{}: no layer names it", package.name));
            continue;
        };
        findings.extend(forbidden(package, layer, &names));
        if SERVICES.contains(&package.name.as_str()) {
            findings.extend(impure_sources(workspace.root(), package)?);
        }
    }
    findings.extend(impure_dependencies(workspace));
    Failure::unless_empty(findings, format!("{} packages", ours.len()))
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

fn forbidden(package: &Package, layer: &Layer, ours: &BTreeSet<&str>) -> Vec<String> {
    let one_of = |allowed: &[&str], name: &str| allowed.iter().any(|pattern| matches(pattern, name));
    let dependencies = package.dependencies.iter().filter(|dependency| ours.contains(dependency.name.as_str()));
    let forbidden = dependencies.filter(|dependency| {
        let in_tests = dependency.kind == DependencyKind::Development;
        // Its own tests may name a package again, to turn a feature on.
        let itself = in_tests && dependency.name == package.name.as_str();
        let allowed_in_tests = in_tests && one_of(layer.allowed_in_tests, &dependency.name);
        !(itself || allowed_in_tests || one_of(layer.allowed, &dependency.name))
    });
    forbidden.map(|dependency| format!("{} may not depend on {}", package.name, dependency.name)).collect()
}

/// Follows what [`PURE`] depends on, without its tests and build scripts, to every I/O crate.
fn impure_dependencies(workspace: &Workspace) -> Vec<String> {
    let Some(resolve) = &workspace.metadata.resolve else {
        return vec!["cargo resolved nothing".to_owned()];
    };
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    let pure = workspace.metadata.packages.iter().filter(|package| package.name.as_str() == PURE);
    let mut open: Vec<_> = pure.map(|package| &package.id).collect();
    if open.is_empty() {
        findings.push(format!("{PURE}: there is no such package"));
    }
    while let Some(id) = open.pop() {
        let node = resolve.nodes.iter().find(|node| node.id == *id);
        for dependency in node.iter().flat_map(|node| &node.deps) {
            let normal = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            if !normal || !seen.insert(&dependency.pkg) {
                continue;
            }
            let name = workspace.metadata.packages.iter().find(|package| package.id == dependency.pkg);
            let name = name.map_or("", |package| package.name.as_str());
            if IO_CRATES.contains(&name) {
                findings.push(format!("{PURE} may not reach {name}, which does I/O"));
            }
            open.push(&dependency.pkg);
        }
    }
    findings
}

fn impure_sources(root: &Path, package: &Package) -> Result<Vec<String>> {
    let Some(sources) = package.manifest_path.parent().map(|folder| folder.join("src")) else {
        return Ok(Vec::new());
    };
    let mut findings = Vec::new();
    for path in crate::workspace::files_under(sources.as_std_path(), "rs")? {
        if serves_http(&path) {
            continue;
        }
        let full = sources.as_std_path().join(&path);
        let text = fs::read_to_string(&full)?;
        for word in named(&text) {
            let shown = full.strip_prefix(root).unwrap_or(&full).display();
            findings.push(format!("{shown}: names `{word}`, which only routes and problems may"));
        }
    }
    Ok(findings)
}

/// `routes.rs`, everything under `routes/`, `problems.rs` (the failures as HTTP tells them), and tests.
fn serves_http(path: &Path) -> bool {
    let mut words = path.components().filter_map(|word| word.as_os_str().to_str());
    words.any(|word| matches!(word.trim_end_matches(".rs"), "routes" | "problems" | "tests"))
}

fn named(text: &str) -> Vec<&'static str> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let names = |line: &str, word: &str| {
        // `operand::` does not name `rand::`.
        line.match_indices(word).any(|(at, _)| {
            let before = line.get(..at).and_then(|before| before.chars().next_back());
            !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
        })
    };
    IO_WORDS.into_iter().filter(|word| code.iter().any(|line| names(line, word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_every_name_that_begins_so() {
        assert!(matches("saga-store-*", "saga-store-redis"));
        assert!(!matches("saga-store-*", "sagamart"));
        assert!(!matches("saga", "sagamart"));
    }

    #[test]
    fn only_code_that_names_io_is_found() {
        assert_eq!(named("use tokio::time;\n"), ["tokio::"]);
        assert_eq!(named("// use tokio::time;\nlet x = operand::value();\n"), [""; 0]);
        assert_eq!(named("fn f() -> std::time::Instant"), ["std::time::Instant"]);
    }

    #[test]
    fn routes_and_tests_may_serve_http() {
        assert!(serves_http(Path::new("routes.rs")));
        assert!(serves_http(Path::new("routes/find.rs")));
        assert!(serves_http(Path::new("step/tests.rs")));
        assert!(!serves_http(Path::new("step.rs")));
    }
}
