//! A disk that fails, at any point, or does not keep up.

use std::{
    future::Future as _,
    io,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use saga::{
    Store as _,
    store::{Commit, Error},
};
use saga_store_embedded::{Embedded, EmbeddedStore, FaultPoint, OpenError, Options, ServiceError};

use crate::disk::{Disk, get, put, put_durably};

#[tokio::test]
async fn a_failed_flush_poisons_and_acknowledges_nothing() {
    for point in [FaultPoint::FrameWrite, FaultPoint::FrameSync] {
        let disk = Disk::new(1 << 20);
        let embedded = disk.open().unwrap();
        let store = embedded.service("shop", 1).unwrap();
        put_durably(&store, 0, "kept", b"1").await.unwrap();
        disk.unplug_at(point);
        let error = put_durably(&store, 0, "lost", b"2").await.unwrap_err();
        assert!(matches!(&error, Error::Poisoned(reason) if reason.contains("the disk is unplugged")), "{error}");
        disk.plug_in();
        // It stays so, even if the disk comes back: what the failed flush did nobody knows.
        let error = put(&store, 0, "late", b"3").await.unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error}");
        assert!(matches!(embedded.close(), Err(Error::Poisoned(_))));
        drop((store, embedded));

        let embedded = disk.open().unwrap();
        let store = embedded.service("shop", 1).unwrap();
        assert_eq!(get(&store, 0, "kept").await.unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(get(&store, 0, "late").await.unwrap(), None);
        put_durably(&store, 0, "new", b"4").await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_poisons() {
    let disk = Disk::new(1 << 20);
    let full = |point| match point {
        FaultPoint::SegmentPrepare => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::StorageFull)),
    };
    let embedded = Embedded::open(Options { fault: Some(Arc::new(full)), ..disk.options.clone() }).unwrap();
    let store = embedded.service("shop", 1).unwrap();
    let error = put_durably(&store, 0, "key", b"value").await.unwrap_err();
    assert!(matches!(&error, Error::Poisoned(reason) if reason.contains("no storage space")), "{error}");
}

#[tokio::test]
async fn a_segment_that_cannot_be_made_poisons_when_it_is_needed() {
    let disk = Disk::new(1 << 30);
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    disk.unplug_at(FaultPoint::SegmentPrepare);
    let error = loop {
        if let Err(error) = put_durably(&store, 0, "key", &[7; 30_000]).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Poisoned(_)), "{error}");
}

#[tokio::test]
async fn a_checkpoint_that_fails_at_any_stage_poisons_and_loses_nothing() {
    for point in [
        FaultPoint::CheckpointFrozen,
        FaultPoint::CheckpointWritten,
        FaultPoint::CheckpointInstalled,
        FaultPoint::CheckpointFinished,
    ] {
        let disk = Disk::new(8 << 10);
        let embedded = disk.open().unwrap();
        let store = embedded.service("shop", 2).unwrap();
        disk.unplug_at(point);
        let mut durable = 0_u32;
        let error = loop {
            let key = format!("key:{}", durable % 100);
            match put_durably(&store, (durable % 2).try_into().unwrap(), &key, &durable.to_le_bytes()).await {
                Ok(()) => durable += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Poisoned(_)), "{point:?}: {error}");
        assert!(disk.is_unplugged(), "{point:?} after {durable}");
        drop((store, embedded));

        disk.plug_in();
        let embedded = disk.open().unwrap();
        let store = embedded.service("shop", 2).unwrap();
        for number in durable.saturating_sub(100)..durable {
            let value = get(&store, (number % 2).try_into().unwrap(), &format!("key:{}", number % 100)).await.unwrap();
            let value = u32::from_le_bytes(value.unwrap()[..].try_into().unwrap());
            // One more may have been flushed without anybody having been told.
            assert!(value == number || value == durable, "{point:?}: {value} instead of {number}");
        }
    }
}

