//! Somewhere to send traces to: takes OTLP over HTTP and keeps what it gets.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message as _;
use tokio::{net::TcpListener, time::sleep};

/// How long a trace may take until it is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span, as somebody reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who made it.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// Its trace, in hexadecimal digits.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// Its parent's id; empty where it has none.
    pub parent: String,
    /// When it began and ended, in nanoseconds since 1970.
    pub time: [u64; 2],
    /// What else it says, as text.
    pub attributes: Vec<(String, String)>,
}

impl Received {
    /// What it says under this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// See the module. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    /// Listens on a free port.
    ///
    /// # Panics
    /// There is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let collector = Self { address, spans: Arc::default() };
        let taking = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taking = taking.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| taking.clone().answer(request));
                    // A connection that breaks is its client's matter.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        collector
    }

    /// What to send to, as an exporter is told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let is_right = request.method() == "POST" && request.uri().path() == "/v1/traces";
        let kind = request.headers().get("content-type").cloned();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let decoded = ExportTraceServiceRequest::decode(body);
        let mut response = Response::new(Full::default());
        match decoded {
            Ok(decoded) if is_right && kind.is_some_and(|kind| kind == "application/x-protobuf") => {
                self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(read(decoded));
            }
            _ => *response.status_mut() = hyper::StatusCode::BAD_REQUEST,
        }
        Ok(response)
    }

    /// All spans that are here.
    #[must_use]
    pub fn spans(&self) -> Vec<Received> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of a trace, once they are here: they come together.
    ///
    /// # Panics
    /// They do not come.
    pub async fn trace(&self, trace: &str) -> Vec<Received> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span.trace == trace).collect();
            if !spans.is_empty() {
                return spans;
            }
            assert!(Instant::now() < deadline, "trace {trace} never comes: {:?}", self.spans());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(attribute: &KeyValue) -> (String, String) {
    let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    (attribute.key.clone(), value)
}

fn read(request: ExportTraceServiceRequest) -> Vec<Received> {
    let mut received = Vec::new();
    for of_service in request.resource_spans {
        let resource: Vec<_> = of_service.resource.iter().flat_map(|resource| &resource.attributes).map(text).collect();
        let service =
            resource.into_iter().find(|(name, _)| name == "service.name").map_or_else(String::new, |(_, name)| name);
        for span in of_service.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            received.push(Received {
                service: service.clone(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                time: [span.start_time_unix_nano, span.end_time_unix_nano],
                attributes: span.attributes.iter().map(text).collect(),
            });
        }
    }
    received
}
