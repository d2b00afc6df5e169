//! Files that were damaged or lost: each is noticed, and nothing is overwritten.

use std::{fs, path::Path};

use saga::store::Error;
use saga_store_embedded::OpenError;

use crate::disk::{Disk, get, put_durably};

/// A database of a few hundred records, with some checkpoints behind it and something in its journal.
async fn filled() -> Disk {
    let disk = Disk::new(16 << 10);
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    for number in 0..300_u32 {
        put_durably(&store, 0, &format!("key:{number}"), &[7; 300]).await.unwrap();
    }
    assert!(embedded.stats().checkpoints > 0, "some of it is in the base");
    embedded.close().unwrap();
    disk
}

/// How many of the records can be read, and what the first error is.
async fn read_all(disk: &Disk) -> (usize, Option<Error>) {
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    for number in 0..300 {
        match get(&store, 0, &format!("key:{number}")).await {
            Ok(value) => assert_eq!(value.as_deref(), Some(&[7; 300][..]), "key {number}"),
            Err(error) => return (number, Some(error)),
        }
    }
    (300, None)
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn an_undamaged_database_is_read_in_full() {
    let disk = filled().await;
    assert!(matches!(read_all(&disk).await, (300, None)));
}

#[tokio::test]
async fn a_damaged_journal_is_refused_and_left_as_it_is() {
    let disk = filled().await;
    let path = disk.segments().remove(0);
    flip(&path, 5000);
    let damaged = fs::read(&path).unwrap();
    let error = disk.open().unwrap_err();
    assert!(matches!(&error, OpenError::Corrupt { file, .. } if *file == path), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()));
    assert_eq!(fs::read(&path).unwrap(), damaged);
}

#[tokio::test]
async fn a_lost_segment_is_refused() {
    let disk = filled().await;
    fs::remove_file(disk.segments().remove(0)).unwrap();
    assert!(matches!(disk.open(), Err(OpenError::Corrupt { .. })));
}

#[tokio::test]
async fn a_lost_base_is_refused() {
    let disk = filled().await;
    fs::remove_dir_all(disk.data().join("base")).unwrap();
    assert!(matches!(disk.open(), Err(OpenError::Corrupt { .. })));
}

#[tokio::test]
async fn a_base_that_lost_its_list_of_tables_is_refused() {
    let disk = filled().await;
    fs::remove_file(disk.data().join("base").join("current")).unwrap();
    assert!(matches!(disk.open(), Err(OpenError::Corrupt { .. })));
    assert!(!disk.data().join("base").join("current").exists(), "nothing was made up in its place");
}

#[tokio::test]
async fn an_unknown_format_is_refused() {
    let disk = filled().await;
    let meta = disk.data().join("META");
    let text = fs::read_to_string(&meta).unwrap().replacen("embedded 4", "embedded 7", 1);
    fs::write(&meta, &text).unwrap();
    let error = disk.open().unwrap_err();
    assert!(matches!(&error, OpenError::UnknownFormat { found, supported: 4, .. } if found == "7"), "{error}");
    assert_eq!(fs::read_to_string(meta).unwrap(), text);
}

#[tokio::test]
async fn damage_to_a_table_of_the_base_is_noticed_wherever_it_is() {
    let disk = filled().await;
    let tables = fs::read_dir(disk.data().join("base").join("tables")).unwrap();
    let table = tables.map(|entry| entry.unwrap().path()).max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let whole = fs::read(&table).unwrap();
    let mut noticed = 0;
    for part in 0..60 {
        fs::write(&table, &whole).unwrap();
        flip(&table, whole.len() * part / 60);
        match disk.open() {
            Err(OpenError::Corrupt { .. } | OpenError::Io { .. }) => noticed += 1,
            Err(error) => panic!("{error}"),
            // `read_all` sees to it that what can be read is right.
            Ok(embedded) => {
                drop(embedded);
                noticed += usize::from(matches!(read_all(&disk).await, (_, Some(Error::Failed(_)))));
            }
        }
    }
    assert!(noticed >= 30, "most of the table is read by these loads: {noticed} of 60");
}

