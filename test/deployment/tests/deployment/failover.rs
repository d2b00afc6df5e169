//! The scripts of the databases' failover, run for real: Valkey servers and Sentinels on loopback, started as the pods start them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use sagamart_deployment_tests::tools;
use tempfile::TempDir;
use test_servers::{Kind, Options, Process, Server, free_port};

const PASSWORD: &str = "0123abcd";

/// Far above what a failover takes: silence of five seconds, an election, a promotion.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A folder with the programs of the Valkey image.
struct Image {
    folder: TempDir,
}

impl Image {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let program = Kind::Valkey8.install().unwrap_or_else(|reason| panic!("no Valkey: {reason}"));
        let server = program.command();
        let libraries =
            server.get_envs().find_map(|(_, value)| value).map(|value| value.to_string_lossy().into_owned());
        let binary = whole_path(Path::new(server.get_program()));
        let cli = binary.with_file_name("valkey-cli");
        for (name, line) in [
            ("valkey-server", format!("{} \"$@\"", binary.display())),
            ("valkey-cli", format!("{} \"$@\"", cli.display())),
        ] {
            let path = folder.path().join(name);
            let libraries = libraries.as_deref().unwrap_or_default();
            fs::write(&path, format!("#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {line}\n")).expect("a wrapper");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is made executable");
        }
        Self { folder }
    }

    /// A script of the repository, with the image's programs and nothing of the environment.
    fn script(&self, path: &str) -> Command {
        let mut command = Command::new("sh");
        let programs = format!("{}:/usr/bin:/bin", self.folder.path().display());
        command.arg(tools::root().join(path)).env_clear().env("PATH", programs).env("NAMESPACE", "sagamart");
        command
    }
}

/// A program without a folder in its name is looked for in the `PATH`.
fn whole_path(program: &Path) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| program.to_owned())
}

/// One Sentinel, started by `k8s/overlays/cluster/sentinel.sh`.
struct Sentinel {
    process: Process,
    port: u16,
    folder: TempDir,
}

impl Sentinel {
    fn start(image: &Image, number: usize, first_primary: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let passwords = folder.path().join("passwords/order");
        fs::create_dir_all(&passwords).expect("a folder");
        fs::write(passwords.join("password"), PASSWORD).expect("a password");
        Self::start_in(image, number, first_primary, free_port(), folder)
    }

    fn start_in(image: &Image, number: usize, first_primary: u16, port: u16, folder: TempDir) -> Self {
        let mut command = image.script("k8s/overlays/cluster/sentinel.sh");
        command
            .env("POD_NAME", format!("sentinel-{number}"))
            .env("SENTINEL_PORT", port.to_string())
            .env("SENTINEL_ANNOUNCE", "127.0.0.1")
            .env("SENTINEL_DATABASES", "order")
            .env("SENTINEL_CONFIG", folder.path().join("sentinel.conf"))
            .env("SENTINEL_PASSWORDS", folder.path().join("passwords"))
            .env("SENTINEL_FIRST_PRIMARY", format!("127.0.0.1 {first_primary}"));
        let process = Process::start(command, &folder.path().join("log"));
        Self { process, port, folder }
    }

    fn config(&self) -> String {
        fs::read_to_string(self.folder.path().join("sentinel.conf")).unwrap_or_default()
    }
}

