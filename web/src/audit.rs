//! What operators did, in a file to which lines are only added, each with a hash over itself and the one before.
//!
//! ```text
//! {"at":"…","event":"asked","request_id":"…","caller":"anna","from":"127.0.0.1","act":"POST /orders/1/cancel?by=…","hash":"5e…"}
//! {"at":"…","event":"answered",…,"status":200,"hash":"81…"}
//! ```
//!
//! A line is on disk before the act begins, and another one once it has ended: an act of which nothing can be written is not
//! carried out. Whoever changes, removes or adds a line in the middle has to change every hash after it; whoever cuts off the end is found out by
//! whoever has noted the last hash elsewhere.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use axum::extract::Request;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::RequestName;

#[cfg(test)]
mod tests;

/// What the first line's hash is over, in place of the hash of one before.
const GENESIS: &str = "sagamart audit log";

/// What is between a line and its hash.
const HASH: &str = ",\"hash\":\"";

/// The file. Clones share it.
#[derive(Clone, Debug)]
pub struct AuditLog(Arc<Mutex<Chain>>);

#[derive(Debug)]
struct Chain {
    file: File,
    last: String,
}

/// Why a file is no such log, or no more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Another process writes it.
    #[error("{} is in use by another process: each has a file of its own", .0.display())]
    InUse(PathBuf),
    /// A line has another hash than it should have.
    #[error("{}, line {line}: it, or one before it, is not what was written", path.display())]
    Broken {
        /// Of which file.
        path: PathBuf,
        /// Which line.
        line: u64,
    },
}

/// What a whole log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many lines it has.
    pub lines: u64,
    /// The hash of the last one, which is of all of them.
    pub head: String,
    /// Whether one of them has the hash that was asked for.
    pub contains: bool,
}

/// A request that is written down.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Act {
    at: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// Who the token says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    act: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

impl Act {
    pub(crate) fn asked(request: &Request, caller: Option<&str>) -> Self {
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        Self {
            at: now(),
            event: "asked",
            request_id: RequestName::current().map(|name| name.as_str().to_owned()),
            caller: caller.map(str::to_owned),
            from: request.extensions().get::<SocketAddr>().map(|address| address.ip().to_canonical().to_string()),
            act: format!("{} {path}", request.method()),
            status: None,
        }
    }

    pub(crate) fn answered(self, status: u16) -> Self {
        Self { at: now(), event: "answered", status: Some(status), ..self }
    }

    pub(crate) fn refused(self, status: u16) -> Self {
        Self { event: "refused", status: Some(status), ..self }
    }
}

fn now() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

impl AuditLog {
    /// Goes on with a file, or begins one. A last line that was cut off in the middle, with the process that wrote it, is ended as such.
    ///
    /// # Errors
    /// It cannot be read or written, another process has it, or it is not what was written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |cause| Error::File { path: path.to_owned(), cause };
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(wrong)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::InUse(path.to_owned())),
            Err(error) => return Err(wrong(error.into())),
        }
        let (Summary { head, .. }, rest) = read(path, BufReader::new(&file), None)?;
        if rest > 0 {
            let whole = file.metadata().map_err(wrong)?.len() - rest;
            tracing::warn!(
                bytes = rest,
                "the last line of the audit log was cut off with the process that wrote it, and is removed"
            );
            file.set_len(whole).map_err(wrong)?;
        }
        Ok(Self(Arc::new(Mutex::new(Chain { file, last: head }))))
    }

    /// Writes a line, and waits until it is on disk.
    pub(crate) async fn append(&self, act: Act) -> io::Result<()> {
        let chain = Arc::clone(&self.0);
        let writing =
            tokio::task::spawn_blocking(move || chain.lock().unwrap_or_else(PoisonError::into_inner).append(&act));
        writing.await.map_err(io::Error::other)?
    }
}

impl Chain {
    fn append(&mut self, act: &Act) -> io::Result<()> {
        let mut line = serde_json::to_string(act)?;
        let hash = hash(&self.last, &line);
        line.pop();
        let before = self.file.metadata()?.len();
        let written =
            self.file.write_all(format!("{line}{HASH}{hash}\"}}\n").as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What may be there of the line would make the next one no line.
            self.file.set_len(before)?;
            return Err(error);
        }
        self.last = hash;
        Ok(())
    }
}

/// Reads a whole log, compares each hash, and looks for one that is `wanted`.
///
/// # Errors
/// It cannot be read, or is not what was written: its last line, too, if it was cut off.
pub fn verify(path: &Path, wanted: Option<&str>) -> Result<Summary, Error> {
    let file = File::open(path).map_err(|cause| Error::File { path: path.to_owned(), cause })?;
    let (summary, rest) = read(path, BufReader::new(file), wanted)?;
    match rest {
        0 => Ok(summary),
        _ => Err(Error::Broken { path: path.to_owned(), line: summary.lines + 1 }),
    }
}

/// What the whole lines say, and how many bytes of another there are.
fn read(path: &Path, mut log: impl BufRead, wanted: Option<&str>) -> Result<(Summary, u64), Error> {
    let mut summary = Summary { lines: 0, head: GENESIS.to_owned(), contains: false };
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes = log.read_until(b'\n', &mut line).map_err(|cause| Error::File { path: path.to_owned(), cause })?;
        let Some(whole) = line.strip_suffix(b"\n") else { return Ok((summary, bytes as u64)) };
        let number = summary.lines + 1;
        let text = str::from_utf8(whole).ok().and_then(|line| line.strip_suffix("\"}")?.rsplit_once(HASH));
        let is_right = text.is_some_and(|(content, found)| hash(&summary.head, &format!("{content}}}")) == found);
        let Some((_, found)) = text.filter(|_| is_right) else {
            return Err(Error::Broken { path: path.to_owned(), line: number });
        };
        let contains = summary.contains || wanted == Some(found);
        summary = Summary { lines: number, head: found.to_owned(), contains };
    }
}

fn hash(last: &str, line: &str) -> String {
    struct Hex<'a>(&'a [u8]);
    impl fmt::Display for Hex<'_> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
        }
    }
    Hex(&Sha256::new().chain_update(last).chain_update("\n").chain_update(line).finalize()).to_string()
}
