//! Opening a database to be looked at: as it is on disk, in memory, and nothing in its directory is changed.
//!
//! ```text
//!   tables of the base ◀── links in a temporary directory ── tree ┐
//!                                                                 ├─▶ Shared, without a flusher, checkpoints or merges
//!   journal ──────────────────── read, not cut ── frames ─────────┘    commits stay in memory
//! ```

use std::{fs, io, os::unix::fs::symlink, path::Path, sync::Arc};

use crate::{
    OpenError, Options,
    base::Base,
    directory::Directory,
    disk::Disk,
    open,
    replay::{self, Remains, Torn},
    segment::{self, Pool},
    shared::Shared,
};

/// How a database was left by the process that had it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Whether it was closed, with all that was committed on disk; if not, the process was killed, or the power went.
    pub is_closed: bool,
    /// The frame that was being written then, in words. Nobody was answered for what is in it.
    pub torn: Option<String>,
}

impl Left {
    pub(crate) fn torn(torn: Option<Torn>) -> Option<String> {
        torn.map(|torn| format!("frame {} at byte {} of {}", torn.frame, torn.offset, torn.segment.display()))
    }
}

/// Opens the database in a directory that nobody has open, with links to its tables in another one.
pub(crate) fn look(path: &Path, links: &Path) -> Result<(Arc<Shared>, Left), OpenError> {
    let disk = Disk::default();
    let directory = Directory::look_at(&disk, path)?;
    // Nothing is ever written to the base, so nothing has to wait until it is.
    let options = Options { checkpoint_bytes: u64::MAX, ..Options::new(path) };
    view(&directory.base(), links).map_err(OpenError::io(directory.base()))?;
    let base = Base::open(links, options.cache_bytes)?;
    let (marker, mut restored) = open::restore(&directory, &base)?;
    let journal = directory.journal();
    let folder = disk.folder(&journal).map_err(OpenError::io(&journal))?;
    let listing = segment::list(&journal).map_err(OpenError::io(&journal))?;
    let (identity, closed) = (directory.identity, directory.closed);
    let remains = Remains { folder: &folder, listing: &listing, identity, marker, closed, to_go_on: false };
    let tail = replay::replay(remains, &mut |frame, payload| open::apply(&mut restored, frame, payload))?;
    let last_frame = tail.as_ref().map_or(0, |tail| tail.frame);
    let left = Left { is_closed: closed == last_frame, torn: Left::torn(tail.and_then(|tail| tail.torn)) };
    let pool = Arc::new(Pool::new(folder, identity, options.clone(), Vec::new()));
    let shared = open::share(directory, base, pool, restored, options, (last_frame, 0));
    Ok((Arc::new(shared), left))
}

/// Makes an empty directory look like the base, with links to its tables: the tree tidies up where it is opened.
pub(crate) fn view(base: &Path, view: &Path) -> io::Result<()> {
    let base = fs::canonicalize(base)?;
    for entry in fs::read_dir(&base)? {
        let entry = entry?;
        let copy = view.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::copy(entry.path(), copy)?;
            continue;
        }
        fs::create_dir(&copy)?;
        for file in fs::read_dir(entry.path())? {
            let file = file?;
            symlink(file.path(), copy.join(file.file_name()))?;
        }
    }
    Ok(())
}
