//! `sagamart top`: a shop at work, on a screen that is refreshed.
//!
//! ```text
//!   /metrics and /services of --admin and each --replica ─▶ Sample ── with the one before ─▶ Figures ─▶ lines ─▶ Terminal, or
//!                                                                                            once on standard output
//! ```

mod figures;
mod sample;
mod screen;
mod terminal;

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

use self::{
    figures::Figures,
    sample::Sample,
    screen::{Order, Screen},
    terminal::{QUIT, Terminal},
};
use super::{Error, client::Address, duration, servers::Servers, source::Admin};

/// Shows a shop at work, refreshed until `q` or ctrl-c: checkouts, how they end and how long they take, and the partitions with
/// their lags and queues. `n`, `l` and `w` sort those by name, by lag and by what waits
///
/// Printed once, and without colours, where standard output is no terminal. Exits with 2 if no server is reached then.
#[derive(Args, Debug)]
pub(crate) struct Top {
    /// How often it is refreshed; figures are of the time since the last
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    every: Duration,

    /// Prints once, after one such time
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    servers: Servers,

    #[command(flatten)]
    admin: Admin,
}

/// Not so often that the asking is what is measured, nor so seldom that one waits for the first.
fn interval(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    let bounds = Duration::from_millis(100)..=Duration::from_secs(3600);
    if bounds.contains(&every) { Ok(every) } else { Err("it is from 100ms to 1h".to_owned()) }
}

impl Top {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        if self.once || !io::stdout().is_terminal() {
            return self.print().await;
        }
        // Before the terminal is changed, so that no signal leaves it so.
        let mut stop = Stops::listen()?;
        let mut terminal = Terminal::enter()?;
        let ended = self.show(&mut terminal, &mut stop).await;
        drop(terminal);
        ended
    }

    async fn print(&self) -> Result<ExitCode, Error> {
        let before = Sample::take(&self.processes()).await;
        tokio::time::sleep(self.every).await;
        let now = Sample::take(&self.processes()).await;
        let (width, height) = (usize::MAX, usize::MAX);
        let screen = Screen { width, height, is_coloured: false, order: Order::Name, is_refreshed: false };
        let lines = screen.lines(&Figures::between(Some(&before), &now), self.every);
        let mut out = io::stdout().lock();
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        Ok(if now.is_reached() { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }

    async fn show(&self, terminal: &mut Terminal, stops: &mut Stops) -> Result<ExitCode, Error> {
        let is_coloured = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        let mut order = Order::Name;
        let mut resized = signal(SignalKind::window_change())?;
        let processes = self.processes();
        let mut before: Option<Sample> = None;
        loop {
            let next = Instant::now() + self.every;
            let now = tokio::select! {
                () = stops.next() => return Ok(ExitCode::SUCCESS),
                () = terminal.quit() => return Ok(ExitCode::SUCCESS),
                now = Sample::take(&processes) => now,
            };
            let figures = Figures::between(before.as_ref(), &now);
            loop {
                let (width, height) = terminal.size();
                let screen = Screen { width, height, is_coloured, order, is_refreshed: true };
                terminal.draw(&screen.lines(&figures, self.every))?;
                tokio::select! {
                    biased;
                    () = stops.next() => return Ok(ExitCode::SUCCESS),
                    key = terminal.key() => match key {
                        QUIT => return Ok(ExitCode::SUCCESS),
                        b'n' => order = Order::Name,
                        b'l' => order = Order::Lag,
                        b'w' => order = Order::Waiting,
                        _ => {}
                    },
                    _ = resized.recv() => {}
                    () = sleep_until(next) => break,
                }
            }
            before = Some(now);
        }
    }

    fn processes(&self) -> Vec<Address> {
        self.servers.with(&self.admin.address)
    }
}

/// The signals that end it, with the terminal as it was.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stops {
    fn listen() -> io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self { interrupt: interrupt?, terminate: terminate?, hangup: hangup? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
