//! Claims about the event log of a partition: numbers, reading and trimming.

use super::{
    Outcome, Reopen, Subject,
    fixture::{bytes, cursor, ensure, ensure_eq, events_only, page_of_log, pattern, put, whole_log},
    world::{Place, World},
};
use crate::store::{Commit, VALUE_BYTES_MAX, Visibility};

const HERE: Place = (0, 0);

/// Events are numbered from 1 without gaps, across commits with none, one and many of them.
pub async fn events_are_numbered_densely_from_one<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let mut appended = 0_u64;
    for count in [1, 0, 3, 1, 0, 0, 100, 2] {
        let events = (0..count).map(|index| bytes(format!("event-{}", appended + index)));
        world.commit(&store, HERE, events_only(events)).await?;
        world.commit_in_vain(&store, HERE, 0).await?;
        appended += count;
        world.check_place(&store, HERE).await?;
    }
    let log = whole_log(&store, 0, Visibility::Committed).await?;
    let positions: Vec<u64> = log.iter().map(|entry| entry.position).collect();
    ensure_eq!(positions, (1..=appended).collect::<Vec<u64>>(), "numbers of the events");
    Ok(())
}

/// A read starts right after the position given, shows no more than the limit, and at least one event where there is
/// one.
pub async fn a_log_is_read_after_a_position_up_to_a_limit<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for commit in 0..5 {
        let events = (0..4).map(|index| bytes(format!("event-{commit}-{index}")));
        world.commit(&store, HERE, events_only(events)).await?;
    }
    for after in [0, 1, 3, 4, 5, 11, 19, 20, 21, 1_000] {
        for limit in [0, 1, 2, 4, 5, 20, 100, 100_000] {
            world.read_page(&store, HERE, after, limit).await?;
        }
    }
    let in_the_middle = page_of_log(&store, 0, 7, 1, Visibility::Committed).await?;
    let positions: Vec<u64> = in_the_middle.iter().map(|entry| entry.position).collect();
    ensure_eq!(positions, [8], "the one event after 7");
    Ok(())
}

/// Events of any bytes, from none to [`VALUE_BYTES_MAX`] of them, come back as they were.
pub async fn events_of_every_size_are_kept<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let sizes = [0, 1, 127, 128, 255, 256, 600, 4_096, 20_000, 65_535, VALUE_BYTES_MAX];
    for size in sizes {
        world.commit(&store, HERE, events_only([pattern(size, 4)])).await?;
    }
    world.commit(&store, HERE, events_only(sizes.map(|size| pattern(size, 5)))).await?;
    world.commit(&store, HERE, events_only((0..=u8::MAX).map(|byte| vec![byte, 0].into()))).await?;
    world.check_place(&store, HERE).await
}

/// A trim takes the events up to it and none above; those of its own commit are appended first.
pub async fn a_trim_takes_nothing_above_it<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    world.commit(&store, HERE, events_only((1..=20).map(|number| bytes(format!("event-{number}"))))).await?;
    for trim in [1, 2, 10, 20, 22] {
        let commit = Commit { events: vec![bytes(format!("appended with trim {trim}"))], trim, ..Commit::default() };
        world.commit(&store, HERE, commit).await?;
        world.check_place(&store, HERE).await?;
        for after in [0, trim - 1, trim, trim + 1] {
            world.read_page(&store, HERE, after, 3).await?;
        }
    }
    Ok(())
}

/// A lower trim than an earlier one brings nothing back and takes nothing more: an event that was once gone stays so.
pub async fn a_trim_never_moves_back<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    world.commit(&store, HERE, events_only((1..=10).map(|number| bytes(format!("event-{number}"))))).await?;
    let mut first_before = 0;
    for trim in [6, 0, 3, 6, 7, 1] {
        let commit = Commit { trim, ..Commit::default() };
        world.commit(&store, HERE, commit).await?;
        world.check_place(&store, HERE).await?;
        let log = whole_log(&store, 0, Visibility::Committed).await?;
        let first = log.first().map_or(0, |first| first.position);
        ensure!(first >= first_before, "event {first} is back, the log had started at {first_before}");
        first_before = first;
    }
    Ok(())
}

/// A trim beyond the end of the log takes all there is, and nothing of what is appended later.
pub async fn a_trim_beyond_the_end_stops_at_the_end<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for trim in [5, 0, 1_000, 0, 0] {
        let commit = Commit {
            events: vec![bytes(format!("appended with trim {trim}")), bytes("another")],
            trim,
            ..Commit::default()
        };
        world.commit(&store, HERE, commit).await?;
        world.check_place(&store, HERE).await?;
    }
    Ok(())
}

/// Where every event was trimmed, the log still ends where it ended and goes on from there, also when it was closed
/// or has crashed in between.
pub async fn the_end_of_a_log_outlives_its_events<S: Subject>(subject: &S) -> Outcome {
    let mut store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for how in [None, Some(Reopen::Clean), Some(Reopen::Crash), Some(Reopen::Crash)] {
        let commit = Commit {
            writes: vec![put("key", format!("{how:?}"))],
            events: vec![bytes("a"), bytes("b"), bytes("c")],
            cursors: vec![cursor("upstream", 0, 1)],
            ..Commit::default()
        };
        world.commit(&store, HERE, commit).await?;
        let log_end = world.at(HERE).log_end();
        let trim_all = Commit { trim: log_end, ..Commit::default() };
        let committed = world.commit(&store, HERE, trim_all).await?;
        world.check_place(&store, HERE).await?;
        if let Some(how) = how {
            world.wait(&store, committed.position).await?;
            store = subject.reopen(store, how).await;
            world.recover(&[&store]).await?;
        }
        world.commit(&store, HERE, events_only([bytes("the next")])).await?;
        world.check_place(&store, HERE).await?;
    }
    Ok(())
}