#[tokio::test]
async fn nothing_reaches_the_base_before_it_is_in_the_journal() {
    let frames = Arc::new(AtomicUsize::new(0));
    let (allow, allowed) = mpsc::channel();
    let allowed = Mutex::new(allowed);
    let hook = {
        let frames = Arc::clone(&frames);
        move |point| match (point, frames.load(Ordering::SeqCst)) {
            (FaultPoint::FrameWrite, 0 | 1) => {
                frames.fetch_add(1, Ordering::SeqCst);
                allowed.lock().unwrap().recv().map_err(io::Error::other)
            }
            (FaultPoint::FrameWrite, _) => {
                // Longer than a checkpoint takes that does not wait for the journal.
                std::thread::sleep(Duration::from_millis(300));
                Err(io::Error::other("the disk is gone"))
            }
            _ => Ok(()),
        }
    };
    let disk = Disk::new(4000);
    let embedded = Embedded::open(Options { fault: Some(Arc::new(hook)), ..disk.options.clone() }).unwrap();
    let store = embedded.service("shop", 1).unwrap();
    allow.send(()).unwrap();
    put_durably(&store, 0, "key", b"before").await.unwrap();
    let large = put(&store, 0, "large", &[1; 5000]).await.unwrap();
    store.durability().request(large.position);
    while frames.load(Ordering::SeqCst) < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // After the second frame was closed, and before it makes a checkpoint due, which (nearly always) freezes this, too.
    let lost = put(&store, 0, "key", b"after").await.unwrap();
    allow.send(()).unwrap();
    assert!(store.durability().wait(lost.position).await.is_err());
    drop((store, embedded));

    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    assert_eq!(store.load(0, &[]).await.unwrap().head, large.head);
    assert_eq!(get(&store, 0, "key").await.unwrap().as_deref(), Some(&b"before"[..]));
}

