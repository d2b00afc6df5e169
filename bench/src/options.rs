//! What a benchmark is asked to do.

use std::{path::PathBuf, time::Duration};

use crate::{
    Error, Result,
    faults::{FaultOptions, Target},
    flags::{positive_seconds, seconds},
    load::Pace,
    mix::MixOptions,
};

/// Where a shop is looked for when no URL is given.
pub const URL_DEFAULT: &str = "http://127.0.0.1:8000";

/// Amounts the shop's API can carry: whole numbers that every JSON reader keeps exact.
const AMOUNT_MAX: u64 = (1 << 53) - 1;

/// More lines than this the API refuses.
const LINES_MAX: i64 = 100;

/// Rounds of a comparison when not said otherwise: the fewest that have a middle one.
const BASELINE_ROUNDS: u16 = 3;

/// The options of a benchmark.
///
/// For a program that is not a command line, `Options::default()` is what the command line has without any flag.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct Options {
    /// Base URL of the shop under test: any server with this API. Its items, users and orders "0", "1", … are
    /// overwritten [default: http://127.0.0.1:8000]
    #[arg(long)]
    pub url: Option<String>,

    /// Start a shop of this program's own, on a free port and fresh data, and stop it afterwards
    #[arg(long, conflicts_with = "url")]
    pub start_server: bool,

    /// Overwrite the data of a shop that this program did not start, without asking
    #[arg(long)]
    pub overwrite: bool,

    /// Connections that each send one checkout after the other
    #[arg(long, short, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Load")]
    pub connections: u16,

    /// Send at this many checkouts per second whatever the server does (open loop), and count latency from when each
    /// was due
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000), help_heading = "Load")]
    pub rate: Option<u64>,

    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = positive_seconds, help_heading = "Load")]
    pub seconds: Duration,

    /// How long to send checkouts before the measurement starts
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds, help_heading = "Load")]
    pub warm_up_seconds: Duration,

    /// A checkout without an answer after this long is counted as unknown
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = positive_seconds, help_heading = "Load")]
    pub timeout_seconds: Duration,

    /// Measure in this many rounds, which share --seconds; the throughput is the median of theirs [default: 1, and 3
    /// with --baseline]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_000), help_heading = "Load")]
    pub rounds: Option<u16>,

    /// Threads that send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_024), help_heading = "Load")]
    pub threads: u16,

    /// Lines of each order, of different items
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=LINES_MAX), help_heading = "Data")]
    pub lines_per_order: u16,

    /// This share of the orders has item "0" as one of its lines; no other order has it
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), help_heading = "Data")]
    pub hot_item: Option<u8>,

    /// Items
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Data")]
    pub items: u32,

    /// Users
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Data")]
    pub users: u32,

    /// Orders to prepare, each checked out once at most [default: enough, by a short trial]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Data")]
    pub orders: Option<u32>,

    /// Units of each item at the start
    #[arg(long, default_value_t = 1_000_000_000, value_parser = amount(), help_heading = "Data")]
    pub stock: u64,

    /// Credit of each user at the start
    #[arg(long, default_value_t = 1_000_000_000, value_parser = amount(), help_heading = "Data")]
    pub credit: u64,

    /// Price of each item
    #[arg(long, default_value_t = 1, value_parser = amount(), help_heading = "Data")]
    pub price: u64,

    /// Chooses the users and items of orders that are created one by one
    #[arg(long, default_value_t = 0, help_heading = "Data")]
    pub seed: u64,

    /// Also measure servers that do nothing but answer, in turn with the checkouts, and print the ratio. Without --url
    /// and with no shop at the default one it starts its own
    #[arg(long, conflicts_with = "rate", help_heading = "Baseline")]
    pub baseline: bool,

    /// Threads of these servers; the better number counts
    #[arg(
        long,
        value_name = "THREADS",
        value_delimiter = ',',
        default_values_t = [1, 2],
        value_parser = clap::value_parser!(u16).range(1..=1_024),
        help_heading = "Baseline"
    )]
    pub baseline_threads: Vec<u16>,

    /// Where servers started by this program keep their data, in a temporary directory of its own. Should be on the
    /// disk that matters: a system's usual temporary directory is often in memory, where a flush costs nothing
    /// [default: the current directory]
    #[arg(long, value_name = "DIR", help_heading = "Baseline")]
    pub data_dir: Option<PathBuf>,

    /// How long to wait before the audit when some outcomes are unknown, so that the server can decide them
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, help_heading = "Output")]
    pub settle_seconds: Duration,

    /// Also write the whole result to this file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub json: Option<PathBuf>,

    /// Record every operation in this file, for `sagamart audit`
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub history: Option<PathBuf>,

    /// Check the history for anomalies, and write a self-contained HTML page with the verdict, throughput and latency
    #[arg(long, value_name = "FILE", conflicts_with = "baseline", help_heading = "Output")]
    pub report: Option<PathBuf>,

    /// The mixed load.
    #[command(flatten)]
    pub mix: MixOptions,

    /// What is killed meanwhile.
    #[command(flatten)]
    pub faults: FaultOptions,

    /// The program that is started for servers of its own; this one if not given.
    #[arg(long, hide = true)]
    pub executable: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: None,
            start_server: false,
            overwrite: false,
            connections: 64,
            rate: None,
            seconds: Duration::from_secs(15),
            warm_up_seconds: Duration::from_secs(2),
            timeout_seconds: Duration::from_secs(30),
            rounds: None,
            threads: 1,
            lines_per_order: 2,
            hot_item: None,
            items: 100_000,
            users: 100_000,
            orders: None,
            stock: 1_000_000_000,
            credit: 1_000_000_000,
            price: 1,
            seed: 0,
            baseline: false,
            baseline_threads: vec![1, 2],
            data_dir: None,
            settle_seconds: Duration::from_secs(10),
            json: None,
            history: None,
            report: None,
            mix: MixOptions::default(),
            faults: FaultOptions::default(),
            executable: None,
        }
    }
}

