//! `sagamart audit`: judging a history that was recorded before.

use std::{io::Write, path::PathBuf, sync::Arc};

use smol_str::SmolStr;

use crate::{
    Error, Result,
    client::Target,
    history::{self, Final, History, Names},
    page,
    prepare::Parallelism,
    referee::{self, Table},
};

/// Connections that read the final state.
const CONNECTIONS: usize = 64;

/// What to judge.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct CheckOptions {
    /// The history, as `bench --history` writes it
    #[arg(long, value_name = "FILE")]
    pub history: PathBuf,

    /// Read the final state from this server, at rest, instead of from the end of the history
    #[arg(long, conflicts_with = "state")]
    pub url: Option<String>,

    /// Read the final state from this file instead: its lines are those at the end of a history
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,

    /// Also write a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Also write the verdict as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Judges a history and writes the verdict to `output`.
///
/// # Errors
/// [`Error::Wrong`] when something is wrong, [`Error::Undecided`] when not everything could be decided, any other error
/// when the history could not be judged.
pub async fn check(options: &CheckOptions, output: &mut (dyn Write + Send)) -> Result<()> {
    let mut history = history::read(&options.history)?;
    if let Some(file) = &options.state {
        history::read_state(file, &mut history)?;
    } else if let Some(url) = &options.url {
        read_state_from(url, &mut history).await?;
    }
    if history.state.is_empty() && history.preface.items > 0 {
        let reason = "it ends without a final state: the recording program did not finish; give --url or --state";
        return Err(Error::NotJudged(reason.to_owned()));
    }
    let verdict = referee::judge(&history);
    if let Some(file) = &options.report {
        page::write(file, &history, &verdict)?;
    }
    if let Some(file) = &options.json {
        let text =
            serde_json::to_string_pretty(&verdict).map_err(|error| Error::io("cannot write JSON")(error.into()))?;
        std::fs::write(file, text).map_err(Error::io(format!("cannot write {}", file.display())))?;
    }
    write!(output, "{}", Table(&verdict))
        .and_then(|()| output.flush())
        .map_err(Error::io("cannot write the verdict"))?;
    verdict.result()
}

async fn read_state_from(url: &str, history: &mut History) -> Result<()> {
    let target = Arc::new(Target::resolve(url).await?);
    let parallelism = Parallelism { threads: 1, connections: CONNECTIONS };
    let [items, users, orders] = [&history.items, &history.users, &history.orders].map(ids);
    let state = referee::read_final(&target, items, users, orders, parallelism).await?;
    history.state = history::Known::default();
    let end = Final::End { operations: history.operations.len() as u64 };
    state.into_iter().chain([end]).for_each(|state| history.state(state));
    Ok(())
}

/// Ids that can be asked for; others are in a history only when a server made them up.
fn ids(names: &Names) -> Vec<SmolStr> {
    let all = (0..names.len()).filter_map(|number| u32::try_from(number).ok()).map(|number| names.name(number));
    all.filter(|name| crate::prepare::is_id(name)).map(SmolStr::new).collect()
}