#[tokio::test]
async fn damage_fails_those_who_need_what_it_took_and_nobody_else() {
    let disk = filled().await;
    let (embedded, damaged) = damaged_and_open(&disk).await;
    let store = embedded.service("shop", 1).unwrap();
    let (mut failed, mut read) = (0, 0);
    for number in 0..300 {
        match get(&store, 0, &format!("key:{number}")).await {
            Ok(value) => {
                assert_eq!(value.as_deref(), Some(&[7; 300][..]), "key {number}");
                read += 1;
            }
            Err(Error::Failed(reason)) => {
                assert!(reason.contains("damaged") || reason.contains("could not be read"), "{reason}");
                failed += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failed > 0 && read > 200, "{failed} failed, {read} did not");
    assert_eq!(embedded.stats().unreadable, failed);
    // It is written to as before, through many more checkpoints, though they cannot be merged with what is damaged.
    for number in 0..1500_u32 {
        put_durably(&store, 0, &format!("new:{}", number % 300), &[8; 300]).await.unwrap();
    }
    assert!(embedded.stats().checkpoints > 16, "{:?}", embedded.stats());
    embedded.close().unwrap();
    drop((store, embedded));
    let report = saga_store_embedded::check(&disk.data()).unwrap();
    assert!(report.damage.iter().any(|damage| damage.file == damaged), "{report:?}");
}

/// Damages a block of a table so that only reading it tells.
async fn damaged_and_open(disk: &Disk) -> (saga_store_embedded::Embedded, std::path::PathBuf) {
    let tables = fs::read_dir(disk.data().join("base").join("tables")).unwrap();
    let table = tables.map(|entry| entry.unwrap().path()).max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    // Blocks of records come first in a table, and this one is not the first, where marks are.
    let bytes = usize::try_from(fs::metadata(&table).unwrap().len()).unwrap();
    flip(&table, bytes / 2);
    (disk.open().unwrap(), table)
}

#[tokio::test]
async fn a_check_reads_everything_and_changes_nothing() {
    let disk = filled().await;
    let everything = |directory: &Path| {
        let mut all = std::collections::BTreeMap::new();
        for part in ["", "journal", "base", "base/tables"] {
            for entry in fs::read_dir(directory.join(part)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    all.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        all
    };
    // What a tree would tidy up.
    fs::write(disk.data().join("base").join("tables").join("999999"), "left over").unwrap();
    let before = everything(&disk.data());
    let report = saga_store_embedded::check(&disk.data()).unwrap();
    assert_eq!(report.damage, []);
    assert!(report.tables > 0 && report.records >= 200 && report.last_frame.is_some(), "{report:?}");
    assert!(before == everything(&disk.data()), "nothing was changed");

    let path = disk.segments().remove(0);
    flip(&path, 5000);
    let report = saga_store_embedded::check(&disk.data()).unwrap();
    assert!(matches!(&report.damage[..], [damage] if damage.file == path), "{report:?}");
    flip(&path, 5000);
    let _open = disk.open().unwrap();
    assert!(matches!(saga_store_embedded::check(&disk.data()), Err(OpenError::Locked { .. })));
}

#[tokio::test]
async fn after_a_close_a_damaged_last_frame_is_refused_and_after_a_kill_it_is_cut_off() {
    let disk = Disk::new(1 << 20);
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    for key in ["first", "last"] {
        put_durably(&store, 0, key, &[7; 300]).await.unwrap();
    }
    let path = disk.segments().remove(0);
    let killed = fs::read(&path).unwrap();
    embedded.close().unwrap();
    drop((store, embedded));
    let last = killed.iter().rposition(|byte| *byte == 7).unwrap();
    flip(&path, last);
    assert!(matches!(disk.open(), Err(OpenError::Corrupt { .. })));
    // A process that is killed does not come to note it.
    fs::remove_file(disk.data().join("CLOSED")).unwrap();
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    assert!(get(&store, 0, "first").await.unwrap().is_some());
    assert_eq!(get(&store, 0, "last").await.unwrap(), None);
}

#[tokio::test]
async fn a_journal_that_was_cut_to_half_of_what_was_used_is_refused() {
    let disk = Disk::new(1 << 20);
    let embedded = disk.open().unwrap();
    let store = embedded.service("shop", 1).unwrap();
    for number in 0..50 {
        put_durably(&store, 0, &format!("key:{number}"), &[7; 300]).await.unwrap();
    }
    disk.unplug();
    drop((store, embedded));
    disk.plug_in();
    let path = disk.segments().remove(0);
    let whole = fs::read(&path).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(&path, &whole[..used / 2]).unwrap();
    let error = disk.open().unwrap_err();
    assert!(matches!(&error, OpenError::Corrupt { what, .. } if what.contains("cut off")), "{error}");
}
