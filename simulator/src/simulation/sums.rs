//! What all accounts come to: as the records have it, as each service counts it, and as the events make it.

use contract::{Counted, Sum};
use observer::{Proof, Verdict};
use saga::{Store, hold::Totals, store::RESIDENT};

use super::{
    ask::ask,
    site::{balance, decoded},
    world::World,
};
use crate::{Service, market::role::Role};

/// The name of the record of what all accounts come to, in the store.
const TOTALS: [u8; 2] = [RESIDENT, b't'];

/// Whether all three are the same; where the history missed something, those of now become what it counts from.
pub(crate) async fn judge(world: &World, missed: u64) -> Result<(), String> {
    let units = counted(world, Service::Stock).await?;
    let credit = counted(world, Service::Payment).await?;
    let counts = ask!(world, history => history.ledger())?;
    let mut proof = Proof::of(&counts, &[units, credit], true);
    if proof.verdict == Verdict::Unknown && missed > 0 {
        world.reach("sums begin anew");
        let counts = ask!(world, history => history.count_from(&counts, units.total, credit.total))?;
        proof = Proof::of(&counts, &[units, credit], true);
    }
    if proof.verdict != Verdict::Agrees {
        return Err(format!("what happened does not make what there is: {proof:?}"));
    }
    world.reach(if proof.since.is_none() { "sums agree" } else { "sums agree since they began anew" });
    Ok(())
}

/// What a service counts, which has to be what its records have.
async fn counted(world: &World, service: Service) -> Result<Counted, String> {
    let (site, mut counted, mut kept) = (world.site(service), Vec::new(), Totals::default());
    let store = site.open();
    for (partition, names) in site.names() {
        let residents = store.residents(partition).await.map_err(|error| error.to_string())?;
        for (_, value) in residents.records.iter().filter(|(key, _)| **key == TOTALS) {
            counted.extend(contract::of!(service, P => P::totals(&decoded::<P>(value)?)));
        }
        let loaded = store.load(partition, &names).await.map_err(|error| error.to_string())?;
        for value in loaded.records.into_iter().flatten() {
            let (total, held, shortfall) = contract::of!(service, P => balance::<P>(&value)?);
            kept.accounts += 1;
            kept.total += i128::from(total);
            kept.held += i128::from(held);
            kept.shortfall += i128::from(shortfall);
        }
    }
    let counted: Totals = counted.into_iter().sum();
    if counted != kept {
        return Err(format!("{service} counts {counted:?}, and its records have {kept:?}"));
    }
    let Totals { accounts, total, held, shortfall } = counted;
    Ok(Counted { accounts, total: Sum(total), held: Sum(held), shortfall: Sum(shortfall) })
}
