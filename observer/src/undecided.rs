//! Checkouts that began, and of whose decision nothing was heard: those of all pages, in a few records by their names, for a
//! store takes no large ones.

use std::collections::BTreeMap;

use contract::{CheckoutId, OrderId};
use minicbor::{Decode, Encode};

use crate::page::Page;

/// In so many records.
pub(crate) const SHARDS: u8 = 32;

/// As many as are kept in each: with the longest ids no more than a store takes. The oldest of more are those of whose
/// decision nothing will be heard.
const KEPT_MAX: usize = 500;

/// Where to find one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Place {
    #[n(0)]
    pub(crate) order: OrderId,
    /// When it began, in milliseconds since 1970.
    #[n(1)]
    pub(crate) started_at: u64,
    /// The page with what was first heard of it.
    #[n(2)]
    pub(crate) page: u64,
}

/// See the module: one of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Undecided {
    #[n(0)]
    checkouts: BTreeMap<CheckoutId, Place>,
}

/// What a page says of checkouts: that they are decided (`None`), or where they began; by shard.
pub(crate) type Changes = BTreeMap<u8, Vec<(CheckoutId, Option<Place>)>>;

/// What a page that is full says.
pub(crate) fn changes_of(number: u64, page: &Page) -> Changes {
    let mut changes = Changes::new();
    for story in &page.stories {
        let id = story.checkout.id;
        let [.., last] = id.to_bytes();
        let change = match story.decision() {
            Some(_) => None,
            None if story.has_begun() => {
                let (order, started_at) = (story.checkout.order.clone(), story.checkout.started_at_ms);
                Some(Place { order, started_at, page: number })
            }
            // What comes after its decision, or of which the beginning was missed.
            None => continue,
        };
        changes.entry(last % SHARDS).or_default().push((id, change));
    }
    changes
}

impl Undecided {
    /// Whether these change anything.
    pub(crate) fn is_changed_by(&self, changes: &[(CheckoutId, Option<Place>)]) -> bool {
        changes.iter().any(|(id, change)| change.is_some() || self.checkouts.contains_key(id))
    }

    pub(crate) fn apply(&mut self, changes: Vec<(CheckoutId, Option<Place>)>) {
        for (id, change) in changes {
            match change {
                Some(place) => drop(self.checkouts.insert(id, place)),
                None => drop(self.checkouts.remove(&id)),
            }
        }
        while self.checkouts.len() > KEPT_MAX {
            let oldest = self.checkouts.iter().min_by_key(|(_, place)| place.started_at).map(|(id, _)| *id);
            oldest.map(|id| self.checkouts.remove(&id));
        }
    }

    /// Forgets those that began up to `at`, and says whether there were any.
    pub(crate) fn forget(&mut self, at: u64) -> bool {
        let before = self.checkouts.len();
        self.checkouts.retain(|_, place| place.started_at > at);
        self.checkouts.len() < before
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&CheckoutId, &Place)> {
        self.checkouts.iter()
    }
}
