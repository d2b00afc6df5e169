//! `sagamart top`: a shop at work, once on standard output, and on a terminal that is as it was afterwards.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use sagamart_black_box::{Fixture, Outcome, Settings, binary};
use tempfile::TempDir;
use test_servers::free_port;
use tokio::task::spawn_blocking;

use crate::history::until;

/// Runs `top` to its end, beside what the test does.
async fn run(arguments: Vec<String>) -> Output {
    let command = move || Command::new(binary::path()).arg("top").args(arguments).output();
    spawn_blocking(command).await.expect("no panic").expect("the binary runs")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What a shop is asked by.
fn servers(fixture: &Fixture) -> [String; 2] {
    let admin = fixture.server().admin().expect("it lets operators in");
    ["--admin".to_owned(), format!("http://{admin}")]
}

/// The line that begins so.
fn line_of<'shown>(shown: &'shown str, begin: &str) -> &'shown str {
    shown.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{begin}: {shown}"))
}

/// The number that stands before a word.
fn number_before(line: &str, word: &str) -> Option<f64> {
    line.split_once(word)?.0.split_whitespace().next_back()?.trim_end_matches("/s").parse().ok()
}

#[tokio::test]
async fn what_is_done_meanwhile_is_printed_once_where_there_is_no_terminal() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let shop = fixture.shop.clone();
    let is_over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            let (user, item) = (shop.user_with(100_000).await, shop.item_with(1, 100_000).await);
            let gone = shop.item_with(1, 0).await;
            for _ in 0..20_000 {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let order = shop.order_of(&user, &[(&item, 1)]).await;
                assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
                let order = shop.order_of(&user, &[(&gone, 1)]).await;
                assert_eq!(shop.checkout(&order).await.slug(), "out-of-stock");
            }
        }
    });
    // On a machine that does something else too, little may be done while one looks.
    let mut shown = String::new();
    until("something is paid, and something refused", async || {
        let output = run([words(&["--every", "700ms"]), servers(&fixture).to_vec()].concat()).await;
        let err = String::from_utf8_lossy(&output.stderr);
        shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && err.is_empty() && !shown.contains('\x1b'), "{shown}{err}");
        let checkouts = line_of(&shown, "checkouts ");
        let [decided, paid] = ["decided", "paid"].map(|word| number_before(checkouts, word));
        decided.zip(paid).is_some_and(|(decided, paid)| paid > 0.0 && decided > paid)
    })
    .await;
    is_over.store(true, Ordering::SeqCst);
    load.await.expect("no panic");
    let checkouts = line_of(&shown, "checkouts ");
    assert!(checkouts.contains("p50 ") && checkouts.contains(", p99 ") && checkouts.ends_with("s"), "{checkouts}");
    let refused = line_of(&shown, "refused ");
    assert!(refused.contains("out-of-stock ") && !refused.contains("busy"), "{refused}");
    for partition in ["order/0", "order/1", "stock/1", "payment/0", "observer/0"] {
        line_of(&shown, &format!("{partition} "));
    }

    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let away = run(words(&["--once", "--every", "100ms", "--admin", &nowhere])).await;
    let out = String::from_utf8_lossy(&away.stdout);
    assert!(away.status.code() == Some(2) && out.contains(&format!("NOT reached: {nowhere}")), "{out}");
    for every in ["10ms", "2h", "1", "soon"] {
        assert_eq!(run(words(&["--every", every])).await.status.code(), Some(2), "{every}");
    }
}

/// `top` in a pseudo terminal of its own.
struct Seen {
    directory: TempDir,
    script: Child,
    keys: ChildStdin,
}

