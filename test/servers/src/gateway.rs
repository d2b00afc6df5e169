//! nginx as a gateway.

use std::{fs, net::TcpStream, path::Path, thread, time::Instant};

use tempfile::TempDir;

use crate::{Kind, Process, process::POLL, server::TIMEOUT};

/// A running nginx. It is killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    directory: TempDir,
    port: u16,
}

impl Gateway {
    /// Starts nginx with files of the caller's, by name, of which `nginx.conf` listens on `port` of 127.0.0.1. They may
    /// write below `/tmp/`, which is replaced by a directory of this gateway's own.
    ///
    /// # Panics
    /// It is not installed and cannot be fetched, or does not listen.
    #[must_use]
    pub fn start(files: &[(&str, String)], port: u16) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let own = format!("{}/", directory.path().display());
        for (name, text) in files {
            let text = text.replace("/tmp/", &own);
            fs::write(directory.path().join(name), text).expect("a file can be written");
        }
        let process = launch(directory.path());
        let mut gateway = Self { process, directory, port };
        gateway.wait();
        gateway
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL, of its workers too: they notice that their master is gone when their connections end.
    pub fn kill(&mut self) {
        self.process.kill_group();
    }

    /// Starts it again.
    ///
    /// # Panics
    /// It does not listen.
    pub fn restart(&mut self) {
        self.process = launch(self.directory.path());
        self.wait();
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(self.process.ended().is_none(), "nginx ended:\n{}", self.process.output());
            assert!(Instant::now() < deadline, "nginx does not listen:\n{}", self.process.output());
            thread::sleep(POLL);
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill_group();
    }
}

fn launch(directory: &Path) -> Process {
    let program = Kind::Nginx.install().unwrap_or_else(|advice| panic!("{advice}"));
    let mut command = program.command();
    command.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]);
    Process::start_group(command, &directory.join("log"))
}
