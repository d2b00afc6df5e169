//! A process that speaks the protocol between replicas by hand, to say what no replica would.

use std::convert::Infallible;

use minicbor::{Decoder, Encoder, encode};
use saga::remote::{BoxStream, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::network::Network;

/// The kinds of messages that are spoken here.
pub(crate) const HELLO: u32 = 0;
pub(crate) const WELCOME: u32 = 1;
pub(crate) const PLACES: u32 = 3;
pub(crate) const CALL: u32 = 4;
pub(crate) const ANSWER: u32 = 5;
pub(crate) const READ_LOG: u32 = 6;
pub(crate) const ACKS: u32 = 12;

/// The version of the protocol.
const VERSION: u64 = 3;

/// Which data the process says it has where it is called.
const DATA: u64 = 7;

type Fields<'a> = Encoder<&'a mut Vec<u8>>;
type Encoded = Result<(), encode::Error<Infallible>>;

/// One end of a connection.
pub(crate) struct Fake(BoxStream);

impl Fake {
    /// Takes a connection, and the greeting off it.
    pub(crate) async fn welcome(stream: BoxStream, address: &str) -> Option<Self> {
        let mut fake = Self(stream);
        let greeted = fake.receive().await;
        assert!(greeted.is_none_or(|(kind, _)| kind == HELLO));
        let told = |fields: &mut Fields<'_>| fields.array(2)?.str(address)?.u64(DATA).map(drop);
        fake.send(WELCOME, told).await.then_some(fake)
    }

    /// Connects, says that it is a replica of `service`, and is let in.
    pub(crate) async fn greet(network: &Network, address: &str, caller: (&str, u16, u64), wanted: (&str, u16)) -> Self {
        let mut fake = Self(network.connect(address).await.expect("somebody listens"));
        let (service, partitions, data) = caller;
        let hello = |fields: &mut Fields<'_>| {
            fields.array(8)?.u64(VERSION)?.str(service)?.u16(partitions)?.str(wanted.0)?.u16(wanted.1)?;
            fields.u64(data)?.null()?.null().map(drop)
        };
        assert!(fake.send(HELLO, hello).await);
        assert_eq!(fake.receive().await.expect("an answer").0, WELCOME);
        fake
    }

    /// Whether it could be sent.
    pub(crate) async fn send(&mut self, kind: u32, fields: impl FnOnce(&mut Fields<'_>) -> Encoded) -> bool {
        let mut body = Vec::new();
        let mut encoder = Encoder::new(&mut body);
        encoder.array(2).and_then(|encoder| encoder.u32(kind)).expect("a vector takes everything");
        fields(&mut encoder).expect("a vector takes everything");
        let length = u32::try_from(body.len()).expect("it is short");
        self.0.write_all(&[&length.to_be_bytes()[..], &body].concat()).await.is_ok()
    }

    /// Claims every partition.
    pub(crate) async fn claim(&mut self, address: &str, partitions: u16) -> bool {
        let places = |fields: &mut Fields<'_>| {
            fields.array(2)?.array(partitions.into())?;
            for _ in 0..partitions {
                fields.str(address)?;
            }
            fields.bool(true).map(drop)
        };
        self.send(PLACES, places).await
    }

    /// The kind of the next message, and the number that its fields begin with, if they begin with one.
    pub(crate) async fn receive(&mut self) -> Option<(u32, Option<u64>)> {
        let length = self.0.read_u32().await.ok()?;
        let mut body = vec![0; usize::try_from(length).expect("it fits")];
        self.0.read_exact(&mut body).await.ok()?;
        let mut decoder = Decoder::new(&body);
        decoder.array().expect("a message is an array");
        let kind = decoder.u32().expect("a kind");
        decoder.array().expect("its fields");
        Some((kind, decoder.u64().ok()))
    }
}
