//! A panic in any task of a replica ends it: what that task did, nobody would do from then on.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::common::country::{CLERK_PARTITIONS, Country};
use crate::common::fake::{Fake, READ_LOG};
use crate::common::network::Network;
use crate::common::{
    PARTITIONS, audit,
    bank::{Bank, Event, Reply},
    clerk::Clerk,
    pass, settings, spawn_call,
};
use saga::{
    CallOptions, Destinations, Halt, Handle, Input, Member, Members, Metrics, Missing, Participant, Partition, Service,
    Step, Store as _,
    remote::{Alone, BoxStream, Listen, Node, Reaching, RunningNode, Transport},
    store::Result as Stored,
};
use store_memory::{Call, Fault};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panicking {
    Beat,
    Resolve,
    Connect,
    /// When it is read from, by who dialled.
    Dialled,
    Accept,
    /// When it is read from, by who was dialled.
    Accepted,
}

#[derive(Clone)]
struct Faulty(Network, Panicking);

struct PanickingStream;

impl AsyncRead for PanickingStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        panic!("a stream panics")
    }
}

impl AsyncWrite for PanickingStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Faulty {
    fn resolve<'a>(&'a self, name: &'a str) -> Reaching<'a, Vec<String>> {
        assert_ne!(self.1, Panicking::Resolve, "resolving panics");
        self.0.resolve(name)
    }

    fn connect<'a>(&'a self, address: &'a str) -> Reaching<'a, BoxStream> {
        assert_ne!(self.1, Panicking::Connect, "connecting panics");
        if self.1 == Panicking::Dialled {
            return Box::pin(async { Ok(Box::new(PanickingStream) as BoxStream) });
        }
        self.0.connect(address)
    }
}

impl Listen for Faulty {
    fn accept(&mut self) -> Reaching<'_, BoxStream> {
        assert_ne!(self.1, Panicking::Accept, "accepting panics");
        let panics = self.1 == Panicking::Accepted;
        Box::pin(async move {
            pass(1).await;
            if panics { Ok(Box::new(PanickingStream) as BoxStream) } else { std::future::pending().await }
        })
    }
}

impl Members for Faulty {
    async fn beat(&self, me: &Member, ttl: Duration) -> Stored<Vec<Member>> {
        assert_ne!(self.1, Panicking::Beat, "the list panics");
        Alone.beat(me, ttl).await
    }

    async fn leave(&self, _: u64) -> Stored<()> {
        Ok(())
    }
}

fn faulty(country: &Country, panicking: Panicking) -> RunningNode {
    let store = country.bank.open("bank");
    let service = Service::new(Bank, store, PARTITIONS, settings(), Metrics::default());
    let faulty = Faulty(country.network.clone(), panicking);
    let mut node = Node::new(service, Country::member("bank-1", 1), Arc::new(faulty.clone()));
    let _: Handle<Clerk> = node.peer(Country::hosts("clerk"), CLERK_PARTITIONS);
    node.start(Box::new(faulty.clone()), faulty).expect("both are connected")
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_any_task_of_a_node_is_noticed() {
    use Panicking::{Accept, Accepted, Beat, Connect, Dialled, Resolve};
    let country = Country::new();
    // Whose data the bank's meet, without which it would not beat.
    let _clerk = country.clerk(1).await;
    for panicking in [Beat, Resolve, Connect, Dialled, Accept, Accepted] {
        let mut node = faulty(&country, panicking);
        let halted = timeout(Duration::from_secs(10), node.halted()).await;
        let Ok(Halt::Broken(why)) = halted else { panic!("{panicking:?}: {halted:?}") };
        assert!(why.contains("panics"), "{panicking:?}: {why}");
        let stopping = timeout(Duration::from_secs(20), node.stop()).await;
        assert!(stopping.is_ok(), "{panicking:?}: it ends all the same");
    }
}

/// Runs until the node of a replica has halted because of a panic that says so.
async fn assert_panicked(node: &mut RunningNode, what: &str) {
    let halted = timeout(PATIENCE, node.halted()).await;
    let Ok(Halt::Broken(why)) = halted else { panic!("{halted:?}") };
    assert!(why.contains(what), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_what_another_process_asked_for_is_noticed() {
    let country = Country::new();
    let _clerk = country.clerk(1).await;
    let mut bank = country.bank(1).await.recovered().await;
    pass(1000).await;
    let after = 4242;
    country.bank.set_fault_plan(move |operation| {
        assert!(!matches!(operation.call, Call::ReadLog { after: asked, .. } if asked == after), "a read panics");
        Fault::none()
    });
    let caller = ("clerk", CLERK_PARTITIONS, country.clerk.open("clerk").identity().to_bits());
    let mut fake = Fake::greet(&country.network, "bank-1", caller, ("bank", PARTITIONS)).await;
    for _ in 0..2 {
        let read = |fields: &mut minicbor::Encoder<&mut Vec<u8>>| {
            fields.array(4)?.u64(1)?.u16(0)?.u64(after)?.u64(1).map(drop)
        };
        assert!(fake.send(READ_LOG, read).await);
        pass(100).await;
    }
    assert_panicked(&mut bank.node, "a read panics").await;
}

/// A clerk who cannot tell for whom an event is.
struct Dizzy;

impl Participant for Dizzy {
    const NAME: &'static str = Clerk::NAME;
    const CONSUMES: &'static [&'static str] = Clerk::CONSUMES;
    type Key = <Clerk as Participant>::Key;
    type Record = <Clerk as Participant>::Record;
    type Command = <Clerk as Participant>::Command;
    type Reply = Reply;
    type Event = Event;

    fn step(&self, _: &mut Step<'_, Self>, _: Input<'_, Self>) -> Result<(), Missing> {
        Ok(())
    }

    fn destinations(_: &Event, _: Partition, _: &mut Destinations) {
        panic!("an event is for nobody knows whom")
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_reading_a_log_of_another_process_is_noticed() {
    let country = Country::new();
    let clerk = country.clerk(1).await;
    let bank = country.bank(1).await.recovered().await;
    pass(1000).await;
    country.network.close("clerk-1");
    drop(clerk);
    let waiting = spawn_call(&bank.handle, audit("audit"), CallOptions::default());
    pass(100).await;
    let store = country.clerk.open("clerk");
    let service = Service::new(Dizzy, store.clone(), CLERK_PARTITIONS, settings(), Metrics::default());
    let mut node = Node::new(service, Country::member("clerk-2", 2), Arc::new(country.network.clone()));
    let _: Handle<Bank> = node.peer(Country::hosts("bank"), PARTITIONS);
    let mut node = node.start(country.network.listen("clerk-2"), store).expect("both are connected");
    assert_panicked(&mut node, "nobody knows whom").await;
    drop(waiting);
}
