//! `sagamart completions` and `sagamart manual`: what a package of the program brings along, written from its own options.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Command};
use clap_complete::{Shell, generate};

/// The program as shells know it.
const PROGRAM: &str = "sagamart";

/// Writes what completes commands and options in a shell, to standard output
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// Of which shell
    shell: Shell,
}

/// Writes manual pages, one for the program and one for each command
#[derive(Args, Debug)]
pub(crate) struct Manual {
    /// Where to; made if it is missing
    directory: PathBuf,
}

impl Completions {
    pub(crate) fn run(&self, program: &Command) -> io::Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut shown(program), PROGRAM, &mut script);
        io::stdout().lock().write_all(&script)
    }
}

/// Without hidden commands, which the scripts of shells would offer like any other.
fn shown(program: &Command) -> Command {
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    let shown = Command::new(PROGRAM).version(env!("CARGO_PKG_VERSION"));
    shown.args(program.get_arguments().cloned()).subcommands(commands.cloned())
}

impl Manual {
    pub(crate) fn run(&self, program: Command) -> io::Result<()> {
        write_pages(program, &self.directory)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.directory.display())))
    }
}

fn write_pages(program: Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(program, directory)
}
