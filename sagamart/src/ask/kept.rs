//! What a data directory says of itself that no process has open.

use std::io::Write;

use super::Error;
use crate::stopped::{Kept, Stopped};

/// Shows how it was left, and a line for each service, or with `all` for each partition.
pub(super) fn show(out: &mut impl Write, stopped: &Stopped, all: bool) -> Result<(), Error> {
    let left = if stopped.is_closed() {
        "closed in order"
    } else {
        "not closed in order: its process was killed, or the power went; what was answered is there"
    };
    writeln!(out, "data in {stopped}: {left}")?;
    if stopped.added() > 0 {
        let added = stopped.added();
        writeln!(out, "  {added} events that the history had not heard of yet were read from the logs")?;
    }
    let [service, commits, log, open, parked] = ["service", "commits", "log", "open", "parked"];
    writeln!(out, "  {service:<12}{commits:>12}{log:>12}{open:>8}{parked:>8}")?;
    let mut kept = stopped.kept();
    while let Some(first) = kept.first() {
        let of_service = kept.iter().take_while(|next| next.service == first.service).count();
        let (partitions, rest) = kept.split_at(if all { 1 } else { of_service });
        let name = if all { format!("{}/{}", first.service, first.partition) } else { first.service.to_owned() };
        let sum = |number: fn(&Kept) -> u64| partitions.iter().map(number).sum::<u64>();
        let (commits, log) = (sum(|kept| kept.head), sum(|kept| kept.log_end));
        let (open, parked) = (sum(|kept| kept.open), sum(|kept| kept.parked));
        writeln!(out, "  {name:<12}{commits:>12}{log:>12}{open:>8}{parked:>8}")?;
        kept = rest;
    }
    Ok(())
}
