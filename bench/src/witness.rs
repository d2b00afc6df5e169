//! What goes on beside a load that is to be judged: its history is written, and its server is killed.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Error, Options, Result,
    faults::{Killer, Target},
    process::Server,
    subject::temporary_directory,
};
use referee::Machine;
use referee::history::{self, Final, History, Preface, Recorder, Scribe, entry::FORMAT};

#[derive(Debug)]
pub(crate) struct Witness {
    recorder: Recorder,
    file: PathBuf,
    /// Where the history is when nobody asked for one.
    temporary: Option<TempDir>,
    stop: watch::Sender<bool>,
    killer: JoinHandle<Killer>,
}

/// What a run is about, for its history.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) url: String,
    pub(crate) durability: Option<String>,
    pub(crate) items: u32,
    pub(crate) users: u32,
    pub(crate) stock: u64,
    pub(crate) credit: u64,
    pub(crate) price: u64,
    pub(crate) orders: u64,
}

impl Witness {
    /// Whether these options need one.
    pub(crate) fn is_wanted(options: &Options) -> bool {
        options.mix.mix || options.history.is_some() || options.report.is_some() || !options.faults.kill.is_empty()
    }

    /// Begins the history and the killing.
    pub(crate) fn start(options: &Options, about: About, server: Option<Server>) -> Result<Self> {
        let temporary = if options.history.is_some() { None } else { Some(temporary_directory(options)?) };
        let file = match (&options.history, &temporary) {
            (Some(file), _) => file.clone(),
            (None, Some(directory)) => directory.path().join("history.jsonl"),
            (None, None) => return Err(Error::Options("no place for a history".to_owned())),
        };
        if options.faults.kill.contains(&Target::Server) && server.is_none() {
            return Err(Error::Options("`--kill server` needs --start-server".to_owned()));
        }
        let recorder = Recorder::create(&file, &preface(options, about))?;
        let (stop, stopped) = watch::channel(false);
        let killer = Killer::new(&options.faults, recorder.scribe(), server);
        let killer = tokio::spawn(killer.run(stopped));
        Ok(Self { recorder, file, temporary, stop, killer })
    }

    pub(crate) fn scribe(&self) -> Scribe {
        self.recorder.scribe()
    }

    /// Ends the killing, with everything started again, and the history, whose final state `read` reads meanwhile.
    /// Returns the benchmark's own server as well.
    pub(crate) async fn finish<F>(self, read: F) -> Result<(History, Option<Server>)>
    where
        F: Future<Output = Result<Vec<Final>>>,
    {
        self.stop.send_replace(true);
        let killer = self.killer.await.map_err(|_panicked| Error::ThreadDied)?;
        let server = killer.into_server();
        let state = read.await?;
        self.recorder.finish(state)?;
        let history = history::read(&self.file)?;
        drop(self.temporary);
        Ok((history, server))
    }
}

fn preface(options: &Options, about: About) -> Preface {
    let mut load = BTreeMap::new();
    let mut say = |name: &str, value: String| drop(load.insert(name.to_owned(), value));
    say("kind", if options.mix.mix { "mixed".to_owned() } else { "first-time checkouts".to_owned() });
    say("connections", options.connections.to_string());
    say("threads", options.threads.to_string());
    say("seconds", options.seconds.as_secs_f64().to_string());
    say("timeout seconds", options.timeout_seconds.as_secs_f64().to_string());
    if let Some(rate) = options.rate {
        say("rate per second", rate.to_string());
    }
    if options.mix.mix {
        let mix = &options.mix;
        say(
            "hot records",
            format!("{} items and {} users, {} % of operations", mix.mix_hot, mix.mix_hot, mix.mix_hot_percent),
        );
        say("seed", options.seed.to_string());
    }
    if !options.faults.kill.is_empty() {
        let targets: Vec<String> = options.faults.kill.iter().map(ToString::to_string).collect();
        let every = options.faults.every.as_secs_f64();
        say("faults", format!("SIG{} to {} every {every} s", options.faults.signal, targets.join(", ")));
    }
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let About { url, durability, items, users, stock, credit, price, orders } = about;
    Preface {
        history: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_seconds: started.as_secs(),
        url,
        durability,
        machine: Machine::here(),
        load,
        items,
        stock,
        price,
        users,
        credit,
        orders,
    }
}
