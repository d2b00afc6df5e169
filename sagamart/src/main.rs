//! The binary: joins the services, the stores and the tools.

mod check;
mod host;
mod market;
mod probe;
mod serve;
mod service;
mod signals;
mod sim;

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use tokio::runtime::{Builder, Runtime};
use web::logs;

use service::{Kind, ServiceOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A shop of three services whose checkout happens as a whole or not at all.
///
/// Start it with `sagamart serve`, then see http://127.0.0.1:8000/openapi.json for what it does.
#[derive(Parser, Debug)]
#[command(name = "sagamart", version, arg_required_else_help = true)]
struct Cli {
    /// How log lines on standard error look
    #[arg(long, value_enum, default_value_t = LogFormat::Human, global = true, env = "SAGAMART_LOG")]
    log: LogFormat,

    /// What is logged: a level, or `target=level` pairs, such as `info,web::access=debug` for every request
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info,lsm_tree=warn",
        global = true,
        env = "SAGAMART_LOG_FILTER"
    )]
    log_filter: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Human,
    /// One JSON object per line
    Json,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::Serve),
    /// Runs one replica of the order service
    Order(Box<ServiceOptions>),
    /// Runs one replica of the stock service
    Stock(Box<ServiceOptions>),
    /// Runs one replica of the payment service
    Payment(Box<ServiceOptions>),
    Probe(probe::Probe),
    /// Measures first-time checkouts against any server with this API, and audits credit and stock at the end; with
    /// --mix, sends a mix of everything and lets the referee judge it, also while the server is killed again and again
    Bench(Box<bench::Options>),
    Check(check::Check),
    Sim(sim::Sim),
    /// Judges a history that `bench --history` recorded: conservation, linearizability, serializability
    Audit(bench::CheckOptions),
    /// A server that does nothing but answer, for `bench --baseline`
    #[command(hide = true)]
    BareServer(bench::bare::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = match cli.log {
        LogFormat::Human => logs::Format::Human,
        LogFormat::Json => logs::Format::Json,
    };
    if let Err(error) = logs::init(format, &cli.log_filter) {
        return failed(&error);
    }
    match cli.command {
        Command::Serve(serve) => finished(run_serve(serve)),
        Command::Order(options) => run_service(Kind::Order, *options),
        Command::Stock(options) => run_service(Kind::Stock, *options),
        Command::Payment(options) => run_service(Kind::Payment, *options),
        Command::Probe(probe) => finished(run("probe", 1, probe.run())),
        Command::Bench(options) => match run("bench", 1, async { bench::run_any(&options, &mut io::stdout()).await }) {
            Ok(measured) => ended(measured),
            Err(error) => failed(&error),
        },
        Command::Check(check) => check.run(),
        Command::Sim(sim) => sim.run(),
        Command::Audit(options) => match run("audit", 1, async { bench::check(&options, &mut io::stdout()).await }) {
            Ok(judged) => ended(judged),
            Err(error) => failed(&error),
        },
        // Its runtime has as many threads as it is told, so it brings its own.
        Command::BareServer(options) => ended(bench::bare::run(&options)),
    }
}

/// The services end in order before their threads do.
fn run_serve(serve: serve::Serve) -> io::Result<Result<(), serve::Error>> {
    let http = threads("http", serve.threads())?;
    let engine = match serve.engine_threads() {
        0 => None,
        count => Some(threads("engine", count)?),
    };
    let services = engine.as_ref().unwrap_or(&http).handle().clone();
    Ok(http.block_on(serve.run(services)))
}

fn run_service(kind: Kind, options: ServiceOptions) -> ExitCode {
    finished(run("service", options.common.threads(), service::run(kind, options)))
}

fn run<T>(name: &str, count: usize, work: impl Future<Output = T>) -> io::Result<T> {
    Ok(threads(name, count)?.block_on(work))
}

fn threads(name: &str, count: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(count).thread_name(name).enable_all().build()
}

/// The exit code of work that ran on a runtime, if there was one.
fn finished<E: std::error::Error>(outcome: io::Result<Result<(), E>>) -> ExitCode {
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn ended(outcome: bench::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failed(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed, whatever the log's filter")]
fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("sagamart: {error}");
    ExitCode::FAILURE
}
