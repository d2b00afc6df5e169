//! A data directory is one server's at a time, and nobody's guess: what is not understood is refused and left alone.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sagamart_black_box::{
    Exit, Fixture, Market, Server, Settings, audit,
    damage::{copy, files, flip, snapshot, used_length},
};

/// A server's data after a kill, with the market that is in it.
async fn killed_market() -> (Fixture, Market) {
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let shop = fixture.shop.clone();
    let mut market = Market::default();
    let items = market.add_items(&shop, 10, 2, 1_000).await;
    let users = market.add_users(&shop, 10, 1_000).await;
    let wanted = users.iter().cycle().zip(items.iter().cycle().skip(3)).take(200);
    let wanted = wanted.map(|(user, item)| (user.clone(), vec![(item.clone(), 1)])).collect();
    let first = market.place(&shop, wanted).await;
    market.check_out(&shop, first, 16).await;
    fixture.kill();
    (fixture, market)
}

/// The server must refuse the directory, say why, and leave everything in it as it is.
async fn refuses(data: &Path) -> Exit {
    let before = snapshot(data);
    let exit = Server::refused_start(&Settings::partitions(2), data).await;
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert_eq!(exit.stderr.lines().filter(|line| line.starts_with("sagamart: ")).count(), 1, "{exit:?}");
    assert!(!exit.output().contains("panicked"), "{exit:?}");
    // Compared without printing: it is megabytes.
    assert!(snapshot(data) == before, "the refused directory was changed: {exit:?}");
    exit
}

fn journal_segments(data: &Path) -> Vec<PathBuf> {
    let segments: Vec<_> = files(data)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .collect();
    assert!(!segments.is_empty(), "the data has a journal");
    segments
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.user_with(1).await;
    for _ in 0..3 {
        let exit = Server::refused_start(&Settings::default(), fixture.data()).await;
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains(&*fixture.data().to_string_lossy()), "{exit:?}");
        assert!(exit.stderr.contains("in use"), "{exit:?}");
        shop.succeed(&format!("/payment/add_funds/{user}/1")).await;
    }
    assert_eq!(shop.credit(&user).await, 4);
    let mut fixture = fixture;
    fixture.restart().await;
    assert_eq!(fixture.shop.credit(&user).await, 4);
}

#[tokio::test]
async fn what_is_in_it_is_its_owners_alone_to_read() {
    let mut fixture = Fixture::new().await;
    fixture.shop.user_with(1).await;
    // The end writes a checkpoint.
    let exit = fixture.take_server().terminate().await;
    assert!(exit.status.success(), "{exit:?}");
    let data = fixture.data();
    let all = files(data);
    assert!(all.iter().any(|path| path.starts_with(data.join("base"))), "a checkpoint was written: {all:?}");
    for path in all.iter().flat_map(|path| path.ancestors().take_while(|path| path.starts_with(data))) {
        let metadata = fs::metadata(path).expect("it is there");
        let (mode, wanted) = (metadata.permissions().mode() & 0o777, if metadata.is_dir() { 0o700 } else { 0o600 });
        // The fixture made the directory itself, before the server came.
        assert!(path == data || mode == wanted, "{} is {mode:o}", path.display());
    }
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let user = fixture.shop.user_with(7).await;
    fixture.kill();
    for partitions in [1, 3, 4] {
        let exit = Server::refused_start(&Settings::partitions(partitions), fixture.data()).await;
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains("partitions"), "{exit:?}");
    }
    fixture.settings = Settings::default();
    fixture.restart().await;
    assert_eq!(fixture.shop.credit(&user).await, 7);
}

#[tokio::test]
async fn a_directory_of_something_else_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("thesis.tex"), "forty-two").expect("a file");
    let exit = refuses(directory.path()).await;
    assert!(exit.stderr.contains("thesis.tex"), "{exit:?}");
    let file = directory.path().join("thesis.tex");
    let exit = Server::refused_start(&Settings::default(), &file).await;
    assert!(exit.stderr.contains("thesis.tex"), "{exit:?}");
    assert_eq!(fs::read_to_string(&file).expect("it is still there"), "forty-two");
}

#[tokio::test]
async fn a_format_of_another_version_is_named_and_refused() {
    let (mut fixture, market) = killed_market().await;
    let meta = fixture.data().join("META");
    let known = fs::read_to_string(&meta).expect("the file that names the format");
    let (name, rest) = known.split_once(' ').expect("a name, and the format's number");
    let (_, rest) = rest.split_once('\n').expect("more lines");
    fs::write(&meta, format!("{name} 999\n{rest}")).expect("it can be written");
    let exit = refuses(fixture.data()).await;
    assert!(exit.stderr.contains("format") && exit.stderr.contains("\"999\""), "{exit:?}");
    fs::write(&meta, known).expect("it can be written");
    fixture.restart().await;
    audit(&fixture.shop, &market).await;
}

