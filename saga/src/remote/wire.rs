//! What two processes say to each other: frames of a length and a CBOR message.
//!
//! ```text
//!  client                                   server
//!    Hello ───────────────────────────────▶
//!    ◀─────────────────────────── Challenge   where there is a secret (`secret`)
//!    Proof ───────────────────────────────▶
//!    ◀──────────────── Welcome, or Refused
//!    ◀────────────────────────────── Places   whenever partitions move, and after each Pong: it may have been lost
//!    Call, ReadLog ────────────────────────▶
//!    ◀─────────────────────── Answer, Events
//!    Subscribe ────────────────────────────▶
//!    ◀──────────────── Subscribed, Deliver …
//!    Acks ─────────────────────────────────▶  for trimming
//!    Ping ─────────────────────────────────▶
//!    ◀───────────────────────────────── Pong
//! ```

use std::io;

use bytes::{Buf, BytesMut};
use minicbor::{Decode, Encode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

use crate::{CallError, Partition};

/// The protocol that this version speaks; two that differ do not talk.
pub(crate) const VERSION: u64 = 3;

/// The longest message: a bulk command of some thousand records, or a read of a log, with room to spare.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest message before a caller was let in.
const GREETING_BYTES_MAX: usize = 1024;

/// The longest name of a service in a greeting.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// Messages written in one go.
const WRITE_BYTES: usize = 256 * 1024;

/// Messages that may wait for a connection. More than a second's worth: who comes then has lost the connection, to all
/// intents.
pub(crate) const OUTGOING_MAX: usize = 16 * 1024;

/// An event with its number.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Entry {
    #[n(0)]
    pub(crate) position: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) event: Vec<u8>,
}

/// A request for a partition.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Asked {
    #[n(0)]
    pub(crate) partition: Partition,
    /// The command; `None` only notes the key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) command: Option<Vec<u8>>,
    #[n(2)]
    pub(crate) key: Option<AskedKey>,
    #[n(3)]
    pub(crate) patience_ms: Option<u64>,
}

/// An idempotency key on its way.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct AskedKey {
    #[n(0)]
    pub(crate) key: String,
    #[n(1)]
    pub(crate) fingerprint: u64,
    #[n(2)]
    pub(crate) retention_ms: Option<u64>,
}

/// What a request got.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Told {
    /// The participant's reply.
    #[n(0)]
    Reply {
        #[cbor(n(0), with = "minicbor::bytes")]
        reply: Vec<u8>,
        #[n(1)]
        #[cbor(default)]
        is_replayed: bool,
    },
    /// The key was noted.
    #[n(1)]
    Noted,
    #[n(2)]
    Overloaded,
    #[n(3)]
    KeyReused,
    #[n(4)]
    Stopped,
    #[n(5)]
    Unavailable,
    #[n(6)]
    Moved,
    #[n(7)]
    Unknown,
}

impl From<CallError> for Told {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Overloaded => Self::Overloaded,
            CallError::KeyReused => Self::KeyReused,
            CallError::Stopped => Self::Stopped,
            CallError::Unavailable => Self::Unavailable,
            CallError::Moved => Self::Moved,
            CallError::Unknown => Self::Unknown,
        }
    }
}

/// Who owns which partition, as one replica sees it. What it says of itself is its claim; what it says of others
/// is where else to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// By partition, the replica's address; empty where that is not known.
    pub(crate) addresses: Vec<String>,
    /// Whether it reached the membership list lately. Another one's claim goes before that of one that did not.
    pub(crate) is_current: Option<bool>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Message {
    /// Who calls, and what it takes the other for.
    #[n(0)]
    Hello {
        #[n(0)]
        version: u64,
        /// The caller's service.
        #[n(1)]
        service: String,
        /// How many partitions that one has.
        #[n(2)]
        partitions: Partition,
        /// The service that is called.
        #[n(3)]
        wanted: String,
        /// How many partitions the caller believes it to have.
        #[n(4)]
        wanted_partitions: Partition,
        /// Which data the caller's are.
        #[n(5)]
        data: u64,
        /// Which data of the service that is called they belong with; `None` before they met any.
        #[n(6)]
        wanted_data: Option<u64>,
        /// Where the caller says it is to be reached: who consumes its logs may not have found it yet.
        #[n(7)]
        address: Option<String>,
        /// The caller's random number, if the two are to show each other that they know a secret.
        #[cbor(n(8), with = "minicbor::bytes")]
        nonce: Option<Vec<u8>>,
    },
    #[n(1)]
    Welcome {
        /// Where this replica says it is to be reached.
        #[n(0)]
        address: String,
        /// Which data this service's are.
        #[n(1)]
        data: u64,
    },
    #[n(2)]
    Refused {
        #[n(0)]
        reason: String,
    },
    /// Who owns which partition, as this replica sees it.
    #[n(3)]
    Places {
        #[n(0)]
        addresses: Vec<String>,
        #[n(1)]
        is_current: Option<bool>,
    },
    #[n(4)]
    Call {
        #[n(0)]
        number: u64,
        #[n(1)]
        asked: Asked,
    },
    #[n(5)]
    Answer {
        #[n(0)]
        number: u64,
        #[n(1)]
        told: Told,
    },
    #[n(6)]
    ReadLog {
        #[n(0)]
        number: u64,
        #[n(1)]
        partition: Partition,
        #[n(2)]
        after: u64,
        #[n(3)]
        limit: u64,
    },
    #[n(7)]
    Events {
        #[n(0)]
        number: u64,
        /// `None` where the log cannot be read now.
        #[n(1)]
        entries: Option<Vec<Entry>>,
        /// What of earlier epochs than this one is missing is accepted as lost.
        #[n(2)]
        accepted: u64,
    },
    #[n(8)]
    Subscribe {
        /// Whose log.
        #[n(0)]
        producer: Partition,
        /// For which of the caller's partitions.
        #[n(1)]
        consumer: Partition,
    },
    #[n(9)]
    Unsubscribe {
        #[n(0)]
        producer: Partition,
        #[n(1)]
        consumer: Partition,
    },
    #[n(10)]
    Subscribed {
        #[n(0)]
        producer: Partition,
        #[n(1)]
        consumer: Partition,
        /// How far the log is.
        #[n(2)]
        log_end: u64,
    },
    #[n(11)]
    Deliver {
        #[n(0)]
        producer: Partition,
        #[n(1)]
        consumer: Partition,
        #[n(2)]
        from: u64,
        #[n(3)]
        to: u64,
        #[n(4)]
        events: Vec<Entry>,
    },
    #[n(12)]
    Acks {
        #[n(0)]
        acks: Vec<Ack>,
    },
    #[n(13)]
    Ping,
    #[n(14)]
    Pong,
    /// The called side's random number, and its proof.
    #[n(15)]
    Challenge {
        #[cbor(n(0), with = "minicbor::bytes")]
        nonce: Vec<u8>,
        #[cbor(n(1), with = "minicbor::bytes")]
        proof: Vec<u8>,
    },
    /// The caller's.
    #[n(16)]
    Proof {
        #[cbor(n(0), with = "minicbor::bytes")]
        proof: Vec<u8>,
    },
}

