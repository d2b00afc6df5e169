//! Disks that fail. The server must stop with a clear message rather than acknowledge on, and lose nothing that it
//! acknowledged.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sagamart_black_box::{Exit, Market, Outcome, Server, Settings, audit, small_disk::SmallDisk};

/// How a server is started that sees its system calls fail: `inject` as strace takes it.
fn failing(inject: &str) -> Settings {
    // `-D`: the server stays the test's own child, and strace is beside it.
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e"].map(str::to_owned);
    Settings { wrapper: strace.into_iter().chain([format!("inject={inject}")]).collect(), ..Settings::default() }
}

/// Orders that can all be paid.
async fn placed(server: &Server, count: usize) -> Market {
    let shop = server.shop();
    let mut market = Market::default();
    let items = market.add_items(&shop, 5, 1, 1_000_000).await;
    let users = market.add_users(&shop, 5, 1_000_000).await;
    let wanted = users.iter().cycle().zip(items.iter().cycle().skip(2)).take(count);
    let wanted = wanted.map(|(user, item)| (user.clone(), vec![(item.clone(), 1)])).collect();
    market.place(&shop, wanted).await;
    market
}

/// How a server must end whose disk failed.
fn ended_well(exit: &Exit, cause: &str) {
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    let last_word = exit.stderr.lines().rfind(|line| line.starts_with("sagamart: "));
    assert!(last_word.is_some_and(|word| word.contains(cause)), "{exit:?}");
    assert!(!exit.output().contains("panicked"), "{exit:?}");
}

/// A restart on a sound disk has every answer right.
async fn recovered(settings: &Settings, data: &Path, market: &Market) {
    let server = Server::start(settings, data).await;
    audit(&server.shop(), market).await;
    let exit = server.terminate().await;
    assert!(exit.status.success(), "{exit:?}");
}

/// Checks out orders on a disk that fails in the middle of it, and then looks at what is there.
async fn fails_in_the_middle(failing: &Settings, cause: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let sound = Settings::default();
    let server = Server::start(&sound, directory.path()).await;
    let mut market = placed(&server, 600).await;
    assert!(server.terminate().await.status.success());

    let server = Server::start(failing, directory.path()).await;
    market.check_out(&server.shop(), 0, 8).await;
    let exit = server.exit().await;
    ended_well(&exit, cause);
    let unknown = |outcome: &Outcome| matches!(outcome, Outcome::Unknown(_));
    assert!(market.count(0, "succeeded") > 0, "it failed in the middle");
    assert!(market.orders.iter().any(|placed| placed.answers.iter().any(unknown)), "it failed in the middle");
    recovered(&sound, directory.path(), &market).await;
}

#[tokio::test]
async fn a_flush_that_fails_ends_the_server_and_no_later_one_is_believed() {
    // Each later flush would succeed again: a server that went on would acknowledge what the first one lost.
    fails_in_the_middle(&failing("fdatasync:error=EIO:when=20"), "Input/output error").await;
}

#[tokio::test]
async fn a_write_that_fails_ends_the_server() {
    fails_in_the_middle(&failing("pwrite64:error=ENOSPC:when=20+"), "No space left on device").await;
}

#[tokio::test]
async fn a_file_that_may_not_grow_ends_the_server() {
    let directory = tempfile::tempdir().expect("a directory");
    // The shell ignores the signal that the limit sends, and so do those it starts: they see the write fail.
    let script = r#"trap "" XFSZ; exec prlimit --fsize=65536 "$@""#;
    let limited = Settings { wrapper: ["sh", "-c", script, "sh"].map(str::to_owned).to_vec(), ..Settings::default() };
    let exit = Server::refused_start(&limited, directory.path()).await;
    ended_well(&exit, "File too large");
    // What was begun there is no obstacle.
    recovered(&Settings::default(), directory.path(), &Market::default()).await;
    let server = Server::start(&Settings::default(), directory.path()).await;
    let mut market = placed(&server, 600).await;
    server.kill();
    match Server::try_start(&limited, directory.path()).await {
        Err(exit) => ended_well(&exit, "File too large"),
        Ok(server) => {
            market.check_out(&server.shop(), 0, 8).await;
            ended_well(&server.exit().await, "File too large");
        }
    }
    recovered(&Settings::default(), directory.path(), &market).await;
}

