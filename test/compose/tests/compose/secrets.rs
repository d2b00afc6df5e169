//! What the processes of the shop know and nobody else, and who reaches whom.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    docker::{command, inspect, run},
    project::{PARTS, Project, SECRETS, TAG},
};

const TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Digits of a secret.
const DIGITS: usize = 64;

/// The secret in a file of a container that may have no shell: Docker gives an archive of it.
fn secret_in(container: &str, path: &str) -> String {
    let archive = run(&mut command(&["cp", &format!("{container}:{path}"), "-"]));
    let lines = archive.split(|letter: char| !letter.is_ascii_hexdigit());
    lines.filter(|line| line.len() == DIGITS).map(str::to_owned).next().unwrap_or_else(|| panic!("no secret in {path}"))
}

/// All of them: the peers', and the passwords of the databases.
fn secrets_of(project: &Project) -> Vec<String> {
    let peers = secret_in(&project.container("order-service-1"), "/secrets/peers/secret");
    let passwords = PARTS.map(|(part, _)| {
        let path = format!("/secrets/{part}/password");
        let password = secret_in(&project.container(&format!("{part}-db")), &path);
        assert_eq!(secret_in(&project.container(&format!("{part}-service-2")), &path), password, "{part}");
        password
    });
    [vec![peers], passwords.to_vec()].concat()
}

/// They are different ones, in nobody's settings, arguments or log, and a container has no more of them than it needs.
pub(crate) fn each_is_shown_to_nobody_else(project: &Project) {
    let secrets = secrets_of(project);
    for (number, secret) in secrets.iter().enumerate() {
        assert!(!secrets.iter().skip(number + 1).any(|other| other == secret), "two secrets are the same");
    }
    let maker = project.container(SECRETS);
    for container in project.containers().iter().chain([&maker]) {
        let mut shown = vec![inspect(container).to_string(), project.log(container)];
        if *container != maker {
            shown.push(run(&mut command(&["top", container, "-eo", "pid,args"])));
        }
        for secret in &secrets {
            assert!(!shown.iter().any(|text| text.contains(secret.as_str())), "{container} shows a secret");
        }
    }
    for (part, _) in PARTS {
        let database = project.container(&format!("{part}-db"));
        assert_eq!(run(&mut command(&["exec", &database, "ls", "/secrets"])), format!("{part}\n"), "{database}");
        let overwritten =
            command(&["exec", &database, "sh", "-c", &format!("echo >/secrets/{part}/password")]).output();
        assert!(!overwritten.expect("docker can be started").status.success(), "{database} overwrote its password");
        let unasked = run(&mut command(&["exec", &database, "valkey-cli", "ping"]));
        assert!(unasked.contains("NOAUTH"), "{database} answers without its password: {unasked}");
    }
}

/// `up` runs the container that makes them again.
pub(crate) fn a_later_start_keeps_them(project: &Project) {
    let before = secrets_of(project);
    let said = run(&mut command(&["start", "--attach", &project.container(SECRETS)]));
    assert_eq!(said.lines().filter(|line| line.ends_with("is there already")).count(), before.len(), "{said}");
    assert_eq!(secrets_of(project), before);
}

/// Somebody who got onto the network of the services, with the program and all of its options but the secret.
pub(crate) async fn a_process_without_it_gets_nothing(project: &Project) {
    let (stranger, network) = (project.container("stranger"), project.network("services"));
    let image = format!("sagamart/stock:{TAG}");
    let container = ["run", "--detach", "--name", &stranger, "--network", &network, &image];
    let options =
        ["--store", "memory:", "--partitions", "1", "--peer", "order=order:9000", "--listen", "127.0.0.1:8000"];
    run(command(&container).args(options).args(["--internal-listen", "127.0.0.1:9000"]));
    let deadline = Instant::now() + TIMEOUT;
    let said = loop {
        let probe = command(&["exec", &stranger, "sagamart", "probe"]).output().expect("docker can be started");
        let said = String::from_utf8_lossy(&[probe.stdout, probe.stderr].concat()).into_owned();
        if said.contains("the secret of the shop") || Instant::now() > deadline {
            break said;
        }
        sleep(POLL).await;
    };
    let log = project.log(&stranger);
    run(&mut command(&["rm", "--force", &stranger]));
    assert!(said.contains("the secret of the shop"), "it was not refused: {said}\n{log}");
    // It was let in nowhere, or one of the two that it asked would have said nothing.
    let logs = ["order-service-1", "order-service-2"].map(|order| project.log(&project.container(order)));
    assert!(logs.concat().contains("rejected a peer's handshake"), "nobody said it: {logs:?}");
}

/// What leads to the services is not on the network where they talk to each other, nor on a database's.
pub(crate) fn who_is_on_another_network_reaches_nothing(project: &Project) {
    let gateway = project.container("gateway");
    let asks = |host: u8, port: u16| {
        let url = format!("http://{}.{host}:{port}/livez", project.subnet());
        let asked =
            ["exec", &gateway, "curl", "--silent", "--http0.9", "--max-time", "2", "--output", "/dev/null", &url];
        command(&asked).status().expect("docker can be started").code()
    };
    assert_eq!(asks(11, 8000), Some(0), "order's public port");
    let (no_connection, timed_out) = (Some(7), Some(28));
    for (host, port) in [(11, 9000), (131, 9000), (133, 9000), (137, 9000), (162, 6379), (178, 6379), (226, 8010)] {
        let ended = asks(host, port);
        assert!([no_connection, timed_out].contains(&ended), "the gateway reaches {host}:{port}: {ended:?}");
    }
}
