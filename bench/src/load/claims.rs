//! Which orders there are, and which of them were sent.

use std::sync::atomic::{AtomicU64, Ordering};

/// The names of prepared orders by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderIds {
    /// `"0"`, `"1"`, …, as a batch initialisation makes them.
    Numbered,
    /// As the server named them one by one.
    Listed(Vec<Box<str>>),
}

impl OrderIds {
    /// Appends the name of the order at `index`.
    pub fn write(&self, index: u64, path: &mut Vec<u8>) {
        match self {
            Self::Numbered => path.extend_from_slice(itoa::Buffer::new().format(index).as_bytes()),
            Self::Listed(ids) => {
                let id = usize::try_from(index).ok().and_then(|index| ids.get(index));
                path.extend_from_slice(id.map_or(b"", |id| id.as_bytes()));
            }
        }
    }

    /// The name of the order at `index`.
    #[must_use]
    pub fn name(&self, index: u64) -> String {
        let mut name = Vec::new();
        self.write(index, &mut name);
        String::from_utf8_lossy(&name).into_owned()
    }
}

/// Gives out each order index once, over all workers: what makes every checkout a first-time checkout.
#[derive(Debug)]
pub struct Claims {
    next: AtomicU64,
    end: u64,
}

impl Claims {
    /// Orders `0..count`.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self { next: AtomicU64::new(0), end: count }
    }

    /// The next order not sent yet; `None` when there is none left.
    pub fn next(&self) -> Option<u64> {
        // Past the end it goes on counting, by one per worker and phase, far from overflow.
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.end).then_some(index)
    }

    /// Leaves none.
    pub fn close(&self) {
        self.next.fetch_max(self.end, Ordering::Relaxed);
    }

    /// How many are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.end.saturating_sub(self.next.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_is_given_out_once_over_all_threads() {
        let claims = Claims::new(10_000);
        let mut given: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| std::iter::from_fn(|| claims.next()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        given.sort_unstable();
        assert_eq!(given, (0..10_000).collect::<Vec<_>>());
        assert_eq!((claims.next(), claims.left()), (None, 0));
    }

    #[test]
    fn orders_are_named_by_number_or_as_the_server_did() {
        assert_eq!(OrderIds::Numbered.name(1_234_567), "1234567");
        assert_eq!(OrderIds::Listed(vec!["a".into(), "b-7".into()]).name(1), "b-7");
    }
}
