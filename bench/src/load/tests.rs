//! How the load is shared out.

use super::*;

#[test]
fn connections_are_shared_out_evenly_and_completely() {
    for (total, parts) in [(1, 1), (64, 1), (64, 3), (5, 2), (2, 2)] {
        let shares: Vec<_> = (0..parts).map(|index| share(total, parts, index)).collect();
        assert_eq!(shares.iter().sum::<usize>(), total);
        assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
    }
}
