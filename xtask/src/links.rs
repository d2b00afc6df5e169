//! Links in Markdown files that stay inside the repository lead to a file, and to a heading where they name one.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{
    failure::{Failure, Result},
    workspace::{Workspace, files_under},
};

pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    check_under(workspace.root())
}

fn check_under(root: &Path) -> Result<String> {
    let mut documents = HashMap::new();
    for path in files_under(root, "md")? {
        let text = fs::read_to_string(root.join(&path))?;
        documents.insert(path, Document::read(&text));
    }
    let mut findings = Vec::new();
    let mut count = 0;
    for (path, document) in &documents {
        for link in document.links.iter().filter(|link| is_local(link)) {
            count += 1;
            if let Some(why) = broken(root, path, link, &documents) {
                findings.push(format!("{}: `{link}` {why}", path.display()));
            }
        }
    }
    findings.sort();
    Failure::unless_empty(findings, format!("{count} local links in {} files", documents.len()))
}

#[derive(Debug, Default)]
struct Document {
    links: Vec<String>,
    anchors: HashSet<String>,
}

impl Document {
    fn read(text: &str) -> Self {
        let mut document = Self::default();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.to_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    if let Some(heading) = heading.take() {
                        document.add_anchor(&slug(&heading));
                    }
                }
                _ => {}
            }
        }
        document
    }

    /// A repeated heading gets a number, as forges that render the file give it.
    fn add_anchor(&mut self, slug: &str) {
        let numbered = (1..).map(|number| format!("{slug}-{number}"));
        let anchor = std::iter::once(slug.to_owned()).chain(numbered).find(|anchor| !self.anchors.contains(anchor));
        self.anchors.extend(anchor);
    }
}

fn slug(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn is_local(link: &str) -> bool {
    !link.contains("://") && !link.starts_with("mailto:")
}

fn broken(root: &Path, from: &Path, link: &str, documents: &HashMap<PathBuf, Document>) -> Option<String> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = match path {
        "" => from.to_owned(),
        path => normal(&from.parent().unwrap_or(Path::new("")).join(path)),
    };
    if target.is_absolute() || target.starts_with("..") {
        return Some("leads out of the repository".to_owned());
    }
    if !root.join(&target).exists() {
        return Some("leads to no file".to_owned());
    }
    let anchor = anchor?;
    let known = documents.get(&target).is_some_and(|document| document.anchors.contains(anchor));
    // Line anchors of source files (`#L10`) depend on the forge and are not checked.
    let checked = target.extension().is_some_and(|extension| extension == "md");
    (checked && !known).then(|| "leads to no heading".to_owned())
}

/// The path without `.` and with each `..` applied, by words alone.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        check_under(folder.path()).map_or_else(|failure| failure.to_string(), |note| format!("ok: {note}"))
    }

    #[test]
    fn links_to_files_and_headings_that_exist_pass() {
        let readme = "# One\n[a](docs/a.md) [b](docs/a.md#two-words) [c](#one) [d](https://example.org/x) ![e](e.png)";
        let page = "## Two `words`!\n[up](../README.md#one) [folder](../docs)\n```\n[not a link](nowhere)\n```\n";
        let found = findings(&[("README.md", readme), ("docs/a.md", page), ("e.png", "")]);
        assert_eq!(found, "ok: 6 local links in 2 files");
    }

    #[test]
    fn each_broken_link_is_named() {
        let readme = "# One\n# One\n[a](none.md) [b](#two) [c](#one-1) [d](../secret) [e](/etc/passwd)";
        let expected = "README.md: `#two` leads to no heading\n\
                        README.md: `../secret` leads out of the repository\n\
                        README.md: `/etc/passwd` leads out of the repository\n\
                        README.md: `none.md` leads to no file";
        assert_eq!(findings(&[("README.md", readme)]), expected);
    }
}
