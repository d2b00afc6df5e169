//! Where the history is asked: a server, or a data directory that no process has open.

use std::{fmt, fs, io, path::PathBuf, process};

use axum::body::Body;
use clap::{ArgMatches, Args, parser::ValueSource};
use http_body_util::BodyExt as _;
use hyper::Response;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Error, Rest,
    client::{Address, Answer},
    refused, with_query,
};
use crate::stopped::Stopped;

/// The option of those that ask a server.
#[derive(Args, Clone, Debug)]
pub(super) struct Admin {
    /// Where the history is asked for: what the shop, or its observer, listens on for operators
    #[arg(long = "admin", value_name = "URL", default_value = "http://127.0.0.1:8010", env = "SAGAMART_ADMIN")]
    pub(super) address: Address,
}

/// The options of those that read only.
#[derive(Args, Clone, Debug)]
pub(super) struct Origin {
    #[command(flatten)]
    pub(super) admin: Admin,

    /// Asks no server, but a data directory that no process has open: of a shop that is stopped, or was killed. Nothing in it is
    /// changed. What its history had not heard of yet is read from the logs beside it; what was open then is shown as open.
    /// Meanwhile no server can open it, and a directory with links to its tables is in the one for temporary files
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

/// Options that name servers, and are for nothing where a directory is read.
const OF_SERVERS: [(&str, &str); 3] = [("address", "--admin"), ("shops", "--shop"), ("replicas", "--replica")];

/// Says which option of a server stands beside `--data` on the command line. In the environment it may be said for other commands.
pub(crate) fn contradiction(matches: &ArgMatches) -> Option<String> {
    let is_given = |matches: &ArgMatches, id: &str| {
        matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let (_, matches) = matches.subcommand()?;
    let is_read = matches.try_get_one::<PathBuf>("data").is_ok_and(|data| data.is_some());
    let (_, option) = OF_SERVERS.iter().find(|(id, _)| is_read && is_given(matches, id))?;
    Some(format!("the argument '--data <DIR>' cannot be used with '{option} <URL>': a directory is asked, or a server"))
}

impl Origin {
    pub(super) async fn open(&self) -> Result<Source, Error> {
        let Some(data) = &self.data else { return Ok(self.admin.source()) };
        let links = tempfile::Builder::new().prefix("sagamart-links-").tempdir()?;
        remove_when_told_to_stop(links.path().to_owned())?;
        let stopped = Stopped::open(data, links).await?;
        for note in stopped.notes() {
            say(&note);
        }
        Ok(Source::Directory(Box::new(stopped)))
    }
}

/// Ends the process at a signal, whatever it does, and leaves no directory behind.
fn remove_when_told_to_stop(directory: PathBuf) -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // There is nobody left to tell.
        let _ = fs::remove_dir_all(directory);
        process::exit(1);
    });
    Ok(())
}

#[expect(clippy::print_stderr, reason = "what is printed on standard output is for scripts too")]
fn say(note: &str) {
    eprintln!("sagamart: note: {note}");
}

impl Admin {
    pub(super) fn source(&self) -> Source {
        Source::Server(self.address.clone())
    }
}

/// See the module.
#[derive(Debug)]
pub(super) enum Source {
    Server(Address),
    Directory(Box<Stopped>),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(address) => address.fmt(formatter),
            Self::Directory(stopped) => stopped.fmt(formatter),
        }
    }
}

impl Source {
    pub(super) async fn get(&self, path: &str, query: &[(&str, Option<String>)]) -> Result<Value, Error> {
        let path = with_query(path, query);
        self.read(match self {
            Self::Server(address) => address.get(&path).await?,
            Self::Directory(stopped) => whole(stopped.get(&path, None).await?).await?,
        })
    }

    /// Has something done, which a directory alone cannot.
    pub(super) async fn post(address: &Address, path: &str, query: &[(&str, Option<String>)]) -> Result<Value, Error> {
        let answer = address.post(&with_query(path, query)).await?;
        Self::Server(address.clone()).read(answer)
    }

    /// Asks for a stream of events, those after `last` if it is known; its body is still to come.
    pub(super) async fn follow(&self, path: &str, last: Option<&str>) -> Result<Response<Body>, Error> {
        Ok(match self {
            Self::Server(address) => address.follow(path, last).await?.map(Body::new),
            Self::Directory(stopped) => stopped.get(path, last).await?,
        })
    }

    fn read(&self, Answer { status, body }: Answer) -> Result<Value, Error> {
        let body: Value = serde_json::from_str(&body).map_err(|cause| self.foreign(cause))?;
        if status == 200 { Ok(body) } else { Err(refused(status, &body)) }
    }

    pub(super) fn foreign(&self, cause: serde_json::Error) -> Error {
        Error::Foreign { asked: self.to_string(), cause }
    }

    /// Shows the pages of a list one after another until it ends, or `show` has seen enough.
    pub(super) async fn pages(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        mut left: usize,
        mut show: impl FnMut(&Value) -> Result<usize, Error>,
    ) -> Result<Rest, Error> {
        /// The most that the server gives at once.
        const PAGE: usize = 500;
        let mut cursor = None;
        while left > 0 {
            let portion = [("limit", Some(left.min(PAGE).to_string())), ("cursor", cursor)];
            let page = self.get(path, &[query, &portion].concat()).await?;
            left = left.saturating_sub(show(&page)?);
            cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(Rest::Nothing(left));
            }
        }
        Ok(Rest::More)
    }
}

async fn whole(response: Response<Body>) -> Result<Answer, Error> {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(io::Error::other)?;
    Ok(Answer { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
}
