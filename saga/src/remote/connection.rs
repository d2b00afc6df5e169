//! The calling end of a connection to one replica.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::split,
    sync::{mpsc, oneshot},
    time::{Instant, interval, timeout},
};

use crate::{
    remote::{
        secret::{self, Side},
        transport::BoxStream,
        wire::{self, Message, Messages},
    },
    store::Identity,
};

/// How often a caller shows that it lives and asks whether the other does.
const PING: Duration = Duration::from_millis(500);

/// Who has not been heard for this long is frozen or cut off: what was asked of it is asked elsewhere. A few pings, so
/// that a busy moment is not taken for it.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(2);

/// To connect and be welcomed.
const CONNECT_MAX: Duration = Duration::from_secs(1);

const NO_SECRET: &str = "it asks for the secret of the shop, and this process has none";
const UNPROVEN: &str = "it does not show that it knows the secret of the shop";

/// No answer came: the connection is gone. What was asked may or may not have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// An open connection.
pub(crate) struct Connection {
    /// Tells it apart from every other of this process.
    pub(crate) number: u64,
    /// Where the other says it is to be reached.
    pub(crate) address: String,
    outgoing: mpsc::Sender<Message>,
    waiting: Mutex<Waiting>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Waiting {
    last: u64,
    answers: BTreeMap<u64, oneshot::Sender<Message>>,
    closed: bool,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A number that no other connection of this process has.
pub(crate) fn next_number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// What is needed to run a connection once it is welcomed.
pub(crate) struct Opened {
    messages: Messages<tokio::io::ReadHalf<BoxStream>>,
    writer: tokio::io::WriteHalf<BoxStream>,
    outgoing: mpsc::Receiver<Message>,
}

impl Connection {
    /// Says hello over a new stream, and where there are secrets, each side shows the other that it knows one. Also answers which
    /// data the other's are.
    ///
    /// # Errors
    /// When the other refuses, and says why, does not know a secret, or does not answer in time.
    pub(crate) async fn open(
        stream: impl Future<Output = io::Result<BoxStream>>,
        hello: &Message,
        secrets: Option<&[Vec<u8>]>,
    ) -> io::Result<(Self, Opened, Identity)> {
        let refused = |reason: String| io::Error::new(io::ErrorKind::PermissionDenied, reason);
        let opening = async {
            let (reader, mut writer) = split(stream.await?);
            let greeting = wire::write(&mut writer, hello).await?;
            let mut messages = Messages::new(reader);
            let mut is_proven = secrets.is_none();
            loop {
                match messages.next().await? {
                    Message::Challenge { nonce, proof } => {
                        let secrets = secrets.ok_or_else(|| refused(NO_SECRET.to_owned()))?;
                        if is_proven || !secret::is_proven(secrets, Side::Called, &greeting, &nonce, &proof) {
                            return Err(refused(UNPROVEN.to_owned()));
                        }
                        is_proven = true;
                        let proof = secret::prove(secrets, Side::Caller, &greeting, &nonce);
                        wire::write(&mut writer, &Message::Proof { proof }).await?;
                    }
                    Message::Welcome { address, data } if is_proven => {
                        return Ok((address, Identity::from_bits(data), messages, writer));
                    }
                    Message::Welcome { .. } => return Err(refused(UNPROVEN.to_owned())),
                    Message::Refused { reason } => return Err(refused(reason)),
                    _ => {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer that is none to a greeting"));
                    }
                }
            }
        };
        let (address, data, messages, writer) =
            timeout(CONNECT_MAX, opening).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let (sender, outgoing) = mpsc::channel(wire::OUTGOING_MAX);
        let connection = Self { number: next_number(), address, outgoing: sender, waiting: Mutex::default() };
        Ok((connection, Opened { messages, writer, outgoing }, data))
    }

    /// Reads and writes until the connection is lost, and says how it was. Messages that answer nothing go to `hear`.
    pub(crate) async fn run(&self, opened: Opened, mut hear: impl FnMut(Message)) -> io::Error {
        let Opened { mut messages, writer, outgoing } = opened;
        let writing = wire::write_all(writer, outgoing);
        tokio::pin!(writing);
        let mut ping = interval(PING);
        let mut heard = Instant::now();
        let error = loop {
            tokio::select! {
                // Writing first: what comes in may never cease.
                biased;
                written = &mut writing => break written.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
                message = messages.next() => match message {
                    Ok(message) => {
                        heard = Instant::now();
                        self.take(message, &mut hear);
                    }
                    Err(error) => break error,
                },
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        break io::ErrorKind::TimedOut.into();
                    }
                    self.send(Message::Ping);
                }
            }
        };
        let mut waiting = self.waiting();
        waiting.closed = true;
        // Whoever waits learns that nothing comes.
        waiting.answers.clear();
        error
    }

    fn take(&self, message: Message, hear: &mut impl FnMut(Message)) {
        match message {
            Message::Answer { number, .. } | Message::Events { number, .. } => {
                let waiter = self.waiting().answers.remove(&number);
                if let Some(waiter) = waiter {
                    // Who is gone needs no answer.
                    drop(waiter.send(message));
                }
            }
            Message::Pong => {}
            other => hear(other),
        }
    }

    /// Sends if there is room. `false`: there was none.
    pub(crate) fn send(&self, message: Message) -> bool {
        self.outgoing.try_send(message).is_ok()
    }

    /// Sends the message that `ask` makes of a number, and waits for the answer to it.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn ask(&self, ask: impl FnOnce(u64) -> Message) -> Result<Message, Lost> {
        let (sender, answer) = oneshot::channel();
        let number = {
            let mut waiting = self.waiting();
            if waiting.closed {
                return Err(Lost);
            }
            waiting.last += 1;
            let number = waiting.last;
            waiting.answers.insert(number, sender);
            number
        };
        // Forgets who asked when they stop waiting.
        let _guard = Forget { connection: self, number };
        self.outgoing.send(ask(number)).await.map_err(|_| Lost)?;
        answer.await.map_err(|_| Lost)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.waiting().closed
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Forget<'a> {
    connection: &'a Connection,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.connection.waiting().answers.remove(&self.number);
    }
}
