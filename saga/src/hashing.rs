//! Hashing of names that clients choose. In memory by a seed that they cannot know, or they could choose names that share a
//! hash and make every look-up a search; and by none, where every machine has to come to the same.

use std::{
    hash::Hasher,
    sync::{Mutex, PoisonError},
};

use foldhash::{SharedSeed, fast::SeedableRandomState};

use crate::Partition;

/// Hashes with a seed of this process.
pub(crate) type Hashing = SeedableRandomState;

/// Seeds that were used: one, but for simulations, of which each has its own.
static SEEDS: Mutex<Vec<(u64, &'static SharedSeed)>> = Mutex::new(Vec::new());

/// The hashing with this seed.
pub(crate) fn seeded(seed: u64) -> Hashing {
    let mut seeds = SEEDS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = seeds.iter().find(|(other, _)| *other == seed).map(|(_, shared)| *shared);
    let shared = known.unwrap_or_else(|| {
        let shared: &'static SharedSeed = Box::leak(Box::new(SharedSeed::from_u64(seed)));
        seeds.push((seed, shared));
        shared
    });
    SeedableRandomState::with_seed(seed, shared)
}

/// A random seed.
pub(crate) fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // Of the process, at least.
        Err(_) => std::hash::BuildHasher::hash_one(&SeedableRandomState::random(), 0_u64),
    }
}

/// The partition that a name belongs to, the same on every machine and in every version: CRC-32C of its bytes modulo the
/// number of partitions.
#[must_use]
pub fn partition_of(name: &[u8], partitions: Partition) -> Partition {
    let partitions = u32::from(partitions.max(1));
    Partition::try_from(crc32c::crc32c(name) % partitions).expect("less than a partition's number")
}

/// A stable 64-bit fingerprint of what a request asks, for [`IdempotencyKey`](crate::IdempotencyKey): FNV-1a, then a finishing mix.
#[must_use]
pub fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for part in parts {
        hash.write(&(part.len() as u64).to_le_bytes());
        hash.write(part);
    }
    hash.finish()
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn one_seed_hashes_alike_and_others_do_not() {
        let names = || (0..64).map(|number| format!("item-{number}"));
        let hashes = |seed| names().map(|name| seeded(seed).hash_one(name)).collect::<Vec<_>>();
        assert_eq!(hashes(7), hashes(7));
        assert!(hashes(7).iter().zip(hashes(8)).all(|(one, other)| *one != other));
        assert_ne!(random_seed(), random_seed());
    }

    /// Names found to share low bits under one seed do not share them under another.
    #[test]
    fn names_that_collide_under_one_seed_are_spread_under_another() {
        let low = |seed, name: &String| seeded(seed).hash_one(name) % 4096;
        let chosen: Vec<_> = (0..400_000).map(|number| format!("{number}")).filter(|name| low(1, name) == 0).collect();
        assert!(chosen.len() > 50, "{} names", chosen.len());
        let most = chosen.iter().filter(|name| low(2, name) == low(2, &chosen[0])).count();
        assert!(most < 5, "{most} of {} names share a hash", chosen.len());
    }
}
