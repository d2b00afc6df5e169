use super::*;

fn per_second(count: u32) -> Rate<u8> {
    Rate::new(NonZeroU32::new(count).unwrap())
}

#[test]
fn one_has_as_many_at_once_as_in_a_second_and_another_has_its_own() {
    let rate = per_second(5);
    for _ in 0..5 {
        assert_eq!(rate.check(&1), Ok(()));
    }
    let wait = rate.check(&1).unwrap_err();
    assert!(wait <= Duration::from_millis(200), "{wait:?}");
    assert_eq!(rate.check(&2), Ok(()));
    std::thread::sleep(wait + Duration::from_millis(1));
    assert_eq!(rate.check(&1), Ok(()));
}

#[test]
fn of_those_that_are_quiet_nothing_is_kept() {
    let rate = per_second(1000);
    for key in 0..=255 {
        assert_eq!(rate.check(&key), Ok(()));
    }
    assert_eq!(rate.len(), 256);
    std::thread::sleep(Duration::from_millis(20));
    *rate.forgotten.lock().unwrap() -= FORGET_EVERY;
    assert_eq!(rate.check(&0), Ok(()));
    assert!(rate.len() <= 1, "{}", rate.len());
}
