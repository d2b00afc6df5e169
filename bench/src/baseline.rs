//! Comparing checkouts with servers that do nothing but answer.
//!
//! What a machine can do drifts from minute to minute, so the servers take turns in short rounds and the ratio is
//! taken within each round:
//!
//! ```text
//!  round 1:  checkouts · bare, 1 thread · bare, 2 threads · durable, 1 thread · durable, 2 threads
//!  round 2:  checkouts · …                                  ratio of a round = checkouts / yardstick
//!  round 3:  …                                              ratio reported   = the rounds' median
//! ```

use std::{ffi::OsString, path::Path, sync::Arc, time::Duration};

use crate::{
    Error, Options, Result,
    client::Target,
    load::{Claims, Measurement, OrderIds, Pace, Phase},
    process::Server,
    progress::Progress,
};

/// Which kind of server checkouts are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers a constant.
    Bare,
    /// Answers a constant after a flush of 128 bytes.
    Durable,
}

impl Kind {
    /// The kind's name in reports.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Durable => "durable",
        }
    }
}

/// A server to compare with, and what it showed so far.
#[derive(Debug)]
pub(crate) struct Yardstick {
    pub(crate) kind: Kind,
    pub(crate) threads: u16,
    server: Server,
    target: Arc<Target>,
    /// One for each round.
    pub(crate) rounds: Vec<Measurement>,
}

/// Starts a yardstick of each kind and number of threads. They idle, at no cost, while it is another's turn.
pub(crate) async fn start(options: &Options, executable: &Path, data: &Path) -> Result<Vec<Yardstick>> {
    let mut yardsticks = Vec::new();
    for kind in [Kind::Bare, Kind::Durable] {
        for threads in &options.baseline_threads {
            let mut arguments: Vec<OsString> = vec![
                "bare-server".into(),
                "--listen".into(),
                "127.0.0.1:0".into(),
                "--threads".into(),
                threads.to_string().into(),
                "--until-stdin-closes".into(),
            ];
            if kind == Kind::Durable {
                arguments.extend(["--durable".into(), data.as_os_str().to_owned()]);
            }
            let server = Server::start("the baseline's server", executable, &arguments).await?;
            let target = Arc::new(Target::resolve(server.url()).await?);
            yardsticks.push(Yardstick { kind, threads: *threads, server, target, rounds: Vec::new() });
        }
    }
    Ok(yardsticks)
}

impl Yardstick {
    /// Measures it once, with the very load that checkouts get.
    pub(crate) async fn measure(&mut self, options: &Options) -> Result<()> {
        if self.rounds.is_empty() && !options.warm_up_seconds.is_zero() {
            self.load(options, options.warm_up_seconds, "Warming up").await?;
        }
        let mut measurement = self.load(options, options.round(), "Measuring").await?;
        if measurement.tally.succeeded != measurement.tally.total() {
            return Err(Error::Process {
                name: self.name(),
                reason: format!("not every request was answered: {:?}", measurement.tally),
            });
        }
        // Which orders were named means nothing here.
        measurement.outcomes = Vec::new();
        self.rounds.push(measurement);
        Ok(())
    }

    async fn load(&self, options: &Options, duration: Duration, message: &str) -> Result<Measurement> {
        let phase = Phase {
            target: Arc::clone(&self.target),
            orders: Arc::new(OrderIds::Numbered),
            claims: Arc::new(Claims::new(u64::MAX)),
            connections: usize::from(options.connections),
            threads: usize::from(options.threads),
            pace: Pace::ClosedLoop,
            duration,
            timeout: options.timeout_seconds,
            scribe: None,
        };
        phase.run(&Progress::of_time(&format!("{message} {}", self.name()), duration)).await
    }

    /// What it is, in words.
    pub(crate) fn name(&self) -> String {
        name(self.kind, self.threads)
    }

    /// Stops its process.
    pub(crate) async fn stop(self) -> Result<()> {
        self.server.stop().await
    }
}

/// What a yardstick is, in words.
pub(crate) fn name(kind: Kind, threads: u16) -> String {
    let plural = if threads == 1 { "" } else { "s" };
    format!("{} HTTP, {threads} thread{plural}", kind.name())
}
