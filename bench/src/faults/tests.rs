//! Processes are killed and started again, and the history says so.

use std::time::Duration;

use super::*;
use referee::{
    Machine,
    history::{self, Preface, Recorder, entry::FORMAT},
};

fn preface() -> Preface {
    Preface {
        history: FORMAT,
        version: String::new(),
        started_unix_seconds: 0,
        url: String::new(),
        durability: None,
        machine: Machine::here(),
        load: std::collections::BTreeMap::new(),
        items: 0,
        stock: 0,
        price: 0,
        users: 0,
        credit: 0,
        orders: 0,
    }
}

async fn faults(options: FaultOptions, kills: u32) -> Vec<Fault> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("history");
    let recorder = Recorder::create(&file, &preface()).unwrap();
    let mut killer = Killer::new(&options, recorder.scribe(), None);
    for _ in 0..kills {
        killer.strike(0).await;
    }
    // What the last restart started ends here too.
    for group in killer.restarted.iter().flatten() {
        kill_process_group(*group, Signal::KILL).unwrap();
    }
    drop(killer);
    recorder.finish([]).unwrap();
    history::read(&file).unwrap().faults
}

#[tokio::test]
async fn a_process_is_killed_and_what_its_command_started_is_killed_next() {
    let mut first = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    let pid = i32::try_from(first.id().unwrap()).unwrap();
    let options = FaultOptions {
        kill: vec![Target::Pid(pid)],
        down_for: Duration::from_millis(1),
        restart_command: vec!["sleep 600 & wait".to_owned()],
        ..FaultOptions::default()
    };
    let faults = faults(options, 3).await;
    assert!(!first.wait().await.unwrap().success());
    let kinds: Vec<_> = faults.iter().map(|fault| fault.fault).collect();
    use FaultKind::{Killed, Restarted};
    assert_eq!(kinds, [Killed, Restarted, Killed, Restarted, Killed, Restarted], "{faults:?}");
    assert!(faults.iter().all(|fault| fault.target == pid.to_string()));
    assert!(faults.is_sorted_by_key(|fault| fault.at));
}

#[tokio::test]
async fn a_stopped_process_goes_on() {
    let mut process = Command::new("sleep").arg("0.2").spawn().unwrap();
    let pid = i32::try_from(process.id().unwrap()).unwrap();
    let options = FaultOptions {
        kill: vec![Target::Pid(pid)],
        signal: Name::Stop,
        down_for: Duration::from_millis(1),
        ..FaultOptions::default()
    };
    let faults = faults(options, 1).await;
    assert_eq!(faults.iter().map(|fault| fault.detail.as_str()).collect::<Vec<_>>(), ["SIGSTOP", "SIGCONT"]);
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test]
async fn what_cannot_be_killed_is_recorded_as_failed() {
    let options = FaultOptions {
        kill: vec![Target::PidFile("/nowhere/shop.pid".into())],
        down_for: Duration::ZERO,
        ..FaultOptions::default()
    };
    let faults = faults(options, 1).await;
    assert_eq!(faults.first().unwrap().fault, FaultKind::Failed);
    assert!(faults.first().unwrap().detail.contains("/nowhere/shop.pid"));
}
