//! The server under test, found or started.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use referee::quote;
use tempfile::TempDir;

use crate::{
    Error, Options, Result,
    api::Api,
    client::{Method, Target},
    options::URL_DEFAULT,
    process::Server,
};

const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// More than any answer to a yes-or-no question.
const ANSWER_BYTES_MAX: u64 = 1_024;

/// The server under test.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) target: Arc<Target>,
    /// What tells whether it answers.
    pub(crate) signal: Signal,
    /// Its process and its data, when it is this benchmark's own.
    started: Option<(Option<Server>, TempDir)>,
}

impl Subject {
    pub(crate) async fn find(options: &Options) -> Result<Self> {
        if options.start_server {
            return Self::start(options).await;
        }
        let url = options.url.as_deref().unwrap_or(URL_DEFAULT);
        let target = Arc::new(Target::resolve(url).await?);
        match Signal::of(&target).await {
            Err(Error::Unreachable { .. }) if options.baseline && options.url.is_none() => Self::start(options).await,
            Err(error) => Err(error),
            Ok(signal) => {
                let subject = Self { target, signal, started: None };
                subject.ask_to_overwrite(options).await?;
                Ok(subject)
            }
        }
    }

    /// Asks before data is overwritten that this benchmark did not make: of a shop that holds what the run is going to
    /// overwrite, and of one that nobody named.
    async fn ask_to_overwrite(&self, options: &Options) -> Result<()> {
        if options.overwrite {
            return Ok(());
        }
        let url = self.target.url();
        let held = self.held().await?;
        let reason = match (held, options.url.is_some()) {
            (Some(held), _) => format!("the shop at {url} holds data: it has {held}"),
            (None, false) => format!("a shop answers at {url}, which no --url names"),
            (None, true) => return Ok(()),
        };
        let question = format!("{reason}. The benchmark overwrites its items, users and orders \"0\", \"1\", …");
        let way_out = "give --overwrite to go on, or --start-server for a shop of its own";
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Error::Options(format!("{question}; {way_out}")));
        }
        let asked =
            tokio::task::spawn_blocking(move || confirm(&question)).await.map_err(|_panicked| Error::ThreadDied)?;
        match asked {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Options(format!("nothing was overwritten; {way_out}"))),
            Err(source) => Err(Error::io("cannot read the answer")(source)),
        }
    }

    /// What the shop has of that which would be overwritten.
    async fn held(&self) -> Result<Option<&'static str>> {
        let mut api = Api::new(Arc::clone(&self.target));
        let first = [
            ("/stock/find/0", "an item \"0\""),
            ("/payment/find_user/0", "a user \"0\""),
            ("/orders/find/0", "an order \"0\""),
        ];
        for (path, name) in first {
            if api.find::<serde::de::IgnoredAny>(path).await?.is_some() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    async fn start(options: &Options) -> Result<Self> {
        let data = temporary_directory(options)?;
        let mut store = OsString::from("embedded:");
        store.push(data.path());
        let arguments = ["serve".into(), "--listen".into(), "127.0.0.1:0".into(), "--store".into(), store];
        let server = Server::start("the shop's server", &executable(options)?, &arguments).await?;
        let target = Arc::new(Target::resolve(server.url()).await?);
        Signal::Readiness.wait(&target).await?;
        let started = Some((Some(server), data));
        Ok(Self { target, signal: Signal::Readiness, started })
    }

    /// Whether the benchmark started it.
    pub(crate) fn is_own(&self) -> bool {
        self.started.is_some()
    }

    /// Hands its own server over to whoever kills it.
    pub(crate) fn lend(&mut self) -> Option<Server> {
        self.started.as_mut().and_then(|(server, _data)| server.take())
    }

    pub(crate) fn give_back(&mut self, returned: Option<Server>) {
        if let Some((server, _data)) = &mut self.started {
            *server = returned;
        }
    }

    pub(crate) async fn stop(self) -> Result<()> {
        match self.started {
            Some((Some(server), _data)) => server.stop().await,
            Some((None, _)) | None => Ok(()),
        }
    }
}

pub(crate) fn executable(options: &Options) -> Result<PathBuf> {
    options
        .executable
        .clone()
        .map_or_else(std::env::current_exe, Ok)
        .map_err(Error::io("cannot tell this program's own path"))
}

pub(crate) fn temporary_directory(options: &Options) -> Result<TempDir> {
    let parent = options.data_dir.as_deref().unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix("sagamart-bench-")
        .tempdir_in(parent)
        .map_err(Error::io(format!("cannot create a directory in {}", parent.display())))
}

/// What tells that a server answers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// `GET /readyz` is a 200. Not every server with the shop's API has that route, nor does every gateway pass it on.
    Readiness,
    /// A record is read, or is said not to be there.
    Read,
}

impl Signal {
    /// Which of the two this server gives, by what it answers now.
    pub(crate) async fn of(target: &Arc<Target>) -> Result<Self> {
        match Api::new(Arc::clone(target)).once(Method::Get, "/readyz").await {
            Ok((200 | 503, _)) => Ok(Self::Readiness),
            Err(unreachable @ Error::Unreachable { .. }) => Err(unreachable),
            Ok(_) | Err(_) => Ok(Self::Read),
        }
    }

    fn is_given(self, status: u16) -> bool {
        match self {
            Self::Readiness => status == 200,
            Self::Read => (200..500).contains(&status) && status != 429,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Readiness => "/readyz",
            Self::Read => "/stock/find/0",
        }
    }

    /// Waits for it.
    pub(crate) async fn wait(self, target: &Arc<Target>) -> Result<()> {
        let mut api = Api::new(Arc::clone(target));
        let given = async {
            while !matches!(api.once(Method::Get, self.path()).await, Ok((status, _)) if self.is_given(status)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_TIMEOUT, given).await.map_err(|_elapsed| Error::Api {
            request: format!("GET {}", self.path()),
            reason: format!("the server did not answer as it should within {} s", READY_TIMEOUT.as_secs()),
        })
    }
}

/// Asks a person.
fn confirm(question: &str) -> io::Result<bool> {
    write!(io::stderr(), "{question}. Go on? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What the server says of the durability of its answers: the member `durability` of its `/readyz` or `/`.
pub(crate) async fn durability(target: &Arc<Target>) -> Option<String> {
    let mut api = Api::new(Arc::clone(target));
    for path in ["/readyz", "/"] {
        let Ok((200, body)) = api.once(Method::Get, path).await else { continue };
        let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        match json.as_ref().and_then(|json| json.get("durability")) {
            Some(serde_json::Value::String(text)) => return Some(quote(text.as_bytes())),
            Some(other) => return Some(quote(other.to_string().as_bytes())),
            None => {}
        }
    }
    None
}
