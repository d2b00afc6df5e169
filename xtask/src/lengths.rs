//! Source files stay short enough to read in one go.

use std::fs;

use crate::{
    failure::{Failure, Result},
    workspace::Workspace,
};

/// Above this many lines a file is pointed out.
const LINES_WARN: usize = 400;

/// Above this many lines a file has to say why it is not two.
const LINES_MAX: usize = 600;

/// How such a file says it, in one of its first lines: `//! Long because …`.
const REASON: &str = "Long because ";

/// In how many lines from the top the reason is looked for.
const REASON_LINES_MAX: usize = 40;

pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    let mut findings = Vec::new();
    let files = workspace.files("rs")?;
    for path in &files {
        let text = fs::read_to_string(workspace.root().join(path))?;
        let lines = text.lines().count();
        if too_long(&text) {
            let path = path.display();
            findings.push(format!("{path}: {lines} lines; split it, or begin it with `//! {REASON}…`"));
        } else if lines > LINES_WARN {
            println!("note: {} has {lines} lines (more than {LINES_WARN})", path.display());
        }
    }
    Failure::unless_empty(findings, format!("{} files", files.len()))
}

fn too_long(text: &str) -> bool {
    text.lines().count() > LINES_MAX && !text.lines().take(REASON_LINES_MAX).any(|line| line.contains(REASON))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_must_say_why() {
        let body = "line\n".repeat(LINES_MAX);
        assert!(!too_long(&body));
        assert!(too_long(&format!("//! Text.\n{body}")));
        assert!(!too_long(&format!("//! Long because it is one table.\n{body}")));
    }
}
