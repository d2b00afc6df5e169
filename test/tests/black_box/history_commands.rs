//! The commands of operators, as a person or a script meets them.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
};

use sagamart_black_box::{Client, Fixture, Outcome, Server, Settings, binary};
use test_servers::free_port;

use crate::history::{ask, lines, until};

/// A command that runs until the test ends.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str], out: &Path) -> Self {
        let out = File::create(out).expect("a file");
        let command = Command::new(binary::path()).args(arguments).stdout(out).stderr(Stdio::null()).spawn();
        Self(command.expect("the binary runs"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address())
}

#[tokio::test]
async fn who_follows_events_gets_each_once_over_a_restart() {
    // The next server is found where this one was.
    let admin_listen = Some(format!("127.0.0.1:{}", free_port()));
    let mut fixture = Fixture::with(Settings { admin_listen, ..Settings::default() }).await;
    let address = format!("http://{}", fixture.server().admin().expect("it lets operators in"));
    let (all, from_now) = (fixture.data().join("all.jsonl"), fixture.data().join("from-now.jsonl"));
    let follow = ["events", "--follow", "--json", "--admin", &address];
    let _all = Running::start(&[&follow[..], &["--after", "0-0"]].concat(), &all);
    let _from_now = Running::start(&follow, &from_now);
    let heard = |path: &Path| -> Vec<String> {
        std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    until("both listen", async || {
        fixture.shop.create_user().await;
        !heard(&from_now).is_empty()
    })
    .await;
    for round in 0..4 {
        let shop = &fixture.shop;
        for _ in 0..50 {
            let order = shop.order_of(&shop.user_with(3).await, &[(&shop.item_with(3, 1).await, 1)]).await;
            assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
        }
        if round % 2 == 0 {
            fixture.kill();
        } else {
            fixture.take_server().terminate().await;
        }
        fixture.restart().await;
    }
    let last = fixture.shop.user_with(1).await;
    until("the last is heard", async || {
        [&all, &from_now].iter().all(|path| heard(path).iter().filter(|line| line.contains(&last)).count() == 2)
    })
    .await;
    let kept = lines(fixture.server(), &["events", "--json"]);
    assert!(kept.len() > 4 * 50 * 8, "{}", kept.len());
    assert_eq!(heard(&all), kept);
    let heard = heard(&from_now);
    assert_eq!(heard, kept.get(kept.len() - heard.len()..).unwrap_or_default());
    let third = kept.get(2).and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok()).expect("an event");
    let third = third.get("id").and_then(serde_json::Value::as_str).expect("an id");
    assert_eq!(lines(fixture.server(), &["events", "--json", "--after", third]), kept.get(3..).unwrap_or_default());
    assert_eq!(lines(fixture.server(), &["events"]).len(), kept.len());
}

#[tokio::test]
async fn who_has_seen_enough_ends_a_command_quietly() {
    let fixture = Fixture::new().await;
    for _ in 0..600 {
        fixture.shop.create_user().await;
    }
    let admin = fixture.server().admin().expect("it lets operators in");
    let script = format!(
        "'{}' events --json --admin http://{admin} | head -n 1; echo ${{PIPESTATUS[0]}}",
        binary::path().display()
    );
    until("there is more than a pipe takes", async || lines(fixture.server(), &["events"]).len() >= 600).await;
    let output = Command::new("bash").args(["-c", &script]).output().expect("bash runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.starts_with('{') && out.ends_with("\n0\n") && err.is_empty(), "{out}{err}");
}

#[tokio::test]
async fn what_goes_wrong_is_said_and_is_in_the_exit_code() {
    let fixture = Fixture::new().await;
    let server = fixture.server();
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    for command in [&["ls"] as &[&str], &["why", "a"], &["account", "item", "a"], &["events"], &["events", "--follow"]]
    {
        let exit = ask(server, &[command, &["--admin", &nowhere]].concat());
        assert_eq!(exit.status.code(), Some(2), "{exit:?}");
        assert!(
            exit.stderr.contains(&nowhere) && exit.stderr.contains("--admin") && exit.stdout.is_empty(),
            "{exit:?}"
        );
    }
    for (command, said) in [
        (&["why", "nobodys"] as &[&str], "no checkout of order nobodys is in the history"),
        // As an id may begin.
        (&["why", "-A_-1"], "no checkout of order -A_-1 is in the history"),
        (&["account", "item", "--A"], "there is no item --A"),
        (&["ls", "--item", "-?"], "item: "),
        (&["account", "item", "nobodys"], "there is no item nobodys"),
        (&["account", "user", "nobodys"], "there is no user nobodys"),
        (&["ls", "--user", "no id"], "user: "),
        (&["events", "--after", "then"], "Last-Event-ID: "),
    ] {
        let exit = ask(server, command);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains(said) && exit.stdout.is_empty(), "{exit:?}");
    }
    for command in [
        &["ls", "--older", "2"] as &[&str],
        &["ls", "--state", "lost"],
        &["ls", "--all", "--limit", "3"],
        &["account", "order", "a"],
        &["ls", "--admin", "localhost:8010"],
    ] {
        assert_eq!(ask(server, command).status.code(), Some(2), "{command:?}");
    }
}

#[tokio::test]
async fn status_tells_a_shop_that_is_well_from_one_that_is_not_and_one_that_is_not_there() {
    let fixture = Fixture::new().await;
    let server = fixture.server();
    let shop = &fixture.shop;
    let order = shop.order_of(&shop.user_with(3).await, &[(&shop.item_with(3, 1).await, 1)]).await;
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    until("the history has it", async || {
        lines(server, &["status", "--shop", &url(server)])
            .iter()
            .any(|line| line.contains("1 completed, 0 cancelled, 0 open"))
    })
    .await;
    let well = lines(server, &["status", "--shop", &url(server)]);
    assert!(well.len() <= 24 && well.iter().all(|line| line.chars().count() <= 100), "one screen: {well:#?}");
    for service in ["order", "stock", "payment", "observer"] {
        assert!(well.iter().any(|line| line.trim_start().starts_with(service)), "{service}: {well:#?}");
    }

    // It waits for a database that is not there.
    let (address, out) = (format!("127.0.0.1:{}", free_port()), fixture.data().join("unwell.log"));
    let store = format!("redis://127.0.0.1:{}", free_port());
    let options =
        ["--listen", &address, "--internal-listen", "127.0.0.1:0", "--peer", "order=127.0.0.1:1", "--store", &store];
    let _unwell = Running::start(&[&["stock"], &options[..]].concat(), &out);
    let client = Client::new(address.parse().expect("an address"));
    let livez = async || client.send(hyper::Method::GET, "/livez", &[]).await.is_ok_and(|answer| answer.status == 200);
    until("it listens", livez).await;
    let both = format!("{},http://{address}", url(server));
    let unwell = ask(server, &["status", "--shop", &both]);
    assert_eq!(unwell.status.code(), Some(1), "{unwell:?}");
    assert!(unwell.stdout.contains("NOT ready: "), "{unwell:?}");

    let nowhere = format!("http://127.0.0.1:{}", free_port());
    for (arguments, option) in [
        (["--shop", &both, "--shop", &nowhere].as_slice(), "--shop"),
        (&["--shop", &url(server), "--admin", &nowhere], "--admin"),
    ] {
        let gone = ask(server, &[&["status"], arguments].concat());
        assert_eq!(gone.status.code(), Some(2), "{gone:?}");
        assert!(gone.stdout.contains(&nowhere) && gone.stdout.contains(option), "{gone:?}");
    }
}
