//! The binary: joins the services, the stores and the tools.

mod any_store;
mod ask;
mod audit_log;
mod check_data;
mod check_database;
mod encrypted;
mod make_secret;
mod make_token;
#[cfg(any(test, not(feature = "tools")))]
mod missing;
mod packaging;
mod probe;
mod repair;
mod secrets;
mod serve;
mod stopped;
#[cfg(feature = "tools")]
mod tools;

use std::{io, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, error::ErrorKind};
use contract::Service;
use tokio::runtime::{Builder, Runtime};
use web::logs;

use serve::{ObserveOptions, ReplicaOptions, Role, Shop, defaults_to};

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
    Serve(Box<Shop>),
    /// Runs one replica of the order service
    #[command(
        mut_arg("listen", |listen| defaults_to(listen, "127.0.0.1:8001")),
        mut_arg("internal_listen", |listen| defaults_to(listen, "127.0.0.1:9001")),
    )]
    Order(Box<ReplicaOptions>),
    /// Runs one replica of the stock service
    #[command(
        mut_arg("listen", |listen| defaults_to(listen, "127.0.0.1:8002")),
        mut_arg("internal_listen", |listen| defaults_to(listen, "127.0.0.1:9002")),
    )]
    Stock(Box<ReplicaOptions>),
    /// Runs one replica of the payment service
    #[command(
        mut_arg("listen", |listen| defaults_to(listen, "127.0.0.1:8003")),
        mut_arg("internal_listen", |listen| defaults_to(listen, "127.0.0.1:9003")),
    )]
    Payment(Box<ReplicaOptions>),
    /// Runs one replica of the observer, which keeps the history of the shop
    #[command(
        mut_arg("listen", |listen| defaults_to(listen, "127.0.0.1:8010")),
        mut_arg("internal_listen", |listen| defaults_to(listen, "127.0.0.1:9004")),
    )]
    Observe(Box<ObserveOptions>),
    Probe(probe::Probe),
    #[command(flatten)]
    Ask(ask::Ask),
    #[cfg(feature = "tools")]
    #[command(flatten)]
    Tool(tools::Tool),
    #[cfg(not(feature = "tools"))]
    #[command(flatten)]
    Tool(missing::Tool),
    CheckDatabase(Box<check_database::CheckDatabase>),
    CheckData(check_data::CheckData),
    Repair(Box<repair::Repair>),
    Secret(make_secret::MakeSecret),
    Token(make_token::MakeToken),
    #[command(subcommand)]
    AuditLog(audit_log::AuditLogCommand),
    #[command(hide = true)]
    Completions(packaging::Completions),
    #[command(hide = true)]
    Manual(packaging::Manual),
}

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    if let Some(contradiction) = ask::contradiction(&matches) {
        Cli::command().error(ErrorKind::ArgumentConflict, contradiction).exit();
    }
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.format(&mut Cli::command()).exit(),
    };
    let format = match cli.log {
        LogFormat::Human => logs::Format::Human,
        LogFormat::Json => logs::Format::Json,
    };
    if let Err(error) = logs::init(format, &cli.log_filter) {
        return failed(&error);
    }
    secrets::warn_of_visible(&matches);
    match cli.command {
        Command::Serve(shop) => finished(serve_shop(*shop)),
        Command::Order(options) => finished(serve_replica(Role::Service(Service::Order), *options)),
        Command::Stock(options) => finished(serve_replica(Role::Service(Service::Stock), *options)),
        Command::Payment(options) => finished(serve_replica(Role::Service(Service::Payment), *options)),
        Command::Observe(options) => match options.role() {
            Ok(role) => finished(serve_replica(role, options.replica)),
            Err(error) => failed(&error),
        },
        Command::Probe(probe) => finished(run("probe", 1, probe.run())),
        Command::Ask(ask) => match run("ask", 1, ask.run()) {
            Ok(Ok(code)) => code,
            Ok(Err(error)) => {
                failed(&error);
                error.exit_code()
            }
            Err(error) => failed(&error),
        },
        Command::Tool(tool) => tool.run(),
        Command::CheckDatabase(check) => match run("check", 1, check.run()) {
            Ok(code) => code,
            Err(error) => failed(&error),
        },
        Command::CheckData(check) => check.run(),
        Command::Repair(repair) => finished(run("repair", 1, repair.run())),
        Command::Secret(secret) => finished(Ok(secret.run())),
        Command::Token(token) => finished(Ok(token.run())),
        Command::AuditLog(command) => match command.run() {
            Ok(code) => code,
            Err(error) => failed(&error),
        },
        Command::Completions(completions) => finished(Ok(completions.run(&Cli::command()))),
        Command::Manual(manual) => finished(Ok(manual.run(Cli::command()))),
    }
}

/// Whatever still runs on threads ends with the process: what had to end in order has.
fn serve_shop(shop: Shop) -> io::Result<Result<(), serve::Error>> {
    let http = threads("http", shop.threads())?;
    let engine = match shop.engine_threads() {
        0 => None,
        count => Some(threads("engine", count)?),
    };
    let services = engine.as_ref().unwrap_or(&http).handle().clone();
    let observer = threads("observer", 1)?;
    let places = [services, observer.handle().clone()];
    let ended = http.block_on(serve::live(async |stop| shop.run(places.clone(), stop).await));
    engine.into_iter().chain([observer, http]).for_each(Runtime::shutdown_background);
    Ok(ended)
}

fn serve_replica(role: Role, options: ReplicaOptions) -> io::Result<Result<(), serve::Error>> {
    let threads = threads("service", options.serve.threads())?;
    let ended = threads.block_on(serve::live(async |stop| Box::pin(serve::run(role, options, stop)).await));
    threads.shutdown_background();
    Ok(ended)
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

#[expect(clippy::print_stderr, reason = "the last word of a command that failed, whatever the log's filter")]
fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("sagamart: {error}");
    ExitCode::FAILURE
}
