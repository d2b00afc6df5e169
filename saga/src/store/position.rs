//! Numbers of events, and heads, that survive the loss of a tail: an epoch above a sequence number.
//!
//! ```text
//!  number = epoch << 44 | sequence
//!
//!  primary          (0, 1) (0, 2) (0, 3) (0, 4) ✗
//!  replica          (0, 1) (0, 2)          promoted: (7, 3) (7, 4) …
//! ```
//!
//! The epoch rises (not always by one) whenever the store can no longer be sure that nothing was lost, and the sequence
//! goes on after what survived. So an event of a new epoch never has the number of one that was lost, and a consumer
//! sees by the sequence whether it has consumed something that is gone: after `(0, 2)` comes `(7, 3)`, after `(0, 4)`
//! it is [out of sequence](follows).

/// How many of the lower bits count inside an epoch.
pub const SEQUENCE_BITS: u32 = 44;

/// The highest sequence number: 17 trillion, which at a million a second is half a year.
pub const SEQUENCE_MAX: u64 = (1 << SEQUENCE_BITS) - 1;

/// The highest epoch: a million.
pub const EPOCH_MAX: u64 = u64::MAX >> SEQUENCE_BITS;

/// The epoch of the number of an event, or of a head; 0 in a store that counts none.
#[must_use]
pub const fn epoch_of(position: u64) -> u64 {
    position >> SEQUENCE_BITS
}

/// The number inside the epochs: how many events, or commits, came before in what survived, and this one.
#[must_use]
pub const fn sequence_of(position: u64) -> u64 {
    position & SEQUENCE_MAX
}

/// The number with this epoch and sequence, or `None` where one of them is too high.
#[must_use]
pub const fn position(epoch: u64, sequence: u64) -> Option<u64> {
    if epoch > EPOCH_MAX || sequence > SEQUENCE_MAX { None } else { Some(epoch << SEQUENCE_BITS | sequence) }
}

/// Whether the event `next` is the one that comes after `consumed` (0: the first one), in the same epoch or a later
/// one. Where it is not, events are missing, or such that are gone have been consumed.
#[must_use]
pub const fn follows(consumed: u64, next: u64) -> bool {
    epoch_of(next) >= epoch_of(consumed) && sequence_of(next) == sequence_of(consumed) + 1
}

/// Which events of a log are of which epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Epochs, and the sequence number with which each begins; both rise. Before the first it is epoch 0.
    begins: Vec<(u64, u64)>,
}

impl Epochs {
    /// From the event `begin` (a sequence number) on, it is `epoch`, which is higher than those before.
    pub fn begin(&mut self, epoch: u64, begin: u64) {
        // One in which nothing happened leaves no trace.
        while self.begins.last().is_some_and(|(_, earlier)| *earlier >= begin) {
            self.begins.pop();
        }
        self.begins.push((epoch, begin));
    }

    /// The epoch of the next event.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.begins.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// The number of the event with this sequence number.
    #[must_use]
    pub fn number(&self, sequence: u64) -> u64 {
        let of = self.begins.iter().rev().find(|(_, begin)| *begin <= sequence);
        of.map_or(0, |(epoch, _)| *epoch) << SEQUENCE_BITS | sequence
    }

    /// Up to which sequence number the log is the one that had an event of this `number`: what came after it there is
    /// lost here.
    #[must_use]
    pub fn common(&self, number: u64) -> u64 {
        let later = self.begins.iter().find(|(epoch, _)| *epoch > epoch_of(number));
        later.map_or(sequence_of(number), |(_, begin)| sequence_of(number).min(begin - 1))
    }

    /// Epochs, and the sequence number with which each begins.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.begins.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_epoch_zero_a_number_is_its_sequence() {
        for number in [0, 1, 2, SEQUENCE_MAX] {
            assert_eq!((epoch_of(number), sequence_of(number)), (0, number));
        }
    }

    #[test]
    fn the_parts_of_a_number_come_back() {
        for (epoch, sequence) in [(0, 0), (1, 0), (7, 3), (EPOCH_MAX, SEQUENCE_MAX)] {
            let number = position(epoch, sequence).expect("not too high");
            assert_eq!((epoch_of(number), sequence_of(number)), (epoch, sequence));
        }
        assert_eq!(position(EPOCH_MAX + 1, 0), None);
        assert_eq!(position(0, SEQUENCE_MAX + 1), None);
    }

    #[test]
    fn any_number_of_a_later_epoch_is_higher() {
        assert!(position(1, 0) > position(0, SEQUENCE_MAX));
    }

    #[test]
    fn the_next_event_has_the_next_sequence_and_no_earlier_epoch() {
        let number = |epoch, sequence| position(epoch, sequence).expect("not too high");
        assert!(follows(0, 1));
        assert!(follows(number(0, 2), number(0, 3)));
        assert!(follows(number(0, 2), number(7, 3)));
        assert!(!follows(number(0, 4), number(7, 3)), "one that was consumed is gone");
        assert!(!follows(number(0, 2), number(7, 5)), "two were never seen");
        assert!(!follows(number(7, 2), number(0, 3)));
        assert!(!follows(number(0, 2), number(0, 2)));
    }

    #[test]
    fn what_two_histories_of_a_log_have_in_common_ends_where_a_later_epoch_begins() {
        let number = |epoch, sequence| position(epoch, sequence).expect("not too high");
        let mut epochs = Epochs::default();
        assert_eq!((epochs.number(5), epochs.current(), epochs.common(9)), (5, 0, 9));
        epochs.begin(7, 4);
        assert_eq!([3, 4].map(|sequence| epochs.number(sequence)), [3, number(7, 4)]);
        assert_eq!([3, 4, 9].map(|sequence| epochs.common(sequence)), [3, 3, 3]);
        assert_eq!(epochs.common(number(7, 9)), 9);
        epochs.begin(8, 4);
        assert_eq!(epochs.iter().collect::<Vec<_>>(), [(8, 4)], "nothing happened in epoch 7");
        epochs.begin(9, 6);
        assert_eq!([number(8, 9), number(3, 9), number(3, 2)].map(|number| epochs.common(number)), [5, 3, 2]);
    }
}
