//! What the binary says of itself.

use std::{collections::BTreeSet, process::Command};

use sagamart_black_box::binary;

use crate::tools;

/// What one subcommand reads.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its options, with both dashes.
    pub options: BTreeSet<String>,
    /// The environment variables that stand for them, and those that their descriptions name.
    pub variables: BTreeSet<String>,
    /// The whole help, for a message.
    pub help: String,
}

/// The names of the subcommands.
#[must_use]
pub fn subcommands() -> BTreeSet<String> {
    let help = help(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description may go on in the next lines, indented further.
    listed
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// What a subcommand reads, by its help.
#[must_use]
pub fn interface(subcommand: &str) -> Interface {
    let help = help(&[subcommand, "--help"]);
    // Options begin a line; elsewhere, as in a description, they are only mentioned.
    let options = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.split_once(", --").map_or(line, |(short, _)| line.get(short.len() + 2..).unwrap_or(line));
        let end = line.find(|letter: char| !(letter.is_ascii_lowercase() || letter == '-')).unwrap_or(line.len());
        line.starts_with("--").then(|| line.get(..end).unwrap_or(line).to_owned())
    });
    let options = options.collect();
    let words = help.split(|letter: char| !(letter.is_ascii_uppercase() || letter == '_'));
    let variables = words.filter(|word| word.starts_with("SAGAMART_")).map(str::to_owned).collect();
    Interface { options, variables, help }
}

fn help(arguments: &[&str]) -> String {
    tools::output(Command::new(binary::path()).args(arguments))
}
