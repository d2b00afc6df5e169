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
    CallError, CallOptions, Destinations, Input, Metrics, Missing, Participant, Partition, RequestId, Service,
    Settings, Step, Timestamp,
    minicbor::{self, Decode, Encode},
};
use store_memory::MemoryDatabase;

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

/// One of the three services. In earnest each would be a crate, a process and a type of its own.
struct Agency {
    name: &'static str,
    /// How many seats, rooms or money there are to begin with.
    left: i64,
}

impl Participant for Agency {
    type Key = String;
    type Record = Record;
    type Command = Trip;
    type Reply = String;
    type Event = Event;

    fn name(&self) -> &'static str {
        self.name
    }

    /// The whole choreography. What one call does to records, events and replies is one commit, together with the note
    /// that the input was consumed.
    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        match (self.name, input) {
            ("flight", Input::Command { request, command: trip }) => {
                if self.take(step, 1)? {
                    step.put(&trip.0, Record::Caller(Some(request)));
                    step.emit(SeatTaken(trip.clone()));
                } else {
                    step.reply(request, "sorry, the plane is full".into());
                }
            }
            ("hotel", Input::Event(SeatTaken(trip))) => {
                let is_free = self.take(step, 1)?;
                step.emit(if is_free { RoomTaken(trip.clone()) } else { RoomRefused(trip.clone(), "no room".into()) });
            }
            ("payment", Input::Event(RoomTaken(trip))) => {
                let happened = if self.take(step, trip.1)? { Paid } else { Declined };
                step.emit(happened(trip.clone()));
            }
            ("flight", Input::Event(Paid(trip))) => answer(step, trip, "booked".into())?,
            // Compensations give back, so they cannot fail.
            ("hotel", Input::Event(Declined(trip))) => {
                self.take(step, -1)?;
                step.emit(RoomRefused(trip.clone(), "not enough money".into()));
            }
            ("flight", Input::Event(RoomRefused(trip, why))) => {
                self.take(step, -1)?;
                answer(step, trip, format!("sorry, {why}"))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Which partitions have to see an event. There is one, and its step does not mind what is not for it.
    fn destinations(&self, _: &Event, _: Partition, to: &mut Destinations) {
        to.add(0);
    }

    fn committed(&self, own: &Event, _: Timestamp) {
        println!("  {:8} {own:?}", self.name);
    }
}

impl Agency {
    /// Takes seats, rooms or money, if there is as much; fewer than none are given back.
    fn take(&self, step: &mut Step<'_, Self>, quantity: i64) -> Result<bool, Missing> {
        let left = match step.get(&"left".into())? {
            Some(Record::Left(left)) => *left,
            _ => self.left,
        };
        if quantity <= left {
            step.put(&"left".into(), Record::Left(left - quantity));
        }
        Ok(quantity <= left)
    }
}

/// Tells whoever waits for the trip how it ended.
fn answer(step: &mut Step<'_, Agency>, trip: &Trip, text: String) -> Result<(), Missing> {
    if let Some(&Record::Caller(Some(request))) = step.get(&trip.0)? {
        step.reply(request, text);
    }
    step.remove(&trip.0);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), CallError> {
    let [mut flight, mut hotel, mut payment] = [("flight", 3), ("hotel", 2), ("payment", 1000)].map(|(name, left)| {
        let store = MemoryDatabase::default().open(name);
        Service::new(Agency { name, left }, store, 1, Settings::default(), Metrics::default())
    });
    hotel.consume(&mut flight);
    hotel.consume(&mut payment);
    payment.consume(&mut hotel);
    flight.consume(&mut hotel);
    flight.consume(&mut payment);
    let desk = flight.handle();
    let _running = [flight.start(), hotel.start(), payment.start()];
    for (traveller, price) in [("Ann", 300), ("Bob", 900), ("Cleo", 300), ("Dan", 300)] {
        println!("{traveller} wants a trip for {price}:");
        let told = desk.call(0, Trip(traveller.into(), price), CallOptions::default()).await?;
        println!("  -> {told}\n");
    }
    Ok(())
}
