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

#[tokio::test]
async fn a_disk_that_fills_up_ends_the_server_and_loses_nothing() {
    let disk = SmallDisk::new(160);
    let data = disk.path().join("data");
    let settings = Settings { wrapper: disk.wrapper(), ..Settings::default() };
    let server = Server::start(&settings, &data).await;
    let mut market = placed(&server, 600).await;
    disk.fill(1 << 20);
    let (shop, filler) = (server.shop(), server.client());
    // Batches of things that are not of the market use up the room that the server has put by.
    let fill = async {
        for round in 0..200 {
            let batch = format!("/stock/batch_init/20000/{round}/1");
            if filler.send(hyper::Method::POST, &batch, &[]).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(market.check_out(&shop, 0, 1), fill);
    ended_well(&server.exit().await, "No space left on device");

    // As long as the disk is full, a start fails as clearly, or serves; either way nothing is lost.
    if let Err(exit) = Server::try_start(&settings, &data).await {
        ended_well(&exit, "No space left on device");
    }
    let exit = Server::refused_start(&settings, &disk.path().join("new")).await;
    ended_well(&exit, "No space left on device");
    disk.free();
    recovered(&settings, &data, &market).await;
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