/// Waits until the probe of a server says this of its store, or says nothing of it.
async fn until_limited(server: &Server, limited: bool) {
    for _ in 0..600 {
        let probe = server.client().get("/readyz").await;
        assert_eq!(probe.status, 200, "reads are welcome: {}", probe.text());
        if probe.text().contains("bytes free") == limited {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("/readyz does not say so in a minute: {limited}");
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_no_changes_until_there_is_room_again() {
    let disk = SmallDisk::new(160);
    let data = disk.path().join("data");
    let settings = Settings { wrapper: disk.wrapper(), ..Settings::default() };
    let server = Server::start(&settings, &data).await;
    let shop = server.shop();
    let mut market = placed(&server, 200).await;
    let (user, filler) = (shop.user_with(50).await, server.client());
    disk.fill(1 << 20);
    until_limited(&server, true).await;
    // More than would fit, were it let in.
    for round in 0..100 {
        let answer = filler.post(&format!("/stock/batch_init/20000/{round}/1")).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    assert_eq!(shop.credit(&user).await, 50, "reads go on");
    market.check_out(&shop, 0, 4).await;
    assert_eq!(market.count(0, "succeeded"), 0, "and nothing new is begun");
    disk.free();
    until_limited(&server, false).await;
    market.check_out(&shop, 0, 4).await;
    assert_eq!(market.count(0, "succeeded"), 200, "the same server takes changes again");
    audit(&shop, &market).await;
    assert!(server.terminate().await.status.success());

    // On a full disk a shop opens what it has, and makes nothing new.
    disk.fill(1 << 20);
    let server = Server::start(&settings, &data).await;
    audit(&server.shop(), &market).await;
    server.kill();
    let exit = Server::refused_start(&settings, &disk.path().join("new")).await;
    ended_well(&exit, "No space left on device");
    disk.free();
    recovered(&settings, &data, &market).await;
}

#[tokio::test]
async fn idle_connections_take_no_descriptor_from_the_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let limit = ["prlimit", "--nofile=1024:1024"].map(str::to_owned).to_vec();
    let limited = Settings { wrapper: limit, ..Settings::default() };
    let server = Server::start(&limited, directory.path()).await;
    let filler = server.client();
    assert_eq!(filler.post("/stock/batch_init/1/1/1").await.status, 200);
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: own.maximum, maximum: own.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all).expect("the soft limit can be raised");
    let mut idle = Vec::new();
    for _ in 0..1100 {
        let connecting = tokio::net::TcpStream::connect(server.address());
        // Those that the server does not take wait in the system, which has its bound, too.
        idle.extend(tokio::time::timeout(Duration::from_millis(50), connecting).await.into_iter().flatten());
    }
    // All that the server takes, and as many as the system lets wait.
    assert!(idle.len() > 624, "{} connections", idle.len());
    // On a connection that was there before them: several segments' worth.
    for round in 0..30 {
        let answer = filler.post(&format!("/stock/batch_init/20000/{round}/1")).await;
        assert_eq!(answer.status, 200, "{round}: {}", answer.text());
    }
    let segments = std::fs::read_dir(directory.path().join("journal")).expect("a journal").count();
    assert!(segments > 2, "{segments} segments");
    drop(idle);
    assert!(server.terminate().await.status.success());
}

#[tokio::test]
async fn a_low_soft_limit_of_descriptors_is_raised() {
    let directory = tempfile::tempdir().expect("a directory");
    let limit = ["prlimit", "--nofile=256:2048"].map(str::to_owned).to_vec();
    let server = Server::start(&Settings { wrapper: limit, ..Settings::default() }, directory.path()).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("its limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("one of them");
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["2048", "2048"]);
    assert!(server.terminate().await.status.success());
}

#[tokio::test]
async fn a_check_of_the_data_says_what_is_damaged() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&Settings::default(), directory.path()).await;
    let shop = server.shop();
    shop.user_with(50).await;
    let check = || {
        let output = std::process::Command::new(sagamart_black_box::binary::path())
            .arg("check-data")
            .arg(directory.path())
            .output()
            .expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("in use"), "{said}");
    assert!(server.terminate().await.status.success());
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("everything can be read"), "{said}");

    let segment = directory.path().join("journal").join(format!("{:016}.journal", 1));
    let mut bytes = std::fs::read(&segment).expect("a segment");
    bytes[4096 + 24] ^= 1;
    std::fs::write(&segment, bytes).expect("a damaged one");
    let (code, said) = check();
    assert!(code == Some(1) && said.contains(&format!("damaged: {}", segment.display())), "{said}");
}

