//! A mixed load from start to end.
//!
//! ```text
//!  find or start the server ─▶ prepare items and users ─▶ load, recorded ┆ faults ─▶ settle ─▶ final state ─▶ referee
//! ```

use std::{io::Write, sync::Arc};

use crate::{
    Error, Options, Result,
    final_state::{numbered, read_final},
    mix::Mix,
    prepare::{self, Parallelism, Setup},
    progress::Progress,
    subject::{Subject, durability},
    witness::{About, Witness},
};
use referee::history::History;
use referee::{self, Table, Verdict};

/// Price of each item: what a checkout costs is the number of its units then, which keeps sums small.
const PRICE: u64 = 1;

/// Runs it, writes the verdict to `output`, and the report where the options say.
///
/// # Errors
/// [`Error::Referee`], or why it could not be run to its end.
pub(crate) async fn run(options: &Options, output: &mut (dyn Write + Send)) -> Result<()> {
    let history = play(options).await?;
    let verdict = conclude(options, &history)?;
    write!(output, "{}", Table(&verdict)).and_then(|()| output.flush()).map_err(Error::io("cannot write the table"))?;
    Ok(verdict.result()?)
}

/// Judges a history and writes the report where the options say.
pub(crate) fn conclude(options: &Options, history: &History) -> Result<Verdict> {
    let verdict = referee::judge(history);
    if let Some(file) = &options.report {
        referee::page::write(file, history, &verdict)?;
    }
    Ok(verdict)
}

async fn play(options: &Options) -> Result<History> {
    let mut subject = Subject::find(options).await?;
    let (target, signal) = (Arc::clone(&subject.target), subject.signal);
    let mix = &options.mix;
    let setup = Setup {
        items: mix.mix_records,
        users: mix.mix_records,
        stock: mix.mix_stock,
        credit: mix.mix_credit,
        price: PRICE,
        ..Setup::of(options)
    };
    prepare::initialise(&target, &setup).await?;
    let about = About {
        url: target.url().to_owned(),
        durability: durability(&target).await,
        items: setup.items,
        users: setup.users,
        stock: setup.stock,
        credit: setup.credit,
        price: setup.price,
        orders: 0,
    };
    let witness = Witness::start(options, about, subject.lend())?;
    let load = Mix {
        target: Arc::clone(&target),
        options: mix.clone(),
        connections: options.connections.into(),
        threads: options.threads.into(),
        duration: options.seconds,
        timeout: options.timeout_seconds,
        seed: options.seed,
    };
    let left = load.run(&witness.scribe()).await?;
    let state = async {
        signal.wait(&target).await?;
        if left.unknown > 0 {
            let settle = tokio::time::sleep(options.settle_seconds);
            Progress::of_wait("Letting unknown outcomes settle").watch(settle, || 0).await;
        }
        read_final(&target, numbered(setup.items), numbered(setup.users), left.names, Parallelism::of(options)).await
    };
    let (history, server) = witness.finish(state).await?;
    subject.give_back(server);
    subject.stop().await?;
    Ok(history)
}
