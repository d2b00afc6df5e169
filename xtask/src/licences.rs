//! Every dependency comes from the public registry under a licence that lets users of sagamart do what its own
//! licence promises them.

use cargo_metadata::Package;
use spdx::{Expression, ParseMode, expression::ExpressionReq};

use crate::{
    failure::{Failure, Result},
    workspace::Workspace,
};

/// Licences that ask for no more than a notice. Keep equal to `deny.toml`.
const ALLOWED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// What our own packages are under.
const OURS: &str = "MIT OR Apache-2.0";

pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    let mut findings: Vec<String> = workspace.foreign().filter_map(foreign).collect();
    for package in workspace.metadata.workspace_packages() {
        if package.license.as_deref() != Some(OURS) {
            findings.push(format!("{}: ours, but its licence is not `{OURS}`", package.name));
        }
    }
    Failure::unless_empty(findings, format!("{} dependencies", workspace.foreign().count()))
}

fn foreign(package: &Package) -> Option<String> {
    let name = format!("{} {}", package.name, package.version);
    if !package.source.as_ref().is_some_and(cargo_metadata::Source::is_crates_io) {
        return Some(format!("{name}: does not come from the crates.io registry"));
    }
    let Some(licence) = &package.license else {
        return Some(format!("{name}: names no SPDX licence expression"));
    };
    refused(licence).map(|why| format!("{name}: {why}"))
}

/// Why the expression cannot be satisfied with allowed licences alone, if so.
fn refused(expression: &str) -> Option<String> {
    // Lax, because older packages write `MIT/Apache-2.0`.
    let parsed = match Expression::parse_mode(expression, ParseMode::LAX) {
        Ok(parsed) => parsed,
        Err(error) => return Some(format!("unreadable licence `{expression}`: {}", error.reason)),
    };
    let allowed = |requirement: &spdx::LicenseReq| {
        let id = requirement.license.id();
        id.is_some_and(|id| ALLOWED.contains(&id.name))
    };
    if parsed.evaluate(allowed) {
        return None;
    }
    let asked: Vec<String> = parsed.requirements().map(|ExpressionReq { req, .. }| req.to_string()).collect();
    Some(format!("licence `{expression}` is not allowed (it asks for {})", asked.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_allowed_when_one_branch_is() {
        assert_eq!(refused("MIT OR GPL-3.0-only"), None);
        assert_eq!(refused("MIT/Apache-2.0"), None);
        assert_eq!(refused("Apache-2.0 WITH LLVM-exception OR MIT"), None);
        assert_eq!(refused("(MIT OR Apache-2.0) AND Unicode-3.0"), None);
    }

    #[test]
    fn copyleft_and_nonsense_are_refused() {
        for licence in ["GPL-3.0-only", "MIT AND LGPL-3.0-or-later", "AGPL-3.0-only", "whatever you like", ""] {
            assert!(refused(licence).is_some(), "{licence}");
        }
    }

    #[test]
    fn the_list_is_the_one_that_cargo_deny_is_given() {
        let deny = include_str!("../../deny.toml");
        for licence in ALLOWED {
            assert!(deny.contains(&format!("\"{licence}\"")), "{licence} is not in deny.toml");
        }
    }
}