#[tokio::test]
async fn a_flipped_bit_in_the_journal_is_found_and_refused() {
    let (mut fixture, market) = killed_market().await;
    let data = fixture.data().to_owned();
    let journal = journal_segments(&data).remove(0);
    let used = used_length(&journal);
    assert!(used > 10_000, "there is a journal to damage: {used} bytes");
    // The last tenth is left out: damage of the last frame looks like a write that a power cut tore, and is cut off.
    let header = [0, 8, 16, 25];
    let frames = (0..12).map(|part| 4_096 + part * (used - 4_096) * 9 / 10 / 12);
    // Frames end with zeros up to a multiple of 8, which say nothing and which no checksum covers.
    let content = fs::read(&journal).expect("the journal can be read");
    let is_said = |at: &u64| usize::try_from(*at).is_ok_and(|at| content.get(at).is_some_and(|byte| *byte != 0));
    let frames = frames.map(|from| (from..used).find(is_said).expect("the journal ends with a frame"));
    for (number, offset) in header.into_iter().chain(frames).enumerate() {
        let bit = u8::try_from(number % 8).expect("a bit");
        flip(&journal, offset, bit);
        let exit = refuses(&data).await;
        assert!(exit.stderr.contains("corrupt") && exit.stderr.contains(".journal"), "byte {offset}: {exit:?}");
        flip(&journal, offset, bit);
    }
    fixture.restart().await;
    audit(&fixture.shop, &market).await;
}

#[tokio::test]
async fn each_flipped_bit_in_the_format_file_is_found_and_refused() {
    let (mut fixture, market) = killed_market().await;
    let meta = fixture.data().join("META");
    let length = fs::metadata(&meta).expect("the file that names the format").len();
    for offset in (0..length).step_by(7) {
        flip(&meta, offset, 2);
        let exit = refuses(fixture.data()).await;
        assert!(exit.stderr.contains("META"), "byte {offset}: {exit:?}");
        flip(&meta, offset, 2);
    }
    fixture.restart().await;
    audit(&fixture.shop, &market).await;
}

#[tokio::test]
async fn a_torn_write_behind_the_last_answer_is_cut_off() {
    let (mut fixture, market) = killed_market().await;
    for (number, rubbish) in [&b"\x00\xff half a frame "[..], b"sagafrm\x01", &[0xaa; 5_000]].into_iter().enumerate() {
        let journal = journal_segments(fixture.data()).remove(0);
        let mut content = fs::read(&journal).expect("the journal");
        let end = usize::try_from(used_length(&journal).next_multiple_of(8)).expect("a length");
        let tail = content.get_mut(end..end + rubbish.len()).expect("room behind the last frame");
        tail.copy_from_slice(rubbish);
        fs::write(&journal, content).expect("it can be written");
        fixture.restart().await;
        audit(&fixture.shop, &market).await;
        let user = fixture.shop.user_with(number as u64).await;
        fixture.restart().await;
        assert_eq!(fixture.shop.credit(&user).await, number as u64, "what came after the cut is kept too");
        fixture.kill();
    }
}

#[tokio::test]
async fn a_missing_file_is_named_and_refused() {
    let (mut fixture, market) = killed_market().await;
    let data = fixture.data().to_owned();
    let hidden = tempfile::tempdir().expect("a directory");
    for (name, path) in [("journal", journal_segments(&data).remove(0)), ("META", data.join("META"))] {
        let aside = hidden.path().join(name);
        fs::copy(&path, &aside).expect("a copy");
        fs::remove_file(&path).expect("it was there");
        let exit = refuses(&data).await;
        assert!(exit.stderr.contains(&*data.to_string_lossy()), "{name}: {exit:?}");
        fs::copy(&aside, &path).expect("it can be put back");
    }
    fixture.restart().await;
    audit(&fixture.shop, &market).await;
}

#[tokio::test]
async fn damage_of_any_file_is_refused_or_harmless_and_never_believed() {
    let (mut fixture, market) = killed_market().await;
    // An orderly end, so that not only the journal has something in it.
    fixture.restart().await;
    let exit = fixture.take_server().terminate().await;
    assert!(exit.status.success(), "{exit:?}");
    for path in files(fixture.data()) {
        let used = used_length(&path);
        for offset in (0..4).map(|quarter| quarter * used / 4).filter(|offset| *offset < used) {
            let damaged = tempfile::tempdir().expect("a directory");
            copy(fixture.data(), damaged.path());
            let place = path.strip_prefix(fixture.data()).expect("a path below it");
            flip(&damaged.path().join(place), offset, 4);
            match Server::try_start(&Settings::partitions(2), damaged.path()).await {
                Err(exit) => {
                    assert_eq!(exit.status.code(), Some(1), "{} at {offset}: {exit:?}", place.display());
                    assert!(!exit.output().contains("panicked"), "{} at {offset}: {exit:?}", place.display());
                }
                // What it then tells must be the truth.
                Ok(server) => drop(audit(&server.shop(), &market).await),
            }
        }
    }
    fixture.restart().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    audit(&fixture.shop, &market).await;
}
