//! `sagamart cancel` and `redeliver`: an operator ends a checkout, or has logs read again.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;
use serde::Deserialize;

use super::{Admin, Error, Source, escaped, read};

/// What an operator says with what it does.
#[derive(Args, Debug)]
pub(super) struct Instruction {
    /// Why, for those who read the history later
    #[arg(long, value_name = "TEXT")]
    because: String,

    /// Who says so
    #[arg(long, value_name = "NAME", env = "USER")]
    by: String,

    /// Says what would happen, and changes nothing
    #[arg(long)]
    dry_run: bool,
}

impl Instruction {
    fn into_query(self) -> [(&'static str, Option<String>); 3] {
        let dry_run = self.dry_run.then(|| "true".to_owned());
        [("by", Some(self.by)), ("because", Some(self.because)), ("dry_run", dry_run)]
    }
}

/// Ends the checkout of an order that is not decided yet, as cancelled: what it holds is released, and nothing else is changed
///
/// --admin names the shop, or with services of several replicas any replica of order that has an --admin-listen.
#[derive(Args, Debug)]
pub(crate) struct Cancel {
    /// Which order; ids may begin with a hyphen
    #[arg(allow_hyphen_values = true)]
    order: String,

    #[command(flatten)]
    instruction: Instruction,

    #[command(flatten)]
    admin: Admin,
}

/// Has a partition read the logs that it consumes again, from where it is: what a lost delivery may have left. It does so by itself
/// twice a second; nothing that it has consumed is applied again
///
/// --admin names the process that owns the partition; `sagamart status --partitions` says which one that is.
#[derive(Args, Debug)]
pub(crate) struct Redeliver {
    /// Whose partition
    #[arg(value_name = "SERVICE")]
    service: String,

    /// Its number
    partition: u16,

    #[command(flatten)]
    instruction: Instruction,

    #[command(flatten)]
    admin: Admin,
}

#[derive(Deserialize)]
struct Done<'a> {
    message: &'a str,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        let path = format!("/orders/{}/cancel", escaped(&self.order));
        let answer = Source::post(&self.admin.address, &path, &self.instruction.into_query()).await?;
        let Done { message } = read(&self.admin.source(), &answer)?;
        writeln!(io::stdout().lock(), "order {}: {message}", self.order)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Redeliver {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        let Self { service, partition, instruction, admin } = self;
        let path = format!("/services/{}/partitions/{partition}/redeliver", escaped(&service));
        let answer = Source::post(&admin.address, &path, &instruction.into_query()).await?;
        let Done { message } = read(&admin.source(), &answer)?;
        writeln!(io::stdout().lock(), "{service}/{partition}: {message}")?;
        Ok(ExitCode::SUCCESS)
    }
}