/// How far a consumer partition has durably consumed a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Ack {
    #[n(0)]
    pub(crate) producer: Partition,
    #[n(1)]
    pub(crate) consumer: Partition,
    #[n(2)]
    pub(crate) position: u64,
}

fn encode(message: &Message, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    match minicbor::encode(message, &mut *out) {
        Ok(()) => {}
        Err(error) => unreachable!("writing to a vector cannot fail: {error}"),
    }
    let length = u32::try_from(out.len() - start - 4).expect("frames are far below 4 GiB");
    if let Some(head) = out.get_mut(start..start + 4) {
        head.copy_from_slice(&length.to_be_bytes());
    }
}

/// Takes a frame off the front of what was received, and its body. `None`: not all of it is there.
fn take(received: &mut BytesMut, bytes_max: usize) -> io::Result<Option<BytesMut>> {
    let Some(head) = received.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(invalid(format!("a message of {length} bytes")));
    }
    if received.len() < 4 + length {
        return Ok(None);
    }
    received.advance(4);
    Ok(Some(received.split_to(length)))
}

fn decode(body: &[u8]) -> io::Result<Message> {
    minicbor::decode(body).map_err(|error| invalid(error.to_string()))
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Reads messages from one half of a stream.
#[derive(Debug)]
pub(crate) struct Messages<R> {
    stream: R,
    received: BytesMut,
}

impl<R: AsyncRead + Unpin> Messages<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, received: BytesMut::with_capacity(64 * 1024) }
    }

    /// The next message. Waiting for it may be given up and begun anew.
    ///
    /// # Errors
    /// When the stream ends or fails, or what it says makes no sense.
    pub(crate) async fn next(&mut self) -> io::Result<Message> {
        decode(&self.frame(MESSAGE_BYTES_MAX).await?)
    }

    /// The same for who has not shown yet who it is, and may not have much said. Also answers what it said in bytes.
    ///
    /// # Errors
    /// As of [`Self::next`], and when the message is longer than any greeting.
    pub(crate) async fn greeting(&mut self) -> io::Result<(Message, BytesMut)> {
        let body = self.frame(GREETING_BYTES_MAX).await?;
        Ok((decode(&body)?, body))
    }

    async fn frame(&mut self, bytes_max: usize) -> io::Result<BytesMut> {
        loop {
            if let Some(body) = take(&mut self.received, bytes_max)? {
                return Ok(body);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Writes a message at once, and answers what it is in bytes.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &Message) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(bytes.split_off(4))
}

/// Writes what is queued, as much at a time as there is, until the queue is closed or the stream fails.
pub(crate) async fn write_all(
    mut stream: impl AsyncWrite + Unpin,
    mut outgoing: mpsc::Receiver<Message>,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(16 * 1024);
    while let Some(message) = outgoing.recv().await {
        encode(&message, &mut bytes);
        // Whoever is ready adds to what is written in one go.
        tokio::task::yield_now().await;
        while bytes.len() < WRITE_BYTES {
            let Ok(message) = outgoing.try_recv() else { break };
            encode(&message, &mut bytes);
        }
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        bytes.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_arrive_whole_however_they_are_cut() {
        let messages = [
            Message::Ping,
            Message::Answer { number: 7, told: Told::Reply { reply: vec![1; 300], is_replayed: true } },
            Message::Places { addresses: vec!["one:1".into(), String::new()], is_current: Some(true) },
        ];
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| encode(message, &mut bytes));
        let (mut near, far) = tokio::io::duplex(3);
        let writing = tokio::spawn(async move { near.write_all(&bytes).await });
        let mut received = Messages::new(far);
        for message in messages {
            assert_eq!(received.next().await.expect("it is sent"), message);
        }
        writing.await.expect("no panic").expect("it is read");
        assert!(received.next().await.is_err(), "the end");
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(decode(&[0xff]).is_err());
        let taken = |bytes: &[u8]| take(&mut BytesMut::from(bytes), GREETING_BYTES_MAX);
        for bytes in [&[0xff, 0xff, 0xff, 0xff][..], &[0, 0, 4, 1]] {
            assert!(taken(bytes).is_err(), "{bytes:?}");
        }
        assert!(matches!(taken(&[0, 0, 1]), Ok(None)) && matches!(taken(&[0, 0, 4, 0]), Ok(None)));
    }
}
