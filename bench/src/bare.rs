//! The yardsticks: servers that do nothing but answer, so that a checkout can be compared with the cost of the HTTP
//! request that carries it, on the same machine, in the same minutes, under the same load.
//!
//! * The **bare** server answers a constant to `POST /orders/checkout/{order_id}`: the ceiling for any service on this
//!   HTTP stack.
//! * The **durable** one first appends 128 bytes to a file and answers after a flush that it shares with everyone who
//!   waits at that moment: the ceiling for any service whose answers survive a power cut.
//!
//! Each runs in a process of its own, as the server under test does.

mod appender;

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread,
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt as _,
};
use tokio::net::TcpListener;

use crate::{Error, Result};
use appender::Appender;

/// What every answer says: about as much as a checkout's.
const ANSWER: &str = r#"{"status":"completed"}"#;
/// What the durable server writes for each request: about as much as a checkout has to remember.
const RECORD_BYTES: usize = 128;

/// The options of the yardstick server's own process.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Threads that serve requests
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,

    /// Append to a file in this directory and answer only after it was flushed
    #[arg(long, value_name = "DIR")]
    pub durable: Option<PathBuf>,

    /// End when standard input does, so that this process never outlives the one that started it
    #[arg(long)]
    pub until_stdin_closes: bool,
}

/// Runs the yardstick server until the process ends, or standard input if so asked. Prints one line, `listening on
/// http://ADDRESS`, on standard output once it accepts connections.
///
/// It blocks the calling thread and brings its own runtime, because the number of threads is part of what is measured.
/// It may be called from inside another runtime, whose threads then idle.
///
/// # Errors
/// When it cannot listen, or cannot create its file.
pub fn run(options: &Options) -> Result<()> {
    if options.until_stdin_closes {
        thread::spawn(|| {
            drop(io::stdin().lock().read_to_end(&mut Vec::new()));
            std::process::exit(0);
        });
    }
    let appender = options.durable.as_deref().map(Appender::create).transpose()?;
    // A runtime cannot be entered from within another one's thread, but it can on a thread of its own.
    let server = thread::scope(|scope| scope.spawn(|| block_on_server(options, appender)).join());
    server.unwrap_or(Err(Error::ThreadDied))
}

fn block_on_server(options: &Options, appender: Option<Appender>) -> Result<()> {
    let mut runtime = match options.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(usize::from(threads));
            builder
        }
    };
    let runtime = runtime.enable_all().build().map_err(Error::io("cannot start a runtime"))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(Error::io(format!("cannot listen on {}", options.listen)))?;
        let address = listener.local_addr().map_err(Error::io("cannot tell the address"))?;
        writeln!(io::stdout().lock(), "listening on http://{address}").map_err(Error::io("cannot write"))?;
        serve(listener, appender).await.map_err(Error::io("cannot serve"))
    })
}

/// Serves the yardstick on the calling runtime, for ever.
async fn serve(listener: TcpListener, appender: Option<Appender>) -> io::Result<()> {
    let listener = listener.tap_io(|stream| {
        // Where this fails the connection is dead, which the server is about to find out.
        drop(stream.set_nodelay(true));
    });
    axum::serve(listener, router(appender)).await
}

fn router(appender: Option<Appender>) -> Router {
    const ROUTE: &str = "/orders/checkout/{order_id}";
    match appender {
        None => Router::new().route(ROUTE, post(|Path(_): Path<String>| async { constant() })),
        Some(appender) => Router::new().route(ROUTE, post(durable)).with_state(Arc::new(appender)),
    }
}

async fn durable(State(appender): State<Arc<Appender>>, Path(order_id): Path<String>) -> Response {
    let mut record = [0; RECORD_BYTES];
    for (byte, of_order) in record.iter_mut().zip(order_id.bytes()) {
        *byte = of_order;
    }
    match appender.append(&record).await {
        Ok(()) => constant(),
        Err(_not_flushed) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn constant() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], ANSWER).into_response()
}

#[cfg(test)]
mod tests;
