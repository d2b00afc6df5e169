//! No files of a crate import each other in a circle: whoever reads one can then read what it stands on first.
//!
//! ```text
//!   a.rs ──▶ b.rs ──▶ c.rs          a module's own submodules may use what it defines, and it may use them: that is a
//!     ▲                 │           house and its rooms, not a circle
//!     └───── refused ───┘
//! ```
//!
//! An import is a path that begins with `crate`, `self`, `super` or the name of a module, in a `use` or in the code, outside
//! tests. A name that a module only passes on (`pub use`) is looked up where it comes from.

mod graph;
mod imports;

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    failure::{Failure, Result},
    workspace::{self, Workspace},
};
use graph::circles;
use imports::{Module, ModulePath};

pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    let mut findings = Vec::new();
    let mut files = 0;
    for package in workspace.metadata.workspace_packages() {
        let Some(folder) = package.manifest_path.parent() else { continue };
        let source = folder.join("src");
        if !source.is_dir() {
            continue;
        }
        let modules = modules_of(source.as_std_path())?;
        files += modules.len();
        for circle in circles(&arrows(&modules)) {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            findings.push(format!("{}: these files import each other: {}", package.name, names.join(", ")));
        }
    }
    Failure::unless_empty(findings, format!("{files} files"))
}

/// The modules of a crate that have files of their own, without tests.
fn modules_of(source: &Path) -> Result<BTreeMap<ModulePath, Module>> {
    let mut modules = BTreeMap::new();
    for file in workspace::files_under(source, "rs")? {
        let path = module_path(&file);
        if path.iter().any(|part| part == "tests") {
            continue;
        }
        let text = fs::read_to_string(source.join(&file))?;
        let module =
            Module::parse(&text).map_err(|error| Failure::new(format!("{}: {error}", source.join(&file).display())))?;
        modules.insert(path, module);
    }
    Ok(modules)
}

/// `a/b.rs` and `a/b/mod.rs` are both `a::b`; the root is empty.
fn module_path(file: &Path) -> ModulePath {
    let mut path: ModulePath = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let is_root = |last: &String| ["mod", "lib", "main"].contains(&last.as_str());
    if path.last().is_some_and(is_root) {
        path.pop();
    }
    path
}

/// Which module takes something from which other, ancestors left out.
fn arrows(modules: &BTreeMap<ModulePath, Module>) -> BTreeMap<ModulePath, Vec<ModulePath>> {
    let arrows_of = |(path, module): (&ModulePath, &Module)| {
        let mut targets: Vec<ModulePath> = module
            .imports
            .iter()
            .filter_map(|import| imports::resolve(modules, path, import))
            .filter(|target| !path.starts_with(target))
            .collect();
        targets.sort();
        targets.dedup();
        (path.clone(), targets)
    };
    modules.iter().map(arrows_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let modules = files.iter().map(|(file, text)| (module_path(Path::new(file)), Module::parse(text).unwrap()));
        let found = circles(&arrows(&modules.collect()));
        found.into_iter().map(|circle| circle.iter().map(|module| module.join("::")).collect()).collect()
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "pub struct B; fn f() -> crate::a::A { todo() }"),
        ];
        assert_eq!(found(&files), [["a", "b"]]);
        assert!(found(&[files[0], files[1], ("b.rs", "pub struct B;")]).is_empty());
    }

    #[test]
    fn a_name_that_is_passed_on_is_looked_up_where_it_comes_from() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use self::b::{B as Bee};"),
            ("a.rs", "use crate::Bee; pub fn a() {}"),
            ("b/mod.rs", "use super::a::a; pub struct B;"),
        ];
        assert_eq!(found(&files), [["a", "b"]]);
    }

    #[test]
    fn a_module_and_its_own_submodules_are_no_circle() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; use b::B; pub struct A;"),
            ("a/b.rs", "use super::A; pub struct B;"),
        ];
        assert!(found(&files).is_empty());
    }

    #[test]
    fn what_only_tests_import_does_not_count() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] use crate::a::A;"),
        ];
        assert!(found(&files).is_empty());
    }
}
