//! Making changes to a directory last.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// Makes the creation, renaming and removal of files in `directory` last.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Puts a file of this `content` in place of whatever was at `path`: after a crash it is the old one or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}