#[tokio::test]
async fn a_slow_disk_delays_answers_and_falsifies_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let sound = Settings::default();
    let server = Server::start(&sound, directory.path()).await;
    let mut market = placed(&server, 40).await;
    assert!(server.terminate().await.status.success());

    // Each flush takes longer than a checkout may.
    let slow = Settings { checkout_timeout_seconds: Some(1), ..failing("fdatasync:delay_enter=1500000") };
    let server = Server::start(&slow, directory.path()).await;
    let started = Instant::now();
    market.check_out(&server.shop(), 0, 20).await;
    assert!(started.elapsed() > Duration::from_secs(1), "an answer waits for its flush");
    for placed in &market.orders {
        let slug = placed.answers.last().map(Outcome::slug).expect("an answer");
        assert!(matches!(slug, "succeeded" | "timeout" | "outcome-unknown"), "{placed:?}");
    }
    audit(&server.shop(), &market).await;
    server.kill();
    recovered(&sound, directory.path(), &market).await;
}

/// For each answer 200 in what strace saw: whether a write and then a completed flush came since the answer before.
fn flushed_before_each_answer(trace: &str) -> Vec<bool> {
    let (mut written, mut flushed, mut answers) = (false, false, Vec::new());
    for line in trace.lines() {
        if line.contains("\"HTTP/1.1 200") {
            answers.push(flushed);
            (written, flushed) = (false, false);
        } else if line.contains(" pwrite64(") {
            written = true;
        } else if line.contains("fdatasync") && line.ends_with("= 0") {
            flushed |= written;
        }
    }
    answers
}

/// A kill leaves what was written in the system's cache, so it takes the system calls to see what a power cut would.
#[tokio::test]
async fn no_answer_leaves_before_what_it_says_is_flushed() {
    const PAYMENTS: usize = 40;
    let directory = tempfile::tempdir().expect("a directory");
    let trace = directory.path().join("trace");
    let strace = ["strace", "-D", "-f", "-qq", "-e", "trace=pwrite64,fdatasync,sendto,write,writev", "-o"];
    let settings = Settings {
        wrapper: strace.map(str::to_owned).into_iter().chain([trace.to_string_lossy().into_owned()]).collect(),
        ..Settings::default()
    };
    let server = Server::start(&settings, &directory.path().join("data")).await;
    let shop = server.shop();
    let user = shop.create_user().await;
    // One after the other, so that no answer can lean on another one's flush.
    for _ in 0..PAYMENTS {
        shop.succeed(&format!("/payment/add_funds/{user}/1")).await;
    }
    let exit = server.terminate().await;
    assert!(exit.status.success(), "{exit:?}");
    let seen = flushed_before_each_answer(&std::fs::read_to_string(&trace).expect("what strace saw"));
    assert!(seen.len() > PAYMENTS, "each answer was seen: {}", seen.len());
    assert_eq!(seen.iter().rev().take(PAYMENTS).filter(|flushed| **flushed).count(), PAYMENTS, "{seen:?}");
}

#[test]
fn an_answer_before_its_flush_would_be_noticed() {
    let write = "7 pwrite64(9, \"…\", 184, 4096) = 184\n";
    let (flush, answer) = ("7 fdatasync(9) = 0\n", "8 sendto(12, \"HTTP/1.1 200 OK\\r\\n\"..., 140) = 140\n");
    let resumed = "7 fdatasync(9 <unfinished ...>\n8 write(1, \"x\", 1) = 1\n7 <... fdatasync resumed>) = 0\n";
    assert_eq!(flushed_before_each_answer(&[write, flush, answer, write, resumed, answer].concat()), [true, true]);
    assert_eq!(flushed_before_each_answer(&[write, answer, flush].concat()), [false]);
    assert_eq!(flushed_before_each_answer(&[flush, write, answer].concat()), [false]);
    assert_eq!(flushed_before_each_answer(&[write, flush, answer, answer].concat()), [true, false]);
}
