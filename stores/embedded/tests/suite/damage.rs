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
    let text = fs::read_to_string(&meta).unwrap().replacen("embedded 2", "embedded 7", 1);
    fs::write(&meta, &text).unwrap();
    let error = disk.open().unwrap_err();
    assert!(matches!(&error, OpenError::UnknownFormat { found, supported: 2, .. } if found == "7"), "{error}");
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
                noticed +=
                    usize::from(matches!(read_all(&disk).await, (_, Some(Error::Poisoned(_) | Error::Failed(_)))));
            }
        }
    }
    assert!(noticed >= 30, "most of the table is read by these loads: {noticed} of 60");
}
