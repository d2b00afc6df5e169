//! Requests on their way to the owner of their partition, wherever that is by now.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    CallError, IdempotencyKey, Participant, Partition, Repeatability,
    codec::Codec,
    handle::{CallOptions, Handle, Route, Routed},
    remote::{
        connection::Connection,
        ownership::Ownership,
        peer::Peer,
        wire::{Asked, AskedKey, Message, Told},
    },
    request::{Answer, Ask, Replied},
};

/// How long a request looks for the owner of its partition. Longer than it takes to notice a frozen replica and to
/// take over from it.
const LOOKING_MAX: Duration = Duration::from_secs(8);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long a key of the engine's own is remembered: far longer than a request is asked again, so that clocks may differ by
/// minutes.
const OWN_KEY_RETENTION: Duration = Duration::from_secs(15 * 60);

/// Asks the owner of a partition.
pub(crate) struct Router {
    pub(crate) peer: Arc<Peer>,
    /// Where this process runs a replica of the service itself.
    pub(crate) ownership: Option<Arc<Ownership>>,
}

impl<P: Participant<Command: Codec>> Route<P> for Router {
    fn route<'a>(
        &'a self,
        here: &'a Handle<P>,
        partition: Partition,
        ask: Ask<P::Command>,
        options: CallOptions,
    ) -> Routed<'a, P::Reply> {
        Box::pin(self.find(here, partition, ask, options))
    }
}

impl Router {
    async fn find<P: Participant<Command: Codec>>(
        &self,
        here: &Handle<P>,
        partition: Partition,
        ask: Ask<P::Command>,
        mut options: CallOptions,
    ) -> Answer<P::Reply> {
        let mut was_sent = false;
        let mut looked = Duration::ZERO;
        loop {
            let answer = if self.ownership.as_ref().is_some_and(|own| own.is_mine(partition)) {
                here.ask_here(partition, ask.clone(), options.clone()).await
            } else if let Some(connection) = self.peer.owner(partition) {
                if ask.repeatability::<P>() == Repeatability::Once {
                    options.key.get_or_insert_with(own_key);
                }
                let answer = self.send::<P>(&connection, partition, &ask, &options).await;
                was_sent |= answer.is_none();
                answer.unwrap_or(Err(CallError::Moved))
            } else {
                Err(CallError::Moved)
            };
            // Once it was sent and not answered, it may have been done, whatever a later try is refused for.
            let is_doubtful = was_sent && ask.repeatability::<P>() != Repeatability::Safe;
            match answer {
                Ok(_) | Err(CallError::KeyReused | CallError::Unknown) => return answer,
                Err(CallError::Moved) if looked < LOOKING_MAX => {}
                Err(_) if is_doubtful && looked < LOOKING_MAX => {}
                Err(_) if is_doubtful => return Err(CallError::Unknown),
                Err(CallError::Moved) => return Err(CallError::Unavailable),
                Err(_) => return answer,
            }
            if let Some(own) = &self.ownership {
                own.doubt.notify_one();
            }
            sleep(LOOK_AGAIN).await;
            looked += LOOK_AGAIN;
        }
    }

    /// `None`: no answer came.
    async fn send<P: Participant<Command: Codec>>(
        &self,
        connection: &Connection,
        partition: Partition,
        ask: &Ask<P::Command>,
        options: &CallOptions,
    ) -> Option<Answer<P::Reply>> {
        let command = match ask {
            Ask::Command(command) => Some(encoded(command.as_ref())),
            Ask::Claim => None,
        };
        let key = options.key.as_ref().map(|key| AskedKey {
            key: key.key.to_string(),
            fingerprint: key.fingerprint,
            retention_ms: key.retention.map(milliseconds),
        });
        let asked = Asked { partition, command, key, patience_ms: options.patience.map(milliseconds) };
        match connection.ask(|number| Message::Call { number, asked }).await {
            Ok(Message::Answer { told, .. }) => Some(answer::<P>(told)),
            _ => None,
        }
    }
}

fn answer<P: Participant>(told: Told) -> Answer<P::Reply> {
    Err(match told {
        Told::Reply { reply, is_replayed } => match P::Reply::decode_from(&reply) {
            Ok(reply) => return Ok(Some(Replied { reply, is_replayed })),
            Err(error) => {
                tracing::error!(%error, "a reply of another replica cannot be read");
                CallError::Unknown
            }
        },
        Told::Noted => return Ok(None),
        Told::Overloaded => CallError::Overloaded,
        Told::KeyReused => CallError::KeyReused,
        Told::Unavailable => CallError::Unavailable,
        // It goes, and another takes over.
        Told::Stopped | Told::Moved => CallError::Moved,
        Told::Unknown => CallError::Unknown,
    })
}

fn own_key() -> IdempotencyKey {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Without randomness the process is in no state to serve anybody; a number is better than none.
        bytes = u128::from(crate::remote::connection::next_number()).to_le_bytes();
    }
    let key = format!("~{:032x}", u128::from_le_bytes(bytes)).into();
    IdempotencyKey { key, fingerprint: 0, retention: Some(OWN_KEY_RETENTION) }
}

fn encoded(value: &impl Codec) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode_to(&mut bytes);
    bytes
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
