//! What the servers say at one moment.

use std::time::{Duration, Instant};

use tokio::{task::JoinHandle, time::timeout};

use crate::ask::{
    client::Address,
    process::{self, Process},
};

/// What one server says, or why it does not.
type Said<T> = Result<T, String>;

/// See the module.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// The metrics of each process, by address.
    pub(super) metrics: Vec<(Address, Said<String>)>,
    /// What each process says of itself; nothing where it keeps a history only.
    pub(super) processes: Vec<(Address, Said<Option<Process>>)>,
}

impl Sample {
    /// Asks all of them at once.
    pub(super) async fn take(processes: &[Address]) -> Self {
        let metrics = asked(processes, |address: Address| async move {
            match address.get("/metrics").await {
                Ok(answer) if answer.status == 200 => Ok(answer.body),
                Ok(answer) => Err(format!("{address} answers with {}", answer.status)),
                Err(error) => Err(error.to_string()),
            }
        });
        let processes = asked(processes, |address: Address| async move {
            process::ask(&address).await.map_err(|error| error.to_string())
        });
        Self { at: Instant::now(), metrics: answered(metrics).await, processes: answered(processes).await }
    }

    /// Whether anybody answered.
    pub(super) fn is_reached(&self) -> bool {
        self.metrics.iter().any(|(_, said)| said.is_ok()) || self.processes.iter().any(|(_, said)| said.is_ok())
    }
}

/// Longer than an answer out of memory takes, and short enough to go on showing the others.
const PATIENCE: Duration = Duration::from_secs(2);

type Asked<T> = Vec<(Address, JoinHandle<Said<T>>)>;

fn asked<T: Send + 'static, F: Future<Output = Said<T>> + Send + 'static>(
    addresses: &[Address],
    ask: impl Fn(Address) -> F,
) -> Asked<T> {
    let ask = |address: &Address| {
        let (late, asking) = (format!("{address} does not answer"), ask(address.clone()));
        let asking = tokio::spawn(async { timeout(PATIENCE, asking).await.unwrap_or(Err(late)) });
        (address.clone(), asking)
    };
    addresses.iter().map(ask).collect()
}

async fn answered<T>(asked: Asked<T>) -> Vec<(Address, Said<T>)> {
    let mut answers = Vec::new();
    for (address, answer) in asked {
        answers.push((address, answer.await.expect("to ask does not panic, and nobody cancels it")));
    }
    answers
}