#[tokio::test]
async fn commits_wait_while_a_checkpoint_does_not_keep_up() {
    let (allow, allowed) = mpsc::channel();
    let allowed = Mutex::new(allowed);
    let hook = move |point| match point {
        FaultPoint::CheckpointFrozen => allowed.lock().unwrap().recv().map_err(io::Error::other),
        _ => Ok(()),
    };
    let disk = Disk::new(10_000);
    let embedded = Embedded::open(Options { fault: Some(Arc::new(hook)), ..disk.options.clone() }).unwrap();
    let store = embedded.service("shop", 1).unwrap();
    let mut head = 0;
    let commit = |head: u64| {
        let write = saga::store::Write { key: head.to_be_bytes().to_vec().into(), value: Some(vec![0; 1000].into()) };
        Commit { expected_head: head, writes: vec![write], ..Commit::default() }
    };
    // Two full tables of changes at most: the one that is frozen, and the next.
    for _ in 0..100 {
        let mut waiting = pin!(store.commit(0, commit(head)));
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(committed) => head = committed.unwrap().head,
            Poll::Pending => break,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!((30..70).contains(&head), "{head} commits found room");
    assert!(embedded.stats().dirty_bytes <= 3 * 10_000 + 1100);
    for _ in 0..10 {
        allow.send(()).unwrap();
    }
    let committed = store.commit(0, commit(head)).await.unwrap();
    store.durability().wait(committed.position).await.unwrap();
    assert!(embedded.stats().commits_delayed >= 1, "the one that was given up waited");
}

#[tokio::test]
async fn a_closed_database_takes_no_commits_and_has_flushed_the_ones_it_took() {
    let disk = Disk::new(1 << 20);
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    let committed = put(&store, 0, "key", b"value").await.unwrap();
    assert!(store.durability().durable() < committed.position, "nobody asked for it yet");
    embedded.close().unwrap();
    embedded.close().unwrap();
    assert_eq!(store.durability().durable(), committed.position);
    assert!(matches!(put(&store, 0, "key", b"late").await, Err(Error::Poisoned(_))));
    assert_eq!(get(&store, 0, "key").await.unwrap().as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn what_nobody_waits_for_becomes_durable_soon() {
    let disk = Disk::new(1 << 20);
    let options = Options { flush_delay_max: Duration::from_millis(10), ..disk.options.clone() };
    let store = Embedded::open(options).unwrap().service("shop", 1).unwrap();
    let committed = put(&store, 0, "key", b"value").await.unwrap();
    let mut watch = store.durability().watch();
    tokio::time::timeout(Duration::from_secs(10), watch.reached(committed.position)).await.unwrap().unwrap();
}

#[test]
fn a_second_opener_is_told_so() {
    let disk = Disk::new(1 << 20);
    let first = disk.open().unwrap();
    assert!(matches!(disk.open(), Err(OpenError::Locked { .. })));
    drop(first);
    disk.open().unwrap();
}

#[test]
fn the_number_of_partitions_is_fixed_when_a_service_is_made() {
    let disk = Disk::new(1 << 20);
    let embedded = disk.open().unwrap();
    embedded.service("order", 8).unwrap();
    embedded.service("stock", 2).unwrap();
    drop(embedded);
    let embedded = disk.open().unwrap();
    assert_eq!(embedded.services(), [("order".to_owned(), 8), ("stock".to_owned(), 2)]);
    let error = embedded.service("order", 4).unwrap_err();
    assert!(matches!(error, ServiceError::PartitionsDiffer { stored: 8, asked: 4, .. }), "{error}");
    assert!(matches!(embedded.service("two words", 1), Err(ServiceError::Name(_))));
    assert!(matches!(embedded.service("none", 0), Err(ServiceError::NoPartitions(_))));
    embedded.service("order", 8).unwrap();
}

#[tokio::test]
async fn a_partition_that_does_not_exist_is_refused() {
    let disk = Disk::new(1 << 20);
    let store = disk.open().unwrap().service("shop", 2).unwrap();
    assert!(matches!(store.load(2, &[]).await, Err(Error::Failed(_))));
    assert!(matches!(put(&store, 2, "key", b"value").await, Err(Error::Failed(_))));
}

#[tokio::test]
async fn overwriting_without_end_leaves_the_disk_level() {
    let disk = Disk::new(64 << 10);
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    for round in 0..4000_u32 {
        put(&store, 0, &format!("key:{}", round % 50), &[1; 1000]).await.unwrap();
        if round % 20 == 0 {
            put_durably(&store, 0, "key", b"value").await.unwrap();
        }
    }
    let stats = embedded.stats();
    assert!(stats.checkpoints >= 10, "{stats:?}");
    embedded.close().unwrap();
    let bytes = |directory| -> u64 {
        let entries = std::fs::read_dir(disk.data().join(directory)).unwrap();
        entries
            .map(|entry| entry.unwrap().metadata().unwrap())
            .filter(|data| data.is_file())
            .map(|data| data.len())
            .sum()
    };
    // Fifty records of a thousand bytes, in at most sixteen unmerged checkpoints and a merged one, twice while merging.
    assert!(bytes("base/tables") < 40 * 50 * 1100, "{}", bytes("base/tables"));
    assert!(bytes("journal") < 16 * (64 << 10), "{}", bytes("journal"));
}

/// Fails at some points, for a reason that passes, until told otherwise.
fn lacking(
    points: &'static [FaultPoint],
    kind: i32,
) -> (Arc<std::sync::atomic::AtomicBool>, saga_store_embedded::FaultHook) {
    let lacks = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hook = Arc::clone(&lacks);
    let hook = move |point| match points.contains(&point) && hook.load(Ordering::SeqCst) {
        true => Err(io::Error::from_raw_os_error(kind)),
        false => Ok(()),
    };
    (lacks, Arc::new(hook))
}

/// Waits for what threads do in their own time.
fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it has not happened in half a minute");
}

const TOO_MANY_OPEN_FILES: i32 = 24;
const NO_SPACE: i32 = 28;

#[tokio::test]
async fn segments_and_checkpoints_wait_for_descriptors_and_room_and_poison_nothing() {
    for kind in [TOO_MANY_OPEN_FILES, NO_SPACE] {
        let disk = Disk::new(48 << 10);
        let (lacks, hook) =
            lacking(&[FaultPoint::SegmentPrepare, FaultPoint::CheckpointWritten, FaultPoint::Compaction], kind);
        let embedded = Embedded::open(Options { fault: Some(hook), ..disk.options.clone() }).unwrap();
        let store = embedded.service("shop", 1).unwrap();
        put_durably(&store, 0, "before", b"1").await.unwrap();
        lacks.store(true, Ordering::SeqCst);
        // What is there takes some more, and then somebody waits.
        let writer = tokio::spawn({
            let store = store.clone();
            async move {
                for number in 0..40 {
                    put_durably(&store, 0, &format!("key:{number}"), &[7; 5000]).await.unwrap();
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!writer.is_finished(), "there is no segment to write to");
        assert_eq!(embedded.stats().checkpoints, 0);
        assert_eq!(get(&store, 0, "before").await.unwrap().as_deref(), Some(&b"1"[..]), "reads go on");
        lacks.store(false, Ordering::SeqCst);
        writer.await.unwrap();
        until(|| embedded.stats().checkpoints > 0);
        embedded.close().unwrap();
        let tables = std::fs::read_dir(disk.data().join("base").join("tables")).unwrap().count() as u64;
        assert!(tables <= embedded.stats().checkpoints, "what failed tries left is gone: {tables} tables");
    }
}

#[tokio::test]
async fn a_database_that_waits_for_a_segment_can_be_closed() {
    let disk = Disk::new(1 << 30);
    let (lacks, hook) = lacking(&[FaultPoint::SegmentPrepare], NO_SPACE);
    let embedded = Embedded::open(Options { fault: Some(hook), ..disk.options.clone() }).unwrap();
    let store = embedded.service("shop", 1).unwrap();
    lacks.store(true, Ordering::SeqCst);
    let writer = tokio::spawn(async move {
        for number in 0..20 {
            put_durably(&store, 0, &format!("key:{number}"), &[7; 30_000]).await?;
        }
        Ok::<_, Error>(())
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Not all of it fits into the segments that are there.
    assert!(matches!(embedded.close(), Err(Error::Poisoned(reason)) if reason.contains("No space left")));
    assert!(writer.await.unwrap().is_err());
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_has_no_room_for_what_is_new_until_it_has() {
    let disk = Disk::new(1 << 20);
    let (full, hook) = lacking(&[FaultPoint::FreeSpace], NO_SPACE);
    let embedded = Embedded::open(Options { fault: Some(hook), ..disk.options.clone() }).unwrap();
    let store = embedded.service("shop", 1).unwrap();
    assert_eq!(store.room(), Ok(()));
    full.store(true, Ordering::SeqCst);
    until(|| store.room().is_err());
    assert_eq!(store.room(), embedded.room());
    // It is the engine that refuses; what goes on is committed.
    put_durably(&store, 0, "key", b"value").await.unwrap();
    full.store(false, Ordering::SeqCst);
    until(|| store.room().is_ok());
}

/// The frozen changes are of one moment, and so must be what the base's marker says: of frames and segments that were begun
/// later, the base has nothing.
#[test]
fn what_is_journaled_after_a_freeze_is_replayed_from_its_segments() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build();
    let writer = Arc::new(Mutex::new(None::<EmbeddedStore>));
    let hook = {
        let writer = Arc::clone(&writer);
        move |point| {
            if point == FaultPoint::CheckpointFrozen
                && let Some(store) = writer.lock().unwrap().take()
            {
                let runtime = runtime()?;
                for number in 0..20 {
                    // Two of them fill a segment.
                    let (key, value) = (format!("later:{number}"), [number; 30 << 10]);
                    runtime.block_on(put_durably(&store, 1, &key, &value)).map_err(io::Error::other)?;
                }
            }
            Ok(())
        }
    };
    let disk = Disk::new(1 << 20);
    let embedded = Embedded::open(Options { fault: Some(Arc::new(hook)), ..disk.options.clone() }).unwrap();
    // Two partitions, since both sides write at the same time: of two commits to one head, one is refused.
    let shop = embedded.service("shop", 2).unwrap();
    *writer.lock().unwrap() = Some(shop.clone());
    let runtime = runtime().unwrap();
    for number in 0..40 {
        runtime.block_on(put_durably(&shop, 0, &format!("first:{number}"), &[number; 30 << 10])).unwrap();
    }
    until(|| embedded.stats().checkpoints > 0);
    assert!(writer.lock().unwrap().is_none());
    embedded.close().unwrap();
    assert_eq!(embedded.stats().checkpoints, 1, "nothing else has what came later");
    drop((shop, embedded));

    let embedded = disk.open().unwrap();
    let shop = embedded.service("shop", 2).unwrap();
    let first = (0..40).map(|number| (0, format!("first:{number}")));
    for (partition, key) in first.chain((0..20).map(|number| (1, format!("later:{number}")))) {
        let value = runtime.block_on(get(&shop, partition, &key)).unwrap();
        assert_eq!(value.map(|value| value.len()), Some(30 << 10), "{key}");
    }
}
