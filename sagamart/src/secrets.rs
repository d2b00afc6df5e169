//! Secrets that are given where others can read them.

use clap::{ArgMatches, parser::ValueSource};

/// Options that hold a secret, and what holds it where others cannot read it.
const SECRETS: [(&str, &str, &str); 2] = [
    ("store_password", "--store-password", "SAGAMART_STORE_PASSWORD or --store-password-file"),
    ("sentinel_password", "--sentinel-password", "SAGAMART_SENTINEL_PASSWORD or --sentinel-password-file"),
];

/// Warns of secrets on the command line, which every user of the machine finds in the list of processes.
pub(crate) fn warn_of_visible(matches: &ArgMatches) {
    for (id, option, instead) in SECRETS {
        if is_on_command_line(matches, id) {
            tracing::warn!(
                "{option} on the command line is visible to everybody in the list of processes: use {instead}"
            );
        }
    }
}

fn is_on_command_line(matches: &ArgMatches, id: &str) -> bool {
    let is_here = matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine);
    is_here || matches.subcommand().is_some_and(|(_, matches)| is_on_command_line(matches, id))
}
