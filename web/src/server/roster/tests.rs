use super::*;

fn from(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 4000)
}

/// A roster for ten, three of one address, with these connections.
fn roster(addresses: &[&str]) -> (Roster<usize>, Vec<Arc<Activity>>) {
    let mut roster = Roster::new(10, 3);
    let activities: Vec<_> = addresses.iter().map(|_| Arc::new(Activity::default())).collect();
    for (key, (address, activity)) in addresses.iter().zip(&activities).enumerate() {
        roster.add(key, from(address), Arc::clone(activity));
    }
    (roster, activities)
}

async fn is_told(activity: &Activity) -> bool {
    tokio::time::timeout(std::time::Duration::ZERO, activity.told_to_close()).await.is_ok()
}

async fn told(activities: &[Arc<Activity>]) -> Vec<usize> {
    let mut told = Vec::new();
    for (key, activity) in activities.iter().enumerate() {
        if is_told(activity).await {
            told.push(key);
        }
    }
    told
}

#[test]
fn an_address_has_so_many_and_a_network_of_ipv6_counts_as_one() {
    let (mut roster, _) = roster(&["10.0.0.1"; 3]);
    assert!(roster.is_crowded(from("10.0.0.1")) && roster.is_crowded(from("::ffff:10.0.0.1")));
    assert!(!roster.is_crowded(from("10.0.0.2")) && !roster.is_crowded(from("::ffff:10.0.0.2")));
    for (key, address) in ["2001:db8::1", "2001:db8::2:3", "2001:db8:0:0:ffff::"].into_iter().enumerate() {
        assert!(!roster.is_crowded(from(address)));
        roster.add(100 + key, from(address), Arc::default());
    }
    assert!(roster.is_crowded(from("2001:db8::9")) && !roster.is_crowded(from("2001:db8:0:1::9")));
    roster.remove(0);
    assert!(!roster.is_crowded(from("10.0.0.1")));
    for key in [1, 2, 100, 101, 102] {
        roster.remove(key);
    }
    assert!(roster.by_network.is_empty(), "an address that has gone is forgotten");
}

#[tokio::test]
async fn the_first_that_never_asked_goes_first_then_the_longest_silent_and_never_a_running_one() {
    let (mut roster, activities) = roster(&["10.0.0.1"; 4]);
    let mut watchdog =
        crate::server::activity::Watchdog::new(std::time::Duration::from_secs(10), std::time::Duration::from_secs(75));
    activities[0].request_begins();
    activities[1].request_begins();
    activities[1].request_ends();
    activities[3].request_begins();
    activities[3].request_ends();
    for _ in 0..3 {
        watchdog.inspect(&activities[3], false);
    }
    for expected in [2, 3, 1] {
        roster.close_longest_idle();
        assert_eq!(told(&activities).await, [expected]);
        roster.remove(expected);
    }
    roster.close_longest_idle();
    assert_eq!(told(&activities).await, [0; 0], "the only one left has a request running");
}

#[tokio::test]
async fn one_that_asked_since_it_was_chosen_is_passed_over() {
    let (mut roster, activities) = roster(&["10.0.0.1"; 3]);
    roster.close_longest_idle();
    assert_eq!(told(&activities).await, [0]);
    activities[1].request_begins();
    activities[1].request_ends();
    roster.close_longest_idle();
    assert_eq!(told(&activities).await, [2]);
}
