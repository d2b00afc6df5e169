//! Sends traces, a few at a time, and never waits for long.

use std::time::Duration;

use bytes::Bytes;
use observer::Story;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use saga::Refrain;
use tokio::{sync::mpsc, time::sleep};

use crate::{Endpoint, counts::Counts, endpoint::Failure, spans::request_of};

/// In one request: some 200 KiB.
const BATCH: usize = 200;

/// How long to wait before it is tried again; after the last, a batch is dropped.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// See the module.
#[derive(Debug)]
pub(crate) struct Sender {
    endpoint: Endpoint,
    counts: Counts,
    refrain: Refrain,
}

impl Sender {
    pub(crate) fn new(endpoint: Endpoint, counts: Counts) -> Self {
        Self { endpoint, counts, refrain: Refrain::default() }
    }

    pub(crate) async fn run(self, mut queued: mpsc::Receiver<Story>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queued.recv_many(&mut batch, BATCH).await > 0 {
            let traces = batch.len() as u64;
            let body = Bytes::from(request_of(&batch).encode_to_vec());
            batch.clear();
            match self.send(body).await {
                Ok(answer) => {
                    self.counts.sent(traces);
                    self.heed(&answer);
                }
                Err(failure) => self.drop_batch(&failure, traces),
            }
        }
    }

    async fn send(&self, body: Bytes) -> Result<Bytes, Failure> {
        for pause in PAUSES {
            match self.endpoint.post(body.clone()).await {
                Err(Failure::Passing(_)) => sleep(pause).await,
                answered => return answered,
            }
        }
        self.endpoint.post(body).await
    }

    fn drop_batch(&self, failure: &Failure, traces: u64) {
        let (reason, error) = match failure {
            Failure::Passing(error) => ("unreachable", error),
            Failure::Refused(error) => ("refused", error),
        };
        self.counts.dropped(reason, traces);
        if let Some(times) = self.refrain.say(reason) {
            tracing::warn!(
                error,
                traces,
                suppressed = times - 1,
                "traces were dropped: the endpoint does not take them"
            );
        }
    }

    /// An endpoint may take a part.
    fn heed(&self, answer: &[u8]) {
        let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
        if let Some(partial) = partial.filter(|partial| partial.rejected_spans > 0)
            && let Some(times) = self.refrain.say("rejected")
        {
            let (spans, error) = (partial.rejected_spans, partial.error_message);
            tracing::warn!(error, spans, suppressed = times - 1, "the endpoint rejects some spans");
        }
    }
}
