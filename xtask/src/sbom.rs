//! What the program is made of: a bill of materials (CycloneDX 1.6, JSON) of the crates that are linked into it, each with its licence, its
//! address and the checksum that `Cargo.lock` holds it to.
//!
//! The same sources give the same document: it has no time and no number of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{Package, PackageId};
use serde_json::{Map, Value, json};

use crate::{
    failure::{Failure, Result},
    workspace::Workspace,
};

/// Whose parts are listed, with these features: what is shipped.
const PROGRAM: &str = "sagamart";
const FEATURES: &str = "tools";

/// Writes the document beside the archives, and returns where.
pub(crate) fn write(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target().join("archives");
    fs::create_dir_all(&folder)?;
    let place = folder.join(format!("{PROGRAM}-{}.cdx.json", env!("CARGO_PKG_VERSION")));
    let document = document(workspace)?;
    let text = serde_json::to_string_pretty(&document).map_err(|error| Failure::new(error.to_string()))?;
    fs::write(&place, text + "\n")?;
    Ok(place)
}

fn document(workspace: &Workspace) -> Result<Value> {
    let linked = linked(workspace)?;
    let checksums = checksums(&fs::read_to_string(workspace.root().join("Cargo.lock"))?);
    let packages: BTreeMap<&PackageId, &Package> = workspace
        .metadata
        .packages
        .iter()
        .filter(|package| linked.contains(&named(package)))
        .map(|package| (&package.id, package))
        .collect();
    if packages.len() != linked.len() {
        return Err(Failure::new(format!(
            "{} crates are linked, of which cargo knows {}",
            linked.len(),
            packages.len()
        )));
    }
    let program = packages.values().find(|package| package.name.as_str() == PROGRAM);
    let program = program.ok_or_else(|| Failure::new(format!("{PROGRAM} is no part of itself")))?;
    let others = packages.values().filter(|package| package.id != program.id);
    let components: Vec<Value> = others.map(|package| component(package, "library", &checksums)).collect();
    let nodes = workspace.metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let depends = |(package, node): (&&Package, &cargo_metadata::Node)| {
        let on: BTreeSet<String> = node.dependencies.iter().filter_map(|id| Some(purl(packages.get(id)?))).collect();
        json!({"ref": purl(package), "dependsOn": on})
    };
    let dependencies: Vec<Value> =
        nodes.filter_map(|node| Some((packages.get(&node.id)?, node))).map(depends).collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(program, "application", &checksums)},
        "components": components,
        "dependencies": dependencies,
    }))
}

/// The crates that are linked into the program, as cargo decides for the machine that this runs on: `name version`.
fn linked(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let mut tree = workspace.cargo(&["tree", "--locked", "--package", PROGRAM, "--features", FEATURES]);
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe"]);
    let output = tree.output()?;
    if !output.status.success() {
        return Err(Failure::new(format!("{tree:?}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(in_tree(&String::from_utf8_lossy(&output.stdout)))
}

fn in_tree(text: &str) -> BTreeSet<String> {
    let crates = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(" v")?;
        Some(format!("{name} {}", rest.split_whitespace().next()?))
    });
    crates.collect()
}

fn named(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

/// What `Cargo.lock` says of each crate of the registry.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let value = |part: &str, name: &str| {
        let line = part.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
        line.and_then(|rest| rest.strip_suffix('"')).map(str::to_owned)
    };
    let of = |part: &str| {
        let name = format!("{} {}", value(part, "name")?, value(part, "version")?);
        Some((name, value(part, "checksum")?))
    };
    lock.split("[[package]]").filter_map(of).collect()
}

/// How the world calls a crate (package URL).
fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

fn component(package: &Package, kind: &str, checksums: &BTreeMap<String, String>) -> Value {
    let mut component = Map::new();
    let mut set = |name: &str, value: Value| drop(component.insert(name.to_owned(), value));
    set("type", kind.into());
    set("bom-ref", purl(package).into());
    set("name", package.name.as_str().into());
    set("version", package.version.to_string().into());
    if let Some(description) = &package.description {
        set("description", description.split_whitespace().collect::<Vec<_>>().join(" ").into());
    }
    if let Some(checksum) = checksums.get(&named(package)) {
        set("hashes", json!([{"alg": "SHA-256", "content": checksum}]));
    }
    if let Some(licence) = &package.license {
        // Older packages write `MIT/Apache-2.0`.
        set("licenses", json!([{"expression": licence.replace('/', " OR ")}]));
    }
    set("purl", purl(package).into());
    if let Some(repository) = &package.repository {
        set("externalReferences", json!([{"type": "vcs", "url": repository}]));
    }
    Value::Object(component)
}

/// Whether there is a document, and all that is linked from the registry has a checksum and a licence.
pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    let document = document(workspace)?;
    let components = document.pointer("/components").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_ours = |component: &Value| {
        let name = component.get("name").and_then(Value::as_str);
        workspace.metadata.workspace_packages().iter().any(|package| Some(package.name.as_str()) == name)
    };
    let lacks = |component: &Value| {
        let lacking = ["licenses", "hashes"].into_iter().find(|name| component.get(name).is_none())?;
        Some(format!("{}: no {lacking}", component.get("purl").unwrap_or(&Value::Null)))
    };
    let findings: Vec<String> = components.iter().filter(|component| !is_ours(component)).filter_map(lacks).collect();
    Failure::unless_empty(findings, format!("{} crates are linked into the program", components.len()))
}

/// The document, put into a folder.
pub(crate) fn copy_to(workspace: &Workspace, folder: &Path) -> Result<()> {
    let place = write(workspace)?;
    fs::copy(place, folder.join("sbom.cdx.json"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_whatever_stands_behind_a_version() {
        let text = "sagamart v0.1.0 (/somewhere/sagamart)\nserde v1.0.229\nserde_derive v1.0.229 (proc-macro)\n\nserde v1.0.229\n";
        assert_eq!(
            in_tree(text).into_iter().collect::<Vec<_>>(),
            ["sagamart 0.1.0", "serde 1.0.229", "serde_derive 1.0.229"]
        );
    }

    #[test]
    fn a_lock_file_says_what_each_crate_of_the_registry_is() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\nchecksum = \"ab\"\n\n\
                    [[package]]\nname = \"ours\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";
        assert_eq!(checksums(lock), BTreeMap::from([("a 1.0.0".to_owned(), "ab".to_owned())]));
    }
}
