//! `sagamart why`: what happened to the checkouts of an order, in words.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;
use serde::Deserialize;

use super::{Error, Origin, escaped, read};

/// Says what happened to the checkouts of an order and why: who held what when, what it waited for, what was missing
#[derive(Args, Debug)]
pub(crate) struct Why {
    /// Which order; ids may begin with a hyphen
    #[arg(allow_hyphen_values = true)]
    order: String,

    #[command(flatten)]
    origin: Origin,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    lines: Vec<&'a str>,
}

impl Why {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        let source = self.origin.open().await?;
        let answer = source.get(&format!("/orders/{}/why", escaped(&self.order)), &[]).await?;
        let said: Said<'_> = read(&source, &answer)?;
        let mut out = io::stdout().lock();
        for line in said.lines {
            writeln!(out, "{line}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
