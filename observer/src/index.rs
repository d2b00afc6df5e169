//! What may be on a page, without looking at it.

use minicbor::{Decode, Encode};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    page::{Accounts, Page, Story, What},
    reason::{REASONS, name_of},
};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Index {
    /// When the first of it happened, in milliseconds since 1970.
    #[n(0)]
    pub from: u64,
    /// When the last did.
    #[n(1)]
    pub to: u64,
    /// About how many bytes the page takes.
    #[n(2)]
    pub bytes: u64,
    /// Checkouts that were decided for.
    #[n(3)]
    pub completed: u32,
    /// Checkouts that were decided against.
    #[n(4)]
    pub cancelled: u32,
    /// The longest that one took of them, in milliseconds.
    #[n(5)]
    pub slowest_ms: u64,
    /// Events that were missed.
    #[n(6)]
    pub missed: u64,
    /// Of the ids of all orders, users and items: sorted, each once.
    #[n(7)]
    hashes: Vec<u32>,
    /// The reasons for which some were cancelled, a bit for each by its place in [`REASONS`]; not there in what an earlier version wrote.
    #[n(8)]
    reasons: Option<u16>,
}

/// Short, so that all indexes find room in memory: a page that is looked at in vain costs little.
fn hash(id: &str) -> u32 {
    u32::try_from(xxh3_64(id.as_bytes()) & u64::from(u32::MAX)).expect("its lower half")
}

/// Nothing of what is no reason.
fn bit_of(name: &str) -> u16 {
    REASONS.iter().position(|reason| *reason == name).map_or(0, |place| 1 << place)
}

/// About as much as a story takes: ids and numbers, and the same for each line.
fn weight(story: &Story) -> usize {
    let lines = story.checkout.lines.iter().map(|line| line.item.as_str().len() + 8);
    let ids = story.checkout.order.as_str().len() + story.checkout.user.as_str().len();
    60 + ids + lines.sum::<usize>() + 12 * story.happenings.len()
}

impl Index {
    /// Of a page.
    #[must_use]
    pub fn of(page: &Page) -> Self {
        let mut index = Self { from: u64::MAX, reasons: Some(0), ..Self::default() };
        for story in &page.stories {
            index.add_story(story);
        }
        for movement in &page.movements {
            index.span(movement.at);
            let before = index.hashes.len();
            match &movement.accounts {
                Accounts::Items(items, _) => index.hashes.extend(items.iter().map(|item| hash(item.as_str()))),
                Accounts::Users(users) => index.hashes.extend(users.iter().map(|user| hash(user.as_str()))),
            }
            index.bytes += 40 + 25 * (index.hashes.len() - before) as u64;
        }
        for gap in &page.gaps {
            index.span(gap.at);
            index.missed += gap.events;
            index.bytes += 40;
        }
        for act in &page.acts {
            index.span(act.at);
            index.bytes += 40 + (act.by.as_str().len() + act.because.as_str().len()) as u64;
        }
        index.hashes.sort_unstable();
        index.hashes.dedup();
        index.bytes += 5 * index.hashes.len() as u64;
        index.from = index.from.min(index.to);
        index
    }

    fn add_story(&mut self, story: &Story) {
        let checkout = &story.checkout;
        self.hashes.extend([hash(checkout.order.as_str()), hash(checkout.user.as_str())]);
        self.hashes.extend(checkout.lines.iter().map(|line| hash(line.item.as_str())));
        self.bytes += weight(story) as u64;
        for happening in &story.happenings {
            self.span(story.at(happening));
        }
        if let Some(decision) = story.decision() {
            match &decision.what {
                What::Cancelled(reason, _) => {
                    self.cancelled += 1;
                    self.reasons = self.reasons.map(|reasons| reasons | bit_of(name_of(reason)));
                }
                _ => self.completed += 1,
            }
            self.slowest_ms = self.slowest_ms.max(story.took_ms().unwrap_or(0));
        }
    }

    fn span(&mut self, at: u64) {
        self.from = self.from.min(at);
        self.to = self.to.max(at);
    }

    /// Whether some may have been cancelled for a reason; `false`: none was.
    #[must_use]
    pub(crate) fn may_have_reason(&self, name: &str) -> bool {
        self.cancelled > 0 && self.reasons.is_none_or(|reasons| reasons & bit_of(name) != 0)
    }

    /// Whether the id of an order, a user or an item may be on the page; `false`: it is not.
    #[must_use]
    pub fn may_have(&self, id: &str) -> bool {
        self.hashes.binary_search(&hash(id)).is_ok()
    }
}
