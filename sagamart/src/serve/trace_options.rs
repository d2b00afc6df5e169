//! Whether traces of checkouts are sent, where to, and of which.

use std::env;

use clap::Args;
use order::Sampling;

use super::Error;

/// What OpenTelemetry's own exporters read.
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Traces.
#[derive(Args, Clone, Debug)]
pub(crate) struct TraceOptions {
    /// Where traces of checkouts are sent, for `serve` and `observe`: the base address of a collector that takes OTLP over HTTP, such
    /// as http://127.0.0.1:4318 [default: what OTEL_EXPORTER_OTLP_ENDPOINT says; else none are sent]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,

    /// Of which share of checkouts that are paid in time traces are sent, from 0 to 1; of those that are refused or slow, all are
    #[arg(long, value_name = "SHARE", default_value = "0.01", env = "SAGAMART_TRACE_SHARE", value_parser = share)]
    trace_share: f64,
}

/// A part of all.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1, such as 0.01".to_owned())
}

impl TraceOptions {
    pub(crate) fn share(&self) -> f64 {
        self.trace_share
    }

    /// What nobody would send anything to.
    pub(crate) fn check_unused(&self, name: &str) -> Result<(), Error> {
        match self.otlp_endpoint {
            Some(_) => Err(Error::Options(format!(
                "{name} sends no traces: they are made of what the observer hears, so say --otlp-endpoint to `sagamart observe`"
            ))),
            None => Ok(()),
        }
    }

    /// What was said of an endpoint, and whether as an option.
    fn endpoint(&self) -> Option<(String, bool)> {
        let said = self.otlp_endpoint.clone().map(|url| (url, true));
        // What is empty is not there: manifests like to set everything.
        let or = || env::var(ENDPOINT_VARIABLE).ok().filter(|url| !url.is_empty()).map(|url| (url, false));
        said.or_else(or)
    }
}

#[cfg(feature = "traces")]
mod sending {
    use std::{env, sync::Arc};

    use observer::Witness;
    use prometheus_client::registry::Registry;
    use tokio::runtime::Handle;

    use super::{Error, Sampling, TraceOptions};

    const HEADERS_VARIABLE: &str = "OTEL_EXPORTER_OTLP_HEADERS";

    impl TraceOptions {
        /// Sends traces from now on, if they are wanted, of what the witness hears.
        pub(crate) fn begin(
            &self,
            sampling: Sampling,
            registry: &mut Registry,
            threads: &Handle,
        ) -> Result<Option<Arc<dyn Witness>>, Error> {
            let Some((url, _)) = self.endpoint() else { return Ok(None) };
            let headers = env::var(HEADERS_VARIABLE).ok();
            let endpoint = traces::Endpoint::new(&url, headers.as_deref());
            let endpoint = endpoint.map_err(|error| Error::Options(format!("no traces can be sent: {error}")))?;
            let sampling = traces::Sampling { share: sampling.share, slow: sampling.slow };
            Ok(Some(traces::begin(endpoint, sampling, registry, threads)))
        }
    }
}

#[cfg(not(feature = "traces"))]
mod sending {
    use std::sync::Arc;

    use observer::Witness;
    use prometheus_client::registry::Registry;
    use tokio::runtime::Handle;

    use super::{ENDPOINT_VARIABLE, Error, Sampling, TraceOptions};

    impl TraceOptions {
        /// Says how to get what is wanted.
        pub(crate) fn begin(
            &self,
            _: Sampling,
            _: &mut Registry,
            _: &Handle,
        ) -> Result<Option<Arc<dyn Witness>>, Error> {
            let how = "this program was built without traces, to be built faster: with them, `cargo build --release --features traces`";
            match self.endpoint() {
                Some((_, true)) => Err(Error::Options(format!("--otlp-endpoint: {how}"))),
                Some(_) => {
                    tracing::warn!("{ENDPOINT_VARIABLE}: {how}");
                    Ok(None)
                }
                None => Ok(None),
            }
        }
    }
}
