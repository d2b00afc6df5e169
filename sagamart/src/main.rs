//! The binary: joins the services, the stores and the tools.

mod market;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use web::logs;

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
    #[arg(long, value_name = "FILTER", default_value = "info,fjall=warn,lsm_tree=warn", global = true, env = "SAGAMART_LOG_FILTER")]
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
        Command::Serve(serve) => {
            let threads = serve.threads();
            run(threads, serve.run())
        }
    }
}

fn run<E: std::error::Error>(threads: usize, work: impl Future<Output = Result<(), E>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    // On a worker, so that the accept loop is next to the connections.
    match runtime.block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed, whatever the log's filter")]
fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("sagamart: {error}");
    ExitCode::FAILURE
}
