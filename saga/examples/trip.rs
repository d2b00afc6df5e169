//! Booking a trip: a seat, a room, and the money, from three services with a database each. Nobody coordinates them:
//! each reacts to what the others did, and gives back what it took when a later one says no.
//!
//! ```text
//!   Trip ──▶ flight ── SeatTaken ──▶ hotel ── RoomTaken ──▶ payment
//!            ▲ ▲                     │  ▲                    │ │
//!            │ └──── RoomRefused ────┘  └───── Declined ─────┘ │
//!            └────────────────────── Paid ─────────────────────┘
//! ```
//!
//! Run it with `cargo run --package saga --example trip`.
#![expect(clippy::print_stdout, reason = "an example tells its story")]

use saga::{
    CallError, CallOptions, Choreography, Destinations, Input, Metrics, Missing, Participant, Partition, RequestId,
    Settings, Step, Timestamp,
    minicbor::{self, Decode, Encode},
};
use store_memory::{MemoryDatabase, MemoryStore};

/// Who books, and for how much. It travels with every event, so that nobody has to ask anybody.
#[derive(Clone, Debug, Encode, Decode)]
struct Trip(#[n(0)] String, #[n(1)] i64);

/// What happened: facts, in the past tense.
#[derive(Clone, Debug, Encode, Decode)]
#[rustfmt::skip]
enum Event {
    #[n(0)] SeatTaken(#[n(0)] Trip),
    #[n(1)] RoomTaken(#[n(0)] Trip),
    #[n(2)] RoomRefused(#[n(0)] Trip, #[n(1)] String),
    #[n(3)] Paid(#[n(0)] Trip),
    #[n(4)] Declined(#[n(0)] Trip),
}
use Event::{Declined, Paid, RoomRefused, RoomTaken, SeatTaken};

/// What the services keep: how much is left, and who waits for the end of a booking.
#[derive(Clone, Debug, Encode, Decode)]
#[rustfmt::skip]
enum Record {
    #[n(0)] Left(#[n(0)] i64),
    // No caller survives a restart, so none is stored.
    #[n(1)] Caller(#[cbor(skip)] Option<RequestId>),
}

impl saga::Record for Record {
    fn is_pinned(&self) -> bool {
        matches!(self, Self::Caller(Some(_)))
    }
}

/// The three services. In earnest each would be a crate, and a process.
struct Flight;
struct Hotel;
struct Payment;

impl Participant for Flight {
    const NAME: &'static str = "flight";
    const CONSUMES: &'static [&'static str] = &[Hotel::NAME, Payment::NAME];
    type Key = String;
    type Record = Record;
    type Command = Trip;
    type Reply = String;
    type Event = Event;

    /// What one call does to records, events and replies is one commit, together with the note that the input was
    /// consumed.
    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        match input {
            Input::Command { request, command: trip } => {
                if take(step, 1, SEATS)? {
                    step.put(&trip.0, Record::Caller(Some(request)));
                    step.emit(SeatTaken(trip.clone()));
                } else {
                    step.reply(request, "sorry, the plane is full".into());
                }
                Ok(())
            }
            Input::Event(Paid(trip)) => answer(step, trip, "booked".into()),
            // Compensations give back, so they cannot fail.
            Input::Event(RoomRefused(trip, why)) => {
                take(step, -1, SEATS)?;
                answer(step, trip, format!("sorry, {why}"))
            }
            _ => Ok(()),
        }
    }

    /// Which partitions have to see an event: there is one. Its step does not mind what is not for it.
    fn destinations(_: &Event, _: Partition, to: &mut Destinations) {
        to.add(0);
    }

    fn committed(&self, own: &Event, _: Timestamp) {
        tell::<Self>(own);
    }
}

impl Participant for Hotel {
    const NAME: &'static str = "hotel";
    const CONSUMES: &'static [&'static str] = &[Flight::NAME, Payment::NAME];
    type Key = String;
    type Record = Record;
    type Command = ();
    type Reply = String;
    type Event = Event;

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        match input {
            Input::Event(SeatTaken(trip)) => {
                let is_free = take(step, 1, ROOMS)?;
                step.emit(if is_free { RoomTaken(trip.clone()) } else { RoomRefused(trip.clone(), "no room".into()) });
            }
            Input::Event(Declined(trip)) => {
                take(step, -1, ROOMS)?;
                step.emit(RoomRefused(trip.clone(), "not enough money".into()));
            }
            _ => {}
        }
        Ok(())
    }

    fn destinations(_: &Event, _: Partition, to: &mut Destinations) {
        to.add(0);
    }

    fn committed(&self, own: &Event, _: Timestamp) {
        tell::<Self>(own);
    }
}

impl Participant for Payment {
    const NAME: &'static str = "payment";
    const CONSUMES: &'static [&'static str] = &[Hotel::NAME];
    type Key = String;
    type Record = Record;
    type Command = ();
    type Reply = String;
    type Event = Event;

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        if let Input::Event(RoomTaken(trip)) = input {
            let happened = if take(step, trip.1, MONEY)? { Paid } else { Declined };
            step.emit(happened(trip.clone()));
        }
        Ok(())
    }

    fn destinations(_: &Event, _: Partition, to: &mut Destinations) {
        to.add(0);
    }

    fn committed(&self, own: &Event, _: Timestamp) {
        tell::<Self>(own);
    }
}

/// How much there is to begin with.
const SEATS: i64 = 3;
const ROOMS: i64 = 2;
const MONEY: i64 = 1000;

/// Takes seats, rooms or money, if there is as much; fewer than none are given back.
fn take<P>(step: &mut Step<'_, P>, quantity: i64, at_first: i64) -> Result<bool, Missing>
where
    P: Participant<Key = String, Record = Record>,
{
    let left = match step.get(&"left".into())? {
        Some(Record::Left(left)) => *left,
        _ => at_first,
    };
    if quantity <= left {
        step.put(&"left".into(), Record::Left(left - quantity));
    }
    Ok(quantity <= left)
}

/// Tells whoever waits for the trip how it ended.
fn answer(step: &mut Step<'_, Flight>, trip: &Trip, text: String) -> Result<(), Missing> {
    if let Some(&Record::Caller(Some(request))) = step.get(&trip.0)? {
        step.reply(request, text);
    }
    step.remove(&trip.0);
    Ok(())
}

fn tell<P: Participant>(own: &Event) {
    println!("  {:8} {own:?}", P::NAME);
}

/// Each has one of its own.
fn database(name: &str) -> MemoryStore {
    MemoryDatabase::default().open(name)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), CallError> {
    let mut trips = Choreography::new(Settings::default(), Metrics::default());
    let desk = trips.add(Flight, database("flight"), 1);
    trips.add(Hotel, database("hotel"), 1);
    trips.add(Payment, database("payment"), 1);
    let _running = trips.start().expect("everybody's producers are there");
    for (traveller, price) in [("Ann", 300), ("Bob", 900), ("Cleo", 300), ("Dan", 300)] {
        println!("{traveller} wants a trip for {price}:");
        let told = desk.call(0, Trip(traveller.into(), price), CallOptions::default()).await?;
        println!("  -> {told}\n");
    }
    Ok(())
}
