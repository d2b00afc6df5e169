//! Data directories as they look after somebody or something has been at them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// Every file under `directory` with its content.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(directory)
        .into_iter()
        .map(|path| {
            let content = fs::read(&path).expect("a file of the data can be read");
            (path, content)
        })
        .collect()
}

/// Every file under `directory`, sorted.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the data can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Copies a directory with all that is in it.
///
/// # Panics
/// It cannot be.
pub fn copy(from: &Path, to: &Path) {
    for (path, content) in snapshot(from) {
        let path = to.join(path.strip_prefix(from).expect("a path below it"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
    }
}

/// Changes one bit of a file.
///
/// # Panics
/// There is no such bit.
pub fn flip(path: &Path, offset: u64, bit: u8) {
    let file = fs::File::options().read(true).write(true).open(path).expect("the file can be opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("the file is that long");
    let flipped = byte.map(|byte| byte ^ (1 << bit));
    file.write_all_at(&flipped, offset).expect("the file can be written");
}

/// How long a file is up to its last byte that is not zero.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn used_length(path: &Path) -> u64 {
    let content = fs::read(path).expect("the file can be read");
    let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    u64::try_from(used).expect("a length")
}
