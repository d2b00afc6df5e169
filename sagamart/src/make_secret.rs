//! `sagamart secret`: what the processes of a shop know and nobody else does.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
};

use clap::Args;

/// As many random bytes as nobody guesses.
const BYTES: usize = 32;

/// Makes a secret for --peer-secret-file, in a file that nobody but its owner can read. One that is there already stays.
#[derive(Args, Clone, Debug)]
pub(crate) struct MakeSecret {
    /// Where to write it
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl MakeSecret {
    /// Makes it, and says what became of it.
    pub(crate) fn run(&self) -> io::Result<()> {
        let file = self.file.display();
        let made = make(&self.file).map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
        writeln!(io::stdout(), "{file} {}", if made { "has a new secret" } else { "is there already" })
    }
}

/// Makes it whole or not at all, for several processes may be told to at once. Returns whether there was none.
fn make(file: &Path) -> io::Result<bool> {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = file.with_added_extension(format!("draft-{}", process::id()));
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let linked =
        writeln!(written, "{secret}").and_then(|()| written.sync_all()).and_then(|()| fs::hard_link(&draft, file));
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
