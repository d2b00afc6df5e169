//! The benchmark as a program of its own, without the rest of the workspace:
//!
//! ```text
//! cargo run --release --package sagamart-bench --example bench -- bench --url http://127.0.0.1:8000 --baseline
//! ```
//!
//! Without `--url` it measures its own `serve`, the in-memory shop that the tests use, which says nothing about any
//! real one.

#[path = "../tests/runs/shop.rs"]
#[expect(dead_code, reason = "only its correct variant is served here")]
mod shop;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
};

use clap::Parser;
use sagamart_bench as bench;

/// The allocator that the shop's own binary has: it is a part of what the baseline measures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
enum Command {
    /// Measure first-time checkouts
    Bench(Box<bench::Options>),
    /// A server that does nothing but answer
    #[command(hide = true)]
    BareServer(bench::bare::Options),
    /// A shop in memory
    Serve {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8000")]
        listen: SocketAddr,
        /// Ignored: nothing is kept
        #[arg(long)]
        store: Option<OsString>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(options) => bench::run(&options, &mut io::stdout()).await.map(drop),
        Command::BareServer(options) => bench::bare::run(&options),
        Command::Serve { listen, store: _ } => {
            serve(listen).await.map_err(|source| bench::Error::Io { what: "cannot serve".to_owned(), source })
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn serve(listen: SocketAddr) -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    axum::serve(listener, shop::router(shop::Fault::None)).await
}
