//! A service that consumes another one's logs does not start before somebody says where that is.

use crate::common::{PARTITIONS, bank::Bank, clerk::Clerk, database, settings};
use saga::{Choreography, Handle, Metrics, NotConnected, Participant};
use store_memory::Persistence::Immediate;

#[tokio::test(start_paused = true)]
async fn services_of_one_process_start_only_with_all_that_they_consume() {
    let stores = database(Immediate, false);
    let mut alone = Choreography::new(settings(), Metrics::default());
    let _: Handle<Clerk> = alone.add(Clerk, stores.open("clerk"), 2);
    let missing = NotConnected { consumer: Clerk::NAME, producer: Bank::NAME };
    assert_eq!(alone.start().err(), Some(missing));
    assert_eq!(missing.to_string(), "clerk consumes the events of bank, and nobody says where that is");

    let mut both = Choreography::new(settings(), Metrics::default());
    let _: Handle<Clerk> = both.add(Clerk, stores.open("clerk"), 2);
    let _: Handle<Bank> = both.add(Bank, stores.open("bank"), PARTITIONS);
    let running = both.start().expect("both are there, in whichever order");
    assert!(running.recovered().await);
}
