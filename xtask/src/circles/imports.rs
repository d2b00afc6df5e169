//! What a file imports, and where that stands.

use std::collections::BTreeMap;

use syn::{
    Attribute, Item, ItemUse, Path, UseTree,
    visit::{self, Visit},
};

/// The names of a module's ancestors in its crate, and its own.
pub(super) type ModulePath = Vec<String>;

/// How often a name that is passed on is followed.
const PASSED_ON_MAX: usize = 16;

/// One file.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// Paths that it names, as they are written.
    pub(super) imports: Vec<Vec<String>>,
    /// The names that it passes on, with where they come from.
    passed_on: BTreeMap<String, Vec<String>>,
    /// Whose names it passes on all.
    globs: Vec<Vec<String>>,
}

impl Module {
    pub(super) fn parse(text: &str) -> syn::Result<Self> {
        let mut module = Self::default();
        module.visit_file(&syn::parse_file(text)?);
        Ok(module)
    }

    fn enter(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.enter(&with(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                let (path, name) = match (name.as_str(), before.last()) {
                    ("self", Some(last)) => (before.to_vec(), last.clone()),
                    _ => (with(name.clone()), name),
                };
                self.passed_on.insert(name, path.clone());
                self.imports.push(path);
            }
            UseTree::Rename(rename) => {
                let path = with(rename.ident.to_string());
                self.passed_on.insert(rename.rename.to_string(), path.clone());
                self.imports.push(path);
            }
            UseTree::Glob(_) => {
                self.globs.push(before.to_vec());
                self.imports.push(before.to_vec());
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.enter(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.enter(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.segments.len() > 1 {
            self.imports.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
}

/// The module in which what `path` names stands, where that is one of the crate's.
pub(super) fn resolve(
    modules: &BTreeMap<ModulePath, Module>,
    here: &ModulePath,
    path: &[String],
) -> Option<ModulePath> {
    let mut place = here.clone();
    let mut rest = path.to_vec();
    for _ in 0..PASSED_ON_MAX {
        let (first, after) = rest.split_first()?;
        match first.as_str() {
            "crate" => place.clear(),
            "self" => {}
            "super" => drop(place.pop()?),
            name => {
                let child: ModulePath = place.iter().cloned().chain([name.to_owned()]).collect();
                let module = modules.get(&place)?;
                if modules.contains_key(&child) {
                    place = child;
                } else if let Some(from) = module.passed_on.get(name).filter(|from| from.as_slice() != rest) {
                    rest = from.iter().chain(after).cloned().collect();
                    continue;
                } else if place == *here {
                    // A name of its own, or of another crate.
                    return None;
                } else {
                    let glob = module.globs.iter().find_map(|glob| resolve(modules, &place, glob));
                    return Some(glob.unwrap_or(place));
                }
            }
        }
        if after.is_empty() {
            return Some(place);
        }
        rest = after.to_vec();
    }
    None
}
