//! The three services and the observer as processes of their own, one replica each with its data in memory: what one of them
//! does without another is tried by freezing that one.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use test_servers::{Process, free_port};
use tokio::time::sleep;

use crate::{Client, Shop, binary};

/// How long all of it may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// One process.
#[derive(Debug)]
pub struct Part {
    public: u16,
    internal: u16,
    operators: u16,
    arguments: Vec<String>,
    log: PathBuf,
    process: Option<Process>,
}

impl Part {
    fn new() -> Self {
        let [public, internal, operators] = [(); 3].map(|()| free_port());
        Self { public, internal, operators, arguments: Vec::new(), log: PathBuf::new(), process: None }
    }

    fn start(&mut self) {
        let mut command = Command::new(binary::path());
        command.args(&self.arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SAGAMART_") {
                command.env_remove(name);
            }
        }
        self.process = Some(Process::start(command, &self.log));
    }

    /// A client of its public routes.
    #[must_use]
    pub fn shop(&self) -> Shop {
        Shop::new(client(self.public))
    }

    /// A client of its operators' routes.
    #[must_use]
    pub fn operators(&self) -> Client {
        client(self.operators)
    }

    /// Where it lets operators in.
    #[must_use]
    pub fn admin(&self) -> String {
        format!("http://127.0.0.1:{}", self.operators)
    }

    /// Where others reach it.
    #[must_use]
    pub fn internal(&self) -> String {
        format!("127.0.0.1:{}", self.internal)
    }

    /// All that it has said.
    #[must_use]
    pub fn said(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        self.process.iter().for_each(Process::freeze);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.iter().for_each(Process::thaw);
    }
}

fn client(port: u16) -> Client {
    Client::new(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// All of them. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Apart {
    /// The order service.
    pub order: Part,
    /// The stock service.
    pub stock: Part,
    /// The payment service.
    pub payment: Part,
    /// The observer, whose history is among its operators' routes.
    pub observer: Part,
    directory: TempDir,
}

impl Apart {
    /// Starts everything and waits until it is ready.
    ///
    /// # Panics
    /// Something does not start.
    pub async fn start(checkout_timeout_seconds: u32, partitions: u16) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let [order, stock, payment, observer] = [(); 4].map(|()| Part::new());
        let mut apart = Self { order, stock, payment, observer, directory };
        let peers = |names: &[(&str, &Part)]| -> Vec<String> {
            names.iter().flat_map(|(name, part)| ["--peer".to_owned(), format!("{name}={}", part.internal())]).collect()
        };
        let [order, stock, payment] = [("order", &apart.order), ("stock", &apart.stock), ("payment", &apart.payment)];
        let arguments = [
            ("order", peers(&[stock, payment])),
            ("stock", peers(&[order])),
            ("payment", peers(&[order, stock])),
            ("observe", peers(&[order, stock, payment])),
        ];
        let directory = apart.directory.path().to_owned();
        fs::write(apart.secret(), "the secret of these processes\n").expect("a file can be written");
        let secret = apart.secret().display().to_string();
        let parts = [&mut apart.order, &mut apart.stock, &mut apart.payment, &mut apart.observer];
        for (part, (name, peers)) in parts.into_iter().zip(arguments) {
            let (timeout, partitions) = (checkout_timeout_seconds.to_string(), partitions.to_string());
            let mut arguments = [name, "--store", "memory:", "--peer-secret-file", &secret].map(str::to_owned).to_vec();
            arguments.extend(["--checkout-timeout", &timeout, "--partitions", &partitions].map(str::to_owned));
            arguments.extend(peers);
            for (option, port) in
                [("--listen", part.public), ("--internal-listen", part.internal), ("--admin-listen", part.operators)]
            {
                arguments.extend([option.to_owned(), format!("127.0.0.1:{port}")]);
            }
            (part.arguments, part.log) = (arguments, directory.join(format!("{name}.log")));
            part.start();
        }
        apart.ready().await;
        apart
    }

    /// Kills the observer, starts another, whose history is empty, and waits until all of it is ready.
    ///
    /// # Panics
    /// It is not in time.
    pub async fn restart_observer(&mut self) {
        self.observer.process = None;
        self.observer.start();
        self.ready().await;
    }

    /// The file with the secret that they have to show each other.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.directory.path().join("secret")
    }

    /// Waits until all of it is ready.
    ///
    /// # Panics
    /// It is not in time.
    pub async fn ready(&self) {
        let deadline = Instant::now() + READY_TIMEOUT;
        for part in [&self.order, &self.stock, &self.payment, &self.observer] {
            while !client(part.public).is_ready().await {
                let said = part.said();
                assert!(Instant::now() < deadline, "a process is not ready:\n{said}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
