//! `sagamart token`: lets somebody in.

use std::{
    fs::OpenOptions,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use clap::{ArgAction, Args};
use contract::UserId;
use web::access::{Entry, Scopes, Token};

/// Makes a token for --tokens and prints it; the file gets its hash alone, in a line of its own. To take it back, remove the line
///
/// Scopes: orders.read, orders.write, stock.read, stock.write, payment.read, payment.write, bulk (batch_init), metrics,
/// admin.read (everything of every customer) and admin.repair. None stands for another.
#[derive(Args, Clone, Debug)]
pub(crate) struct MakeToken {
    /// What its owner is called, in the log too
    name: String,

    /// What it is for, with commas in between
    #[arg(long, value_name = "SCOPES", required = true)]
    scopes: Scopes,

    /// The only user whose orders and credit it is for
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,

    /// The file of tokens, which is made if there is none
    #[arg(long, value_name = "FILE", required = true, action = ArgAction::Set)]
    file: PathBuf,
}

impl MakeToken {
    /// Makes it, and prints it.
    pub(crate) fn run(self) -> io::Result<()> {
        let Self { name, scopes, user, file } = self;
        let (token, text) = Token::random()?;
        let user = user.map(|user| user.as_str().into());
        let entry = Entry { name: name.into(), scopes, token, user };
        entry.check().map_err(io::Error::other)?;
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
        append(&file, &entry).map_err(named)?;
        writeln!(io::stdout(), "{text}")
    }
}

fn append(file: &PathBuf, entry: &Entry) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    // A line that an editor has left without its end stays one.
    let is_whole = match file.seek(SeekFrom::End(-1)) {
        Ok(_) => {
            let mut last = [0];
            file.read_exact(&mut last)?;
            last == *b"\n"
        }
        // It is empty.
        Err(_) => true,
    };
    let line = format!("{}{entry}\n", if is_whole { "" } else { "\n" });
    // In one piece, for somebody may read it meanwhile.
    file.write_all(line.as_bytes())?;
    file.sync_all()
}
