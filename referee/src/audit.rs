//! Judging a history that was recorded before, as a command does it.

use std::{io::Write, path::PathBuf};

use crate::{
    Error, Result, Table,
    history::{self, History},
    judge, page,
};

/// What to judge.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct AuditOptions {
    /// The history, as `bench --history` writes it
    #[arg(long, value_name = "FILE")]
    pub history: PathBuf,

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

impl AuditOptions {
    /// Reads the history with its final state.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::History`].
    pub fn read(&self) -> Result<History> {
        let mut history = history::read(&self.history)?;
        if let Some(file) = &self.state {
            history::read_state(file, &mut history)?;
        }
        Ok(history)
    }

    /// Judges a history, writes the verdict to `output`, and what else is asked for.
    ///
    /// # Errors
    /// [`Error::Wrong`] when something is wrong, [`Error::Undecided`] when not everything could be decided, any other
    /// error when the history could not be judged.
    pub fn judge(&self, history: &History, output: &mut (dyn Write + Send)) -> Result<()> {
        if history.state.is_empty() && history.preface.items > 0 {
            let reason = "it ends without a final state: the recording program did not finish; give --state";
            return Err(Error::NotJudged(reason.to_owned()));
        }
        let verdict = judge(history);
        if let Some(file) = &self.report {
            page::write(file, history, &verdict)?;
        }
        if let Some(file) = &self.json {
            let text =
                serde_json::to_string_pretty(&verdict).map_err(|error| Error::io("cannot write JSON")(error.into()))?;
            std::fs::write(file, text).map_err(Error::io(format!("cannot write {}", file.display())))?;
        }
        write!(output, "{}", Table(&verdict))
            .and_then(|()| output.flush())
            .map_err(Error::io("cannot write the verdict"))?;
        verdict.result()
    }
}
