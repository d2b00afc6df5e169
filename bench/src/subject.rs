//! The server under test, found or started.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Error, Options, Result,
    api::{Api, quote},
    client::{Method, Target},
    options::URL_DEFAULT,
    process::Server,
};

const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The server under test.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) target: Arc<Target>,
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
        match Api::new(Arc::clone(&target)).once(Method::Get, "/readyz").await {
            Err(Error::Unreachable { .. }) if options.baseline && options.url.is_none() => Self::start(options).await,
            Err(unreachable @ Error::Unreachable { .. }) => Err(unreachable),
            // Not every server has this route; whether it works will show.
            _ => Ok(Self { target, started: None }),
        }
    }

    async fn start(options: &Options) -> Result<Self> {
        let data = temporary_directory(options)?;
        let arguments = ["serve".into(), "--listen".into(), "127.0.0.1:0".into(), "--data".into(), data.path().into()];
        let server = Server::start("the shop's server", &executable(options)?, &arguments).await?;
        let target = Arc::new(Target::resolve(server.url()).await?);
        await_ready(&target).await?;
        let started = Some((Some(server), data));
        Ok(Self { target, started })
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

pub(crate) async fn await_ready(target: &Arc<Target>) -> Result<()> {
    let mut api = Api::new(Arc::clone(target));
    let ready = async {
        while !matches!(api.once(Method::Get, "/readyz").await, Ok((200, _))) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY_TIMEOUT, ready).await.map_err(|_elapsed| Error::Api {
        request: "GET /readyz".to_owned(),
        reason: format!("not ready within {} s", READY_TIMEOUT.as_secs()),
    })
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