impl Options {
    /// Checks what no single flag can.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn validate(&self) -> Result<()> {
        let invalid = |reason: String| Err(Error::Options(reason));
        let to_choose_from = self.items.saturating_sub(u32::from(self.hot_item.is_some()));
        let to_choose = self.lines_per_order - u16::from(self.hot_item == Some(100));
        if u32::from(to_choose) > to_choose_from {
            return invalid(format!(
                "orders of {} different items need more than {} items",
                self.lines_per_order, self.items
            ));
        }
        if u64::from(self.lines_per_order).saturating_mul(self.price) > AMOUNT_MAX {
            return invalid("an order would cost more than the API can say".to_owned());
        }
        if usize::from(self.threads) > usize::from(self.connections) {
            return invalid("more threads than connections".to_owned());
        }
        if self.faults.kill.contains(&Target::Server) && !self.start_server {
            return invalid("`--kill server` kills the server that --start-server starts".to_owned());
        }
        let commands = self.faults.restart_command.len();
        if commands > 1 && commands != self.faults.kill.len() {
            return invalid("give one --restart-command for all targets, or one for each".to_owned());
        }
        Ok(())
    }

    /// In how many rounds to measure.
    #[must_use]
    pub fn rounds(&self) -> u16 {
        self.rounds.unwrap_or(if self.baseline { BASELINE_ROUNDS } else { 1 })
    }

    /// How long a round lasts.
    #[must_use]
    pub fn round(&self) -> Duration {
        self.seconds / u32::from(self.rounds())
    }

    /// When requests are sent.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.rate.map_or(Pace::ClosedLoop, |rate_per_second| Pace::OpenLoop { rate_per_second })
    }
}

fn amount() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(0..=AMOUNT_MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &str) -> Result<Options, clap::Error> {
        CommandLine::try_parse_from(["bench"].into_iter().chain(arguments.split_whitespace()))
            .map(|command_line| command_line.options)
    }

    #[test]
    fn the_default_is_the_command_line_without_flags() {
        assert_eq!(parse("").unwrap(), Options::default());
        Options::default().validate().unwrap();
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        CommandLine::command().debug_assert();
    }

    #[test]
    fn flags_are_understood() {
        let options = parse("--rate 5000 --seconds 0.5 --hot-item 100 --baseline-threads 1,2,4 -c 8").unwrap();
        assert_eq!(options.pace(), Pace::OpenLoop { rate_per_second: 5_000 });
        assert_eq!(options.seconds, Duration::from_millis(500));
        assert_eq!(options.hot_item, Some(100));
        assert_eq!(options.baseline_threads, [1, 2, 4]);
        assert_eq!(options.connections, 8);
    }

    #[test]
    fn impossible_flags_are_refused() {
        for arguments in [
            "--connections 0",
            "--rate 0",
            "--seconds 0",
            "--seconds -1",
            "--seconds NaN",
            "--seconds inf",
            "--hot-item 101",
            "--lines-per-order 0",
            "--lines-per-order 101",
            "--items 0",
            "--stock 9007199254740992",
            "--rounds 0",
            "--baseline --rate 100",
            "--url http://a --start-server",
        ] {
            assert!(parse(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for arguments in [
            "--items 1",
            "--items 2 --hot-item 50",
            "--items 1 --hot-item 100",
            "--price 9007199254740991",
            "--connections 2 --threads 3",
        ] {
            let refused = parse(arguments).unwrap().validate();
            assert!(matches!(refused, Err(Error::Options(_))), "{arguments}");
        }
        for arguments in ["--items 1 --lines-per-order 1", "--items 2 --hot-item 100", "--items 3 --hot-item 50"] {
            parse(arguments).unwrap().validate().unwrap();
        }
    }

    #[test]
    fn rounds_share_the_time() {
        let options = parse("--seconds 12 --baseline").unwrap();
        assert_eq!((options.rounds(), options.round()), (3, Duration::from_secs(4)));
        let options = parse("--seconds 12").unwrap();
        assert_eq!((options.rounds(), options.round()), (1, Duration::from_secs(12)));
    }
}
