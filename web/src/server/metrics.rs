//! What a server counts besides the requests that reach a route.

use axum::http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The metrics of a server:
///
/// - `sagamart_http_connections`
/// - `sagamart_http_connections_closed_total{reason}`: closed by the server, without a word
/// - `sagamart_http_requests_refused_total{status}`: never got as far as a route
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    connections: Gauge,
    closed: Family<Reason, Counter>,
    refused: Family<Status, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
}

/// Why the server closed a connection by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Its address had too many.
    Address,
    /// Nothing came, or replies were not taken in.
    Idle,
    /// Others were waiting.
    Pressure,
    /// How to encrypt it was not agreed on.
    Encryption,
}

impl Metrics {
    /// Adds the metrics to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("sagamart_http_connections", "Open connections", self.connections.clone());
        registry.register(
            "sagamart_http_connections_closed",
            "Connections that the server closed: idle ones, the longest idle for others that were waiting (pressure), new \
             ones of an address that had too many, and those of which the encryption was not agreed on",
            self.closed.clone(),
        );
        registry.register(
            "sagamart_http_requests_refused",
            "Requests that could not be read, or were too slow or too large, by status",
            self.refused.clone(),
        );
    }

    pub(super) fn connections(&self, count: usize) {
        self.connections.set(i64::try_from(count).expect("connections are far fewer than 2^63"));
    }

    pub(super) fn connection_closed(&self, why: Closed) {
        let reason = match why {
            Closed::Address => "address",
            Closed::Idle => "idle",
            Closed::Pressure => "pressure",
            Closed::Encryption => "encryption",
        };
        self.closed.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn request_refused(&self, status: StatusCode) {
        self.refused.get_or_create(&Status { status: status.as_u16() }).inc();
    }
}
