//! What the command line says about clients.

use std::{num::NonZeroU32, time::Duration};

use clap::{Args, ValueEnum, value_parser};
use web::{Dialect, server};

/// How clients are served.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct HttpOptions {
    /// How long a client's connection may stay open without a request; longer than a gateway keeps its own
    #[arg(
        long, value_name = "SECONDS", default_value = "75", env = "SAGAMART_IDLE_TIMEOUT",
        value_parser = value_parser!(u64).range(1..=86_400),
    )]
    idle_timeout: u64,

    /// How many connections one address may have, an IPv6 network of 64 bits counting as one; behind a gateway, all are
    /// the gateway's [default: half of all]
    #[arg(long, value_name = "N", env = "SAGAMART_CONNECTIONS_PER_ADDRESS", value_parser = value_parser!(u32).range(1..))]
    connections_per_address: Option<u32>,

    /// How many requests a second one address may send, an IPv6 network of 64 bits counting as one; behind a gateway, all are
    /// the gateway's [default: any number]
    #[arg(long, value_name = "N", env = "SAGAMART_REQUESTS_PER_ADDRESS")]
    requests_per_address: Option<NonZeroU32>,

    /// How answers are spelled
    #[arg(long, value_enum, default_value = "own", env = "SAGAMART_DIALECT")]
    dialect: Spelling,

    /// Believe the headers that only a gateway in front may set, Idempotency-Retention and Idempotency-Since, and that
    /// nobody else can send
    #[arg(long, env = "SAGAMART_BEHIND_GATEWAY")]
    pub(crate) behind_gateway: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Spelling {
    /// As /openapi.json says
    Own,
    /// As the public course template: 400 for 402, 404 and 409, and slashes in a row count as one
    Template,
}

impl HttpOptions {
    pub(crate) fn dialect(self) -> Dialect {
        match self.dialect {
            Spelling::Own => Dialect::Own,
            Spelling::Template => Dialect::Template,
        }
    }

    pub(crate) fn settings(self) -> server::Settings {
        server::Settings {
            idle_timeout: Duration::from_secs(self.idle_timeout),
            requests_per_address: self.requests_per_address,
            connections_per_address_max: self.connections_per_address.map(|count| count as usize),
            ..server::Settings::default()
        }
    }
}
