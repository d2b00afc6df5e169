//! The shop in containers, from the shipped files.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use sagamart_black_box::{Client, binary};
use serde_json::Value;

use crate::docker::{command, inspect, run};

/// Far above what a slow machine takes; it only ends a wait for what will never be.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(100);

/// Where the Dockerfiles' `BINARY` comes from.
const BINARY_IMAGE: &str = "sagamart-binary:test";
pub(crate) const TAG: &str = "test";
/// Each with a Dockerfile and an image of its own, a database, and a name on the command line: the services, and their observer.
pub(crate) const PARTS: [(&str, &str); 4] =
    [("order", "order"), ("stock", "stock"), ("payment", "payment"), ("observer", "observe")];
/// What clients are served by.
pub(crate) const SERVICES: [&str; 3] = ["order", "stock", "payment"];

/// Makes what the others show each other, and ends.
pub(crate) const SECRETS: &str = "secrets";

/// The file that everyone starts from, and the one that is added to it.
pub(crate) const BASE: &str = "docker-compose.yml";
pub(crate) const HIGHLY_AVAILABLE: &str = "docker-compose.ha.yml";

/// One project at a time: two would share the machine, and the second would wait long for its turn.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The repository's root, where the files are.
pub(crate) fn root() -> &'static Path {
    static ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    Path::new(ROOT)
}

/// A running project; it is gone, with its data, when this is dropped.
pub(crate) struct Project {
    name: &'static str,
    files: &'static [&'static str],
    subnet: &'static str,
    port: u16,
    prometheus: u16,
    operators: [u16; 2],
    _turn: MutexGuard<'static, ()>,
}

impl Project {
    /// Builds the images and starts the project, and waits until all of its containers are healthy.
    ///
    /// `subnet` must not be used by anything else.
    ///
    /// # Panics
    /// They do not get there.
    pub(crate) fn up(name: &'static str, files: &'static [&'static str], subnet: &'static str) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let [port, prometheus, first, second] = [(); 4].map(|()| free_port());
        let project = Self { name, files, subnet, port, prometheus, operators: [first, second], _turn: turn };
        // What a run that was ended left behind.
        project.down();
        project.build();
        run(&mut project.compose(&["up", "--detach", "--no-build"]));
        project.await_healthy(&project.containers());
        project
    }

    /// `docker compose` on this project's files.
    pub(crate) fn compose(&self, arguments: &[&str]) -> Command {
        let mut compose = command(&["compose", "--project-name", self.name]);
        for file in self.files {
            compose.args(["--file", file]);
        }
        compose.args(arguments).current_dir(root());
        compose
            .env("GATEWAY_PORT", self.port.to_string())
            .env("PROMETHEUS_PORT", self.prometheus.to_string())
            .env("ADMIN_PORT", self.operators[0].to_string())
            .env("ADMIN_PORT_2", self.operators[1].to_string())
            .env("SUBNET", self.subnet)
            .env("IMAGE_TAG", TAG)
            // Only so that tests need not wait for the next time.
            .env("HEALTH_INTERVAL", "2s");
        compose
    }

    fn build(&self) {
        let folder = tempfile::tempdir().expect("a directory can be made");
        std::fs::copy(binary::path(), folder.path().join("sagamart")).expect("the binary can be copied");
        let mut archive = Command::new("tar")
            .args(["--create", "--owner=0", "--group=0", "--mtime=@0", "sagamart"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar can be started");
        let packed = archive.stdout.take().expect("tar's output");
        run(command(&["import", "-", BINARY_IMAGE]).stdin(packed));
        assert!(archive.wait().expect("tar ends").success(), "tar packs the binary");
        // The other replicas use the same images.
        let built = PARTS.map(|(service, _)| format!("{service}-service-1"));
        let mut build = self.compose(&["build", "--build-arg", &format!("BINARY={BINARY_IMAGE}")]);
        run(build.args(built));
    }

    /// The names of all containers that are to run, such as `project-order-db-1`, whether they do or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        let output = run(&mut self.compose(&["ps", "--all", "--format", "json"]));
        let names = output.lines().map(|line| {
            let container: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            container.get("Name").and_then(Value::as_str).expect("a container has a name").to_owned()
        });
        let ends = self.container(SECRETS);
        names.filter(|name| *name != ends).collect()
    }

    /// The first three parts of its networks' addresses.
    pub(crate) fn subnet(&self) -> &str {
        self.subnet
    }

    /// A network of the file, as Docker calls it.
    pub(crate) fn network(&self, name: &str) -> String {
        format!("{}_{name}", self.name)
    }

    /// The container of a service of the file, as it is typed.
    pub(crate) fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.name)
    }

    /// Starts a container again, and waits until it is healthy.
    ///
    /// # Panics
    /// It is not after a long time.
    pub(crate) fn start(&self, container: &str) {
        run(&mut command(&["start", container]));
        self.await_healthy(&[container.to_owned()]);
    }

    /// Waits until these containers are healthy.
    ///
    /// # Panics
    /// One is not after a long time.
    pub(crate) fn await_healthy(&self, containers: &[String]) {
        let deadline = Instant::now() + HEALTHY_TIMEOUT;
        for container in containers {
            loop {
                let state = inspect(container);
                let health = state.pointer("/State/Health/Status").and_then(Value::as_str);
                if health == Some("healthy") {
                    break;
                }
                if Instant::now() > deadline {
                    let log = self.log(container);
                    panic!("{container} is {health:?}: {:?}\n{log}", state.pointer("/State/Health/Log"));
                }
                sleep(POLL);
            }
        }
    }

    /// The last lines that a container wrote.
    pub(crate) fn log(&self, container: &str) -> String {
        let output = command(&["logs", "--tail", "30", container]).output();
        output.map_or_else(
            |error| error.to_string(),
            |output| {
                let text = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&text).into_owned()
            },
        )
    }

    /// Where the gateway is published.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Where Prometheus is published, once it runs.
    pub(crate) fn prometheus(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.prometheus))
    }

    /// A client of what the first or the second replica of the observer shows operators.
    ///
    /// # Panics
    /// There is no such replica.
    pub(crate) fn operators(&self, number: usize) -> Client {
        let port = self.operators.get(number - 1).expect("a replica");
        Client::new(SocketAddr::from(([127, 0, 0, 1], *port)))
    }

    /// A client of the gateway.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address())
    }

    fn down(&self) {
        let mut down =
            self.compose(&["--profile", "monitoring", "down", "--volumes", "--remove-orphans", "--timeout", "1"]);
        // Where nothing is left there is nothing to remove, and what cannot be removed shows at the next start.
        let _ = down.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.down();
        let images = PARTS.map(|(service, _)| format!("sagamart/{service}:{TAG}"));
        let _ = command(&["image", "rm"]).args(images).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A port that nothing listens on at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// The text of a file of the repository.
///
/// # Panics
/// It is not there.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    let path: PathBuf = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
