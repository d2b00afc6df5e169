//! `sagamart events`: everything that was heard of, as a stream.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{Error, Origin, Source, refused, write_json};

/// How soon it is tried again to reach a history that has gone.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// Twice as long as it takes the server to say that it still lives.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Shows all events that were heard of, in the order in which they were, and those to come
#[derive(Args, Debug)]
pub(crate) struct Events {
    /// Goes on with those to come; without --after only with those. It outlives whoever is asked: it asks again until it is
    /// answered, and goes on where it was
    #[arg(long, conflicts_with = "data")]
    follow: bool,

    /// Those after this one; the beginning is 0-0
    #[arg(long, value_name = "ID")]
    after: Option<String>,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    origin: Origin,
}

impl Events {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        let source = self.origin.open().await?;
        let beginning = (!self.follow).then(|| "0-0".to_owned());
        let mut stream = Stream { last: self.after.clone().or(beginning), ..Stream::default() };
        let mut was_reached = false;
        loop {
            match self.listen(&source, &mut stream, &mut was_reached).await {
                Ok(()) if !self.follow => return Ok(ExitCode::SUCCESS),
                Ok(()) => {}
                Err(Error::Unreached(_)) if was_reached => {}
                Err(error) => return Err(error),
            }
            sleep(TRY_AGAIN).await;
        }
    }

    /// Shows one answer as it comes, until it ends.
    async fn listen(&self, source: &Source, stream: &mut Stream, was_reached: &mut bool) -> Result<(), Error> {
        // Of a directory, whose answers come from memory, it is only said in words that fit both.
        let address = &self.origin.admin.address;
        let response = source.follow("/events", stream.last.as_deref()).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        if status != 200 {
            let problem = body.collect().await.map(|body| serde_json::from_slice(&body.to_bytes()).unwrap_or_default());
            let error = refused(status, &problem.unwrap_or_default());
            // It may be about to be ready, or to end.
            return Err(if status == 503 { address.unreached(error.to_string()).into() } else { error });
        }
        *was_reached = true;
        stream.pending.clear();
        while let Some(bytes) = timeout(SILENCE_MAX, body.frame()).await.ok().flatten() {
            let Ok(bytes) = bytes.map_err(|error| -> Error { address.unreached(error).into() })?.into_data() else {
                continue;
            };
            stream.pending.extend_from_slice(&bytes);
            while let Some(message) = stream.next() {
                match message {
                    Message::Event(event) => self.show(&event)?,
                    Message::UpToDate if self.follow => {}
                    Message::UpToDate => return Ok(()),
                }
            }
            io::stdout().flush()?;
        }
        if self.follow { Ok(()) } else { Err(address.unreached("the answer was cut off").into()) }
    }

    fn show(&self, event: &Value) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        if self.json {
            return write_json(&mut out, event);
        }
        Ok(writeln!(out, "{}", in_words(event))?)
    }
}

/// What comes of a stream.
#[derive(Clone, Debug, PartialEq)]
enum Message {
    Event(Value),
    UpToDate,
}

/// Server-sent events, and where they are.
#[derive(Debug, Default)]
struct Stream {
    pending: Vec<u8>,
    last: Option<String>,
}

impl Stream {
    /// The next message that has come as a whole.
    fn next(&mut self) -> Option<Message> {
        loop {
            let end = self.pending.windows(2).position(|two| two == b"\n\n")?;
            let block: Vec<u8> = self.pending.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block).into_owned();
            let field = |name: &str| {
                let value = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
                Some(value.strip_prefix(' ').unwrap_or(value))
            };
            if let Some(id) = field("id") {
                self.last = Some(id.to_owned());
            }
            if field("event") == Some("cut") {
                return Some(Message::Event(serde_json::json!({ "event": "Cut" })));
            }
            if let Some(mut event) = field("data").and_then(|data| serde_json::from_str::<Value>(data).ok()) {
                if let (Some(members), Some(id)) = (event.as_object_mut(), &self.last) {
                    members.insert("id".to_owned(), id.as_str().into());
                }
                return Some(Message::Event(event));
            }
            if field("id").is_some() {
                return Some(Message::UpToDate);
            }
        }
    }
}

/// An event on a line.
fn in_words(event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    if text("event") == Some("Cut") {
        return "… what came then is no longer kept …".to_owned();
    }
    let named = |name: &str| match event.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(format!(" {name}={text}")),
        Value::Array(values) => {
            let texts: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            let shown = texts.iter().take(5).copied().collect::<Vec<_>>().join(",");
            let more = texts.len().saturating_sub(5);
            Some(if more == 0 { format!(" {name}={shown}") } else { format!(" {name}={shown},and {more} more") })
        }
        other => Some(format!(" {name}={other}")),
    };
    let names = [
        "order_id", "user_id", "reason", "item_id", "wanted", "left", "free", "ahead", "ids", "kind", "amount",
        "total", "events", "by", "because",
    ];
    let rest: String = names.into_iter().filter_map(named).collect();
    let service =
        format!("{}/{}", text("service").unwrap_or("?"), event.get("partition").and_then(Value::as_u64).unwrap_or(0));
    let [id, at, name] = ["id", "at", "event"].map(|name| text(name).unwrap_or("?"));
    format!("{id:<8} {at} {service:<11} {name}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_however_it_is_cut_and_says_where_it_is() {
        let bytes = b"id: 0-0\n: up to date\n\n:\n\nid: 0-1\ndata: {\"event\":\"A\"}\n\nevent: cut\ndata: {}\n\nid:0-2\ndata:{}\n\n";
        let event = |value: Value| Message::Event(value);
        let expected = [
            Message::UpToDate,
            event(serde_json::json!({ "event": "A", "id": "0-1" })),
            event(serde_json::json!({ "event": "Cut" })),
            event(serde_json::json!({ "id": "0-2" })),
        ];
        for size in 1..=bytes.len() {
            let (mut stream, mut messages) = (Stream::default(), Vec::new());
            for bytes in bytes.chunks(size) {
                stream.pending.extend_from_slice(bytes);
                while let Some(message) = stream.next() {
                    messages.push(message);
                }
            }
            assert_eq!((messages.as_slice(), stream.last.as_deref()), (&expected[..], Some("0-2")), "{size}");
        }
    }
}