/// What an init container with `helm-config/follow-primary.sh` does in a pod: whether it succeeds, what the configuration then says of a
/// primary, and what the script said.
fn follow(image: &Image, announce: u16, sentinels: &[u16], has_data: bool) -> (bool, String, String) {
    let volume = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(volume.path().join("conf")).expect("a folder");
    if has_data {
        fs::create_dir(volume.path().join("appendonlydir")).expect("a folder");
    }
    let config = volume.path().join("conf/valkey.conf");
    fs::write(&config, "port 6379\nreplicaof order-db-0.order-db-headless 6379\n").expect("the chart's configuration");
    let (succeeded, said) = follow_in(image, announce, sentinels, &config);
    let text = fs::read_to_string(config).expect("the configuration is there");
    assert!(text.starts_with("port 6379\n"), "the rest of the chart's configuration stays: {text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("replicaof ")).collect();
    (succeeded, lines.join("; "), said)
}

/// The same with a configuration file that is there.
fn follow_in(image: &Image, announce: u16, sentinels: &[u16], config: &Path) -> (bool, String) {
    let mut command = image.script("helm-config/follow-primary.sh");
    let addresses: Vec<String> = sentinels.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    command
        .env("POD_NAME", "order-db-1")
        .env("VALKEY_PASSWORD", PASSWORD)
        .env("VALKEY_ANNOUNCE", "127.0.0.1")
        .env("VALKEY_PORT", announce.to_string())
        .env("VALKEY_CONFIG", config)
        .env("SENTINELS", addresses.join(" "))
        .env("PATIENCE_SECONDS", "3");
    let output = command.output().expect("the script starts");
    (output.status.success(), tools::said(&output.stderr))
}

fn replica(primary: u16) -> Server {
    let server =
        Server::start(Kind::Valkey8, Options { password: Some(PASSWORD.to_owned()), ..Options::replica_of(primary) });
    server.wait_for_info("master_link_status", "up");
    server
}

fn wait_until(what: &str, sentinels: &[Sentinel], condition: impl Fn() -> bool) {
    let deadline = Instant::now() + FAILOVER_TIMEOUT;
    while !condition() {
        let logs: String = sentinels.iter().map(|sentinel| sentinel.process.output()).collect();
        assert!(Instant::now() < deadline, "not within a minute: {what}\n{logs}");
        thread::sleep(POLL);
    }
}

#[test]
fn sentinels_replace_a_primary_and_pods_that_start_follow_the_new_one() {
    let image = Image::new();
    let mut first = Server::start(Kind::Valkey8, Options { password: Some(PASSWORD.to_owned()), ..Options::default() });
    let replicas = [replica(first.port()), replica(first.port())];
    let mut sentinels: Vec<Sentinel> = (0..3).map(|number| Sentinel::start(&image, number, first.port())).collect();
    let known = |sentinel: &Sentinel, line: &str| sentinel.config().matches(line).count();
    wait_until("the Sentinels know the replicas and each other", &sentinels, || {
        sentinels
            .iter()
            .all(|sentinel| known(sentinel, "known-replica order") == 2 && known(sentinel, "known-sentinel order") == 2)
    });
    let ports: Vec<u16> = sentinels.iter().map(|sentinel| sentinel.port).collect();
    let (followed, line, said) = follow(&image, first.port(), &ports, true);
    assert!(followed && line.is_empty(), "the first primary is told `{line}`: {said}");

    first.kill();
    wait_until("a replica is promoted", &sentinels, || replicas.iter().any(|server| server.info("role") == "master"));
    let promoted = replicas.iter().find(|server| server.info("role") == "master").expect("one is").port();
    let expected = format!("replicaof 127.0.0.1 {promoted}");
    wait_until("the Sentinels agree", &sentinels, || follow(&image, first.port(), &ports, true).1 == expected);
    let (followed, line, said) = follow(&image, promoted, &ports, true);
    assert!(followed && line.is_empty(), "the new primary is told `{line}`: {said}");

    // A Sentinel that starts again remembers, although it is told of the first primary as at its first start.
    let last = sentinels.pop().expect("three of them");
    let Sentinel { mut process, port, folder } = last;
    process.kill();
    sentinels.push(Sentinel::start_in(&image, 2, first.port(), port, folder));
    wait_until("the Sentinel is back", &sentinels, || follow(&image, first.port(), &ports, true).1 == expected);
    let passwords = sentinels.last().map(|sentinel| known(sentinel, "sentinel auth-pass order"));
    assert_eq!(passwords, Some(1), "the password is written once");

    // One alone may be the one that is cut off from the others.
    for sentinel in sentinels.iter_mut().skip(1) {
        sentinel.process.kill();
    }
    let (followed, line, said) = follow(&image, first.port(), &ports, true);
    assert!(!followed && said.contains("no two Sentinels agree"), "with one Sentinel left: `{line}`, {said}");
}

/// The chart tells every pod but the first to copy the first one, at each start. A pod that has become the primary since and then loses
/// power must not copy anybody, itself least of all.
#[test]
fn a_primary_that_the_chart_takes_for_a_replica_starts_with_its_data_and_copies_nobody() {
    let image = Image::new();
    let mut server =
        Server::start(Kind::Valkey8, Options { password: Some(PASSWORD.to_owned()), ..Options::default() });
    let sentinels: Vec<Sentinel> = (0..2).map(|number| Sentinel::start(&image, number, server.port())).collect();
    let ports: Vec<u16> = sentinels.iter().map(|sentinel| sentinel.port).collect();
    let () = server.ask(&["SET", "paid", "yes"]);
    server.kill();
    // As the chart's init container leaves it in the pod of another number.
    let config = server.dir().join("conf/valkey.conf");
    fs::create_dir(server.dir().join("conf")).expect("a folder");
    let text = fs::read_to_string(server.config()).expect("the configuration is there");
    fs::write(&config, format!("{text}replicaof 127.0.0.1 {}\n", server.port())).expect("the chart's line");
    let port = server.port();
    wait_until("the Sentinels name the primary", &sentinels, || follow_in(&image, port, &ports, &config).0);
    fs::copy(&config, server.config()).expect("what the script left");
    server.restart();
    // Its first attempt to copy comes within a second.
    let uptime = || server.info("uptime_in_seconds").parse::<u64>().expect("a number");
    wait_until("it has run for a while", &sentinels, || uptime() >= 3);
    assert_eq!((server.info("role").as_str(), server.info("sync_full").as_str()), ("master", "0"), "{}", server.log());
    assert!(!server.log().contains("Connecting to"), "{}", server.log());
    assert_eq!(server.ask::<Option<String>>(&["GET", "paid"]).as_deref(), Some("yes"));
}

#[test]
fn only_an_empty_volume_before_there_are_sentinels_takes_the_charts_word() {
    let image = Image::new();
    let nobody = free_port();
    let (followed, line, said) = follow(&image, 6379, &[nobody], false);
    assert!(followed && line == "replicaof order-db-0.order-db-headless 6379", "`{line}`: {said}");
    let (followed, _, said) = follow(&image, 6379, &[nobody], true);
    assert!(!followed && said.contains("no two Sentinels agree"), "{said}");
}

#[test]
fn a_password_that_would_not_survive_a_configuration_file_is_refused() {
    let image = Image::new();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let passwords = folder.path().join("passwords/order");
    fs::create_dir_all(&passwords).expect("a folder");
    fs::write(passwords.join("password"), "two words\"").expect("a password");
    let refused = Sentinel::start_in(&image, 0, free_port(), free_port(), folder);
    wait_until("it is refused", &[], || {
        refused.process.output().contains("has characters that this script does not write")
    });
}
