//! A database that is only looked at: it shows what is on disk, keeps to itself what is committed, and changes nothing.

use std::{collections::BTreeMap, fs, path::PathBuf};

use saga::Store as _;
use saga_store_embedded::{Embedded, OpenError};

use crate::disk::{Disk, get, put_durably};

/// Every file of a directory, with its content.
fn content(directory: PathBuf) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![directory]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    found
}

/// A database of some hundred records, with some checkpoints behind it and something in its journal.
async fn filled() -> (Disk, Embedded) {
    let disk = Disk::new(16 << 10);
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 2).unwrap();
    for number in 0..300_u32 {
        put_durably(&store, (number % 2) as u16, &format!("key:{number}"), &[7; 300]).await.unwrap();
    }
    assert!(embedded.stats().checkpoints > 0, "some of it is in the base");
    (disk, embedded)
}

#[tokio::test]
async fn what_is_looked_at_is_all_there_and_what_is_committed_is_seen_by_nobody_else() {
    let (disk, embedded) = filled().await;
    let links = tempfile::tempdir().unwrap();
    assert!(matches!(Embedded::look(&disk.data(), links.path()), Err(OpenError::Locked { .. })), "it is open");
    embedded.close().unwrap();
    drop(embedded);
    let before = content(disk.data());
    let (looked_at, left) = Embedded::look(&disk.data(), links.path()).unwrap();
    assert!(left.is_closed && left.torn.is_none(), "{left:?}");
    assert_eq!(looked_at.services(), [("shop".to_owned(), 2)]);
    let store = looked_at.service("shop", 2).unwrap();
    for number in 0..300_u32 {
        let value = get(&store, (number % 2) as u16, &format!("key:{number}")).await.unwrap();
        assert_eq!(value.as_deref(), Some(&[7; 300][..]), "key {number}");
    }
    // More than the open group and the changes in memory may have elsewhere, before a commit waits for the disk.
    for number in 0..1_300_u32 {
        put_durably(&store, 0, &format!("new:{number}"), &vec![8; 60_000]).await.unwrap();
    }
    assert_eq!(get(&store, 0, "new:7").await.unwrap().map(|value| value.len()), Some(60_000));
    let another = looked_at.service("another", 1).unwrap();
    put_durably(&another, 0, "key", b"value").await.unwrap();
    store.begin_epoch(0, 0).await.unwrap();
    assert!(store.bound_to("peer", Some(another.identity())).await.unwrap().is_some());

    let more = tempfile::tempdir().unwrap();
    let (beside, _) = Embedded::look(&disk.data(), more.path()).unwrap();
    assert_eq!(get(&beside.service("shop", 2).unwrap(), 0, "new:7").await.unwrap(), None);
    assert!(matches!(disk.open(), Err(OpenError::Locked { .. })), "nobody opens it meanwhile");
    drop((store, another, looked_at, beside));
    assert!(content(disk.data()) == before, "something was changed");
    let embedded = disk.open().unwrap();
    assert_eq!(embedded.services(), [("shop".to_owned(), 2)]);
}

#[tokio::test]
async fn a_database_that_was_not_closed_says_so_and_is_not_mended() {
    let (disk, embedded) = filled().await;
    drop(embedded);
    // As if it had never been closed.
    fs::remove_file(disk.data().join("CLOSED")).unwrap();
    // The last frame, as if it had been cut off.
    let segments = disk.segments();
    let used = |path: &PathBuf| fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let last = segments.iter().rfind(|path| used(path) > 4096).unwrap();
    let mut bytes = fs::read(last).unwrap();
    bytes[used(last)] ^= 1;
    fs::write(last, &bytes).unwrap();
    let before = content(disk.data());
    let links = tempfile::tempdir().unwrap();
    let (looked_at, left) = Embedded::look(&disk.data(), links.path()).unwrap();
    assert!(!left.is_closed && left.torn.is_some_and(|torn| torn.starts_with("frame ")));
    let store = looked_at.service("shop", 2).unwrap();
    assert_eq!(get(&store, 0, "key:0").await.unwrap().as_deref(), Some(&[7; 300][..]));
    assert_eq!(get(&store, 1, "key:299").await.unwrap(), None, "it was in the frame that was cut off");
    drop((store, looked_at));
    assert!(content(disk.data()) == before, "something was changed");
}

#[test]
fn what_is_no_database_is_said_to_be_none_and_none_is_made_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let links = tempfile::tempdir().unwrap();
    assert!(matches!(Embedded::look(directory.path(), links.path()), Err(OpenError::NoDatabase { .. })));
    assert!(matches!(Embedded::look(&directory.path().join("nowhere"), links.path()), Err(OpenError::Io { .. })));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
