//! `sagamart audit`: judging a history that was recorded before, also with the state that a server has now.

use std::{io::Write, sync::Arc};

use referee::{
    AuditOptions,
    history::{Final, History, Known, Names},
};
use smol_str::SmolStr;

use crate::{Result, api::is_id, client::Target, final_state::read_final, prepare::Parallelism};

/// Connections that read the final state.
const CONNECTIONS: usize = 64;

/// What to judge.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct CheckOptions {
    /// The files.
    #[command(flatten)]
    pub audit: AuditOptions,

    /// Read the final state from this server, at rest, instead of from the end of the history
    #[arg(long, conflicts_with = "state")]
    pub url: Option<String>,
}

/// Judges a history and writes the verdict to `output`.
///
/// # Errors
/// See [`AuditOptions::judge`].
pub async fn check(options: &CheckOptions, output: &mut (dyn Write + Send)) -> Result<()> {
    let mut history = options.audit.read()?;
    if let Some(url) = &options.url {
        read_state_from(url, &mut history).await?;
    }
    Ok(options.audit.judge(&history, output)?)
}

async fn read_state_from(url: &str, history: &mut History) -> Result<()> {
    let target = Arc::new(Target::resolve(url).await?);
    let parallelism = Parallelism { threads: 1, connections: CONNECTIONS };
    let [items, users, orders] = [&history.items, &history.users, &history.orders].map(ids);
    let state = read_final(&target, items, users, orders, parallelism).await?;
    history.state = Known::default();
    let end = Final::End { operations: history.operations.len() as u64 };
    state.into_iter().chain([end]).for_each(|state| history.state(state));
    Ok(())
}

/// Ids that can be asked for; others are in a history only when a server made them up.
fn ids(names: &Names) -> Vec<SmolStr> {
    let all = (0..names.len()).filter_map(|number| u32::try_from(number).ok()).map(|number| names.name(number));
    all.filter(|name| is_id(name)).map(SmolStr::new).collect()
}
