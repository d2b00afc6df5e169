//! `sagamart secret`: what the processes of a shop know and nobody else does.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use clap::Args;

/// As many random bytes as nobody guesses.
const BYTES: usize = 32;
/// As many as no two drafts of one file have in common.
const DRAFT_BYTES: usize = 8;

/// Makes secrets for --peer-secret-file, or passwords for --store-password-file, in files that nobody but their owner can read. What is
/// there already stays.
#[derive(Args, Clone, Debug)]
pub(crate) struct MakeSecret {
    /// Where to write them, each another one
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Lets the group of the files read them, too
    #[arg(long)]
    group: bool,
}

impl MakeSecret {
    /// Makes them, and says what became of each.
    pub(crate) fn run(&self) -> io::Result<()> {
        let mode = if self.group { 0o640 } else { 0o600 };
        for file in &self.files {
            let name = file.display();
            let made = make(file, mode).map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
            writeln!(io::stdout(), "{name} {}", if made { "has a new secret" } else { "is there already" })?;
        }
        Ok(())
    }
}

/// Makes it whole or not at all, for several processes may be told to at once. Returns whether there was none.
fn make(file: &Path, mode: u32) -> io::Result<bool> {
    if file.try_exists()? {
        return Ok(false);
    }
    let secret = random::<BYTES>()?;
    // Processes in containers all have the same number, and one that was killed leaves its draft.
    let draft = file.with_added_extension(format!("draft-{}", random::<DRAFT_BYTES>()?));
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let linked = written
        .set_permissions(Permissions::from_mode(mode))
        .and_then(|()| writeln!(written, "{secret}"))
        .and_then(|()| written.sync_all())
        .and_then(|()| fs::hard_link(&draft, file));
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// So many random bytes, in hexadecimal digits.
fn random<const COUNT: usize>() -> io::Result<String> {
    let mut bytes = [0_u8; COUNT];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
