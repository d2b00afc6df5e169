//! A server with a data directory of its own, gone with the test.

use std::path::Path;

use tempfile::TempDir;

use crate::{Server, Settings, Shop, exposition::Exposition};

/// A running server and all that belongs to it.
#[derive(Debug)]
pub struct Fixture {
    /// How it was started, and will be again.
    pub settings: Settings,
    /// A typed client of it.
    pub shop: Shop,
    // In this order they are dropped: the process before its data.
    server: Option<Server>,
    directory: TempDir,
}

impl Fixture {
    /// Serves with the default settings from a new directory.
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    /// Serves with these settings from a new directory.
    ///
    /// # Panics
    /// The server does not start.
    pub async fn with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let server = Server::start(&settings, directory.path()).await;
        Self { settings, shop: server.shop(), server: Some(server), directory }
    }

    /// The server.
    ///
    /// # Panics
    /// It was stopped and not started again.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("the server was started")
    }

    /// What its metrics say.
    pub async fn metrics(&self) -> Exposition {
        Exposition::parse(&self.server().operators().get("/metrics").await.text())
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.directory.path()
    }

    /// Takes the server out, to end it in some way; [`Self::restart`] brings another.
    ///
    /// # Panics
    /// It was stopped and not started again.
    pub fn take_server(&mut self) -> Server {
        self.server.take().expect("the server was started")
    }

    /// Kills the server, if it runs.
    pub fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
    }

    /// Kills the server, if it runs, and starts another on the same data.
    ///
    /// # Panics
    /// It does not start.
    pub async fn restart(&mut self) {
        self.kill();
        let server = Server::start(&self.settings, self.directory.path()).await;
        self.shop = server.shop();
        self.server = Some(server);
    }
}