impl Seen {
    fn start(fixture: &Fixture, (rows, columns): (u16, u16), before: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let place = |name: &str| directory.path().join(name).display().to_string();
        let [before_it, after_it, pid, code] = ["before", "after", "pid", "code"].map(place);
        let top = format!("'{}' top --every 200ms {}", binary::path().display(), servers(fixture).join(" "));
        // Ctrl-C is a signal to all that the terminal runs: the shell around `top` has to outlive it.
        let inner = format!(
            "trap : INT HUP TERM; stty rows {rows} cols {columns}; stty -a > '{before_it}'; \
             sh -c 'echo $$ > \"{pid}\"; {before} exec \"$0\" \"$@\"' {top}; echo $? > '{code}.new'; \
             stty -a > '{after_it}'; mv '{code}.new' '{code}'"
        );
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--command", &inner, &place("seen")]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env_remove("NO_COLOR")
            .env("SHELL", "/bin/sh");
        let mut script = command.spawn().expect("script runs, of Debian's bsdutils");
        let keys = script.stdin.take().expect("it is piped");
        Self { directory, script, keys }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// All that was written to the terminal.
    fn all(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.place("seen")).unwrap_or_default()).into_owned()
    }

    /// Each screen that was shown as a whole.
    fn screens(&self) -> Vec<String> {
        let all = self.all();
        let begun = all.split("\x1b[H").skip(1);
        begun.filter_map(|screen| Some(screen.split_once("\x1b[J")?.0.to_owned())).collect()
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).and_then(|()| self.keys.flush()).expect("it listens");
    }

    async fn shows(&self, what: &str, is_wanted: impl Fn(&str) -> bool) {
        until(what, async || self.screens().last().is_some_and(|screen| is_wanted(screen))).await;
    }

    /// Waits until it has ended with this code, and looks at what it left.
    async fn ended(mut self, code: &str) {
        until("it ends", async || self.place("code").exists()).await;
        let read = |name: &str| fs::read_to_string(self.place(name)).expect("a file");
        assert_eq!(read("code").trim(), code);
        assert_eq!(read("before"), read("after"), "the terminal is as it was");
        let all = self.all();
        let [entered, left] = ["\x1b[?1049h", "\x1b[?1049l"].map(|control| all.matches(control).count());
        assert_eq!((entered, left), (1, 1), "the screen of the shell is back");
        assert!(all.contains("\x1b[?25l") && all.rfind("\x1b[?25h") > all.rfind("\x1b[?25l"), "and so is the cursor");
        self.script.wait().expect("it can be waited for");
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[tokio::test]
async fn the_terminal_is_as_it_was_however_it_ends() {
    let fixture = Fixture::new().await;
    for end in ["q", "\x03", "SIGTERM", "SIGHUP"] {
        let mut seen = Seen::start(&fixture, (24, 80), "");
        seen.shows("a screen", |screen| screen.contains("order/0") && screen.contains("q ends it")).await;
        let signal = match end {
            "SIGTERM" => Some(Signal::TERM),
            "SIGHUP" => Some(Signal::HUP),
            _ => None,
        };
        match signal {
            Some(signal) => {
                let pid = fs::read_to_string(seen.place("pid")).expect("it says which it is");
                let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
                kill_process(pid, signal).expect("it takes signals");
            }
            None => seen.press(end.as_bytes()),
        }
        seen.ended("0").await;
    }
}

#[tokio::test]
async fn a_small_terminal_a_choice_of_order_and_no_colours() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let mut seen = Seen::start(&fixture, (5, 30), "export NO_COLOR=1;");
    seen.shows("a screen", |screen| screen.contains("more lines")).await;
    for key in [b"l", b"w", b"n", b"x"] {
        seen.press(key);
    }
    let shown = seen.screens().len();
    until("it goes on", async || seen.screens().len() > shown + 4).await;
    for screen in seen.screens() {
        // The terminal adds a return of its own.
        let plain = |line: &'_ str| line.trim_end_matches('\r').trim_end_matches("\x1b[K").to_owned();
        let lines: Vec<_> = screen.split("\r\n").map(plain).collect();
        assert!(lines.len() <= 5 && lines.iter().all(|line| line.chars().count() <= 30), "{lines:#?}");
        assert!(lines.iter().all(|line| !line.contains('\x1b')), "{lines:#?}");
    }
    seen.press(b"q");
    seen.ended("0").await;

    let mut seen = Seen::start(&fixture, (40, 120), "");
    seen.shows("everything, with colours", |screen| screen.contains("observer/0") && screen.contains("\x1b[1m")).await;
    seen.press(b"q");
    seen.ended("0").await;
}

#[tokio::test]
async fn a_server_that_goes_away_is_named_and_shown_again_once_it_is_back() {
    let [listen, admin] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let mut fixture = Fixture::with(Settings { listen, admin_listen: Some(admin), ..Settings::default() }).await;
    let mut seen = Seen::start(&fixture, (24, 100), "");
    seen.shows("the shop", |screen| screen.contains("order/0") && !screen.contains("NOT reached")).await;
    fixture.kill();
    seen.shows("that it is away", |screen| screen.contains("NOT reached: http://") && !screen.contains("order/0"))
        .await;
    fixture.restart().await;
    seen.shows("the shop again", |screen| screen.contains("order/0") && !screen.contains("NOT reached")).await;
    seen.press(b"q");
    seen.ended("0").await;
}
