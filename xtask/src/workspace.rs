//! What cargo knows of the workspace, and the files that are in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package};

use crate::failure::Result;

/// Folders that hold no sources: build output and a server's data.
const FOLDERS_LEFT_OUT: [&str; 4] = ["target", ".git", "sagamart-data", "node_modules"];

/// The workspace as cargo resolves it from `Cargo.lock`.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) metadata: Metadata,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let metadata = MetadataCommand::new().features(CargoOpt::AllFeatures).exec()?;
        Ok(Self { metadata })
    }

    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The packages that are not ours.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.metadata.packages.iter().filter(|package| !self.metadata.workspace_members.contains(&package.id))
    }

    /// A cargo command that runs in the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.args(arguments).current_dir(self.root());
        command
    }

    /// Every file under the root whose name ends in `.{extension}`, sorted, relative to the root.
    pub(crate) fn files(&self, extension: &str) -> Result<Vec<PathBuf>> {
        files_under(self.root(), extension)
    }
}

/// As [`Workspace::files`], for any folder.
pub(crate) fn files_under(root: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() && !FOLDERS_LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The cargo that runs this program, so that a `+toolchain` reaches every step.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
