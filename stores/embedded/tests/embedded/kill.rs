//! A process that commits is killed, again and again, and what it leaves is looked at: everything it was told to be
//! durable is there, every partition is at a moment it was in, and no partition has seen more than is left of another.

use std::{
    env, fmt,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use saga::{
    LogName, Store as _,
    store::{Commit, Cursor, Visibility, Write},
};
use saga_store_embedded::{Embedded, EmbeddedStore, FaultPoint, Options};

const SERVICES: [&str; 2] = ["left", "right"];
const PARTITIONS: u16 = 2;
const PLACES: usize = SERVICES.len() * PARTITIONS as usize;
/// How many slots a partition goes through in turn.
const SLOTS: u64 = 7;
/// How many commits later a passing record is removed, and an event trimmed.
const LIFE: u64 = 5;

const DIRECTORY_VARIABLE: &str = "SAGA_EMBEDDED_TEST_DIRECTORY";
const ABORT_VARIABLE: &str = "SAGA_EMBEDDED_TEST_ABORT_AT";

fn options(directory: &Path) -> Options {
    Options { segment_bytes: 64 << 10, checkpoint_bytes: 48 << 10, ..Options::new(directory) }
}

fn stores(embedded: &Embedded) -> Vec<EmbeddedStore> {
    let store = |service| embedded.service(service, PARTITIONS).expect("the same number of partitions every time");
    SERVICES.iter().flat_map(|service| vec![store(service); usize::from(PARTITIONS)]).collect()
}

fn partition_of(place: usize) -> u16 {
    u16::try_from(place).expect("there are few") % PARTITIONS
}

fn neighbour(place: usize) -> (usize, LogName) {
    let place = (place + 1) % PLACES;
    let service = SERVICES[place / usize::from(PARTITIONS)];
    (place, LogName { service: service.into(), partition: partition_of(place) })
}

fn slot_key(number: u64) -> Bytes {
    format!("slot:{}", number % SLOTS).into()
}

fn passing_key(number: u64) -> Bytes {
    format!("passing:{number}").into()
}

fn value(number: u64) -> Bytes {
    vec![number.to_le_bytes()[0]; usize::try_from(number % 50).expect("small")].into()
}

/// The commit that takes a partition from head `number - 1` to `number`.
fn commit(number: u64, seen: Cursor) -> Commit {
    let put = |key, value| Write { key, value: Some(value) };
    let remove = |key| Write { key, value: None };
    let mut writes = vec![
        put("count".into(), Bytes::copy_from_slice(&number.to_le_bytes())),
        put(slot_key(number), value(number)),
        remove(slot_key(number + 3)),
        put(passing_key(number), value(number)),
    ];
    if number > LIFE {
        writes.push(remove(passing_key(number - LIFE)));
    }
    Commit {
        expected_head: number - 1,
        writes,
        events: vec![value(number)],
        cursors: vec![seen],
        trim: number.saturating_sub(LIFE),
    }
}

/// What is under each slot after `head` commits.
fn slots(head: u64) -> Vec<Option<Bytes>> {
    let mut slots = vec![None; usize::try_from(SLOTS).expect("few")];
    for number in head.saturating_sub(3 * SLOTS) + 1..=head {
        let index = |number| usize::try_from(number % SLOTS).expect("few");
        slots[index(number)] = Some(value(number));
        slots[index(number + 3)] = None;
    }
    slots
}

/// Runs in a process of its own, until that is killed. Without a directory, as when all ignored tests are asked for, it
/// takes one of its own and stops after a while.
#[test]
#[ignore = "is started, and killed, by the other tests here"]
fn child() {
    let given = env::var_os(DIRECTORY_VARIABLE);
    let own = tempfile::tempdir().expect("a temporary directory");
    let directory = given.as_ref().map_or(own.path(), Path::new);
    let commits_max = if given.is_some() { u64::MAX } else { 100 };
    let options = Options { fault: env::var(ABORT_VARIABLE).ok().map(abort_at), ..options(directory) };
    let embedded = Embedded::open(options).expect("what was left can be opened");
    let heads: Arc<Vec<AtomicU64>> = Arc::new((0..PLACES).map(|_| AtomicU64::default()).collect());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let tasks = stores(&embedded).into_iter().enumerate();
        let tasks: Vec<_> = tasks
            .map(|(place, store)| tokio::spawn(commit_on(store, place, Arc::clone(&heads), commits_max)))
            .collect();
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
}

/// Kills the process when a point is reached for the given time: `CheckpointWritten 3`.
fn abort_at(which: String) -> saga_store_embedded::FaultHook {
    let reached = AtomicUsize::new(0);
    Arc::new(move |point| {
        let (name, count) = which.split_once(' ').expect("a name and a number");
        if format!("{point:?}") == name
            && reached.fetch_add(1, Ordering::SeqCst) + 1 == count.parse().expect("a number")
        {
            std::process::abort();
        }
        Ok(())
    })
}

async fn commit_on(store: EmbeddedStore, place: usize, heads: Arc<Vec<AtomicU64>>, commits_max: u64) {
    let partition = partition_of(place);
    let (next_place, next_log) = neighbour(place);
    let first = store.load(partition, &[]).await.expect("the base is sound").head + 1;
    heads[place].store(first - 1, Ordering::SeqCst);
    for number in first..first.saturating_add(commits_max) {
        // Seen in memory, long before it is durable: the two commits must be lost or kept in this order.
        let position = heads[next_place].load(Ordering::SeqCst);
        let commit = commit(number, Cursor { log: next_log.clone(), position });
        let keys: Vec<_> = commit.writes.iter().map(|write| write.key.clone()).collect();
        store.load(partition, &keys).await.expect("the base is sound");
        let committed = store.commit(partition, commit).await.expect("nobody else commits");
        heads[place].store(committed.head, Ordering::SeqCst);
        if number % 4 == 0 {
            store.durability().wait(committed.position).await.expect("the disk works");
            println!("durable {place} {number}");
        }
    }
}

/// What a child said to be durable, by place.
#[derive(Debug, Default)]
struct Acknowledged([u64; PLACES]);

impl Acknowledged {
    fn note(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        if words.next() == Some("durable")
            && let (Some(Ok(place)), Some(Ok(number))) = (words.next().map(str::parse), words.next().map(str::parse))
        {
            let place: usize = place;
            self.0[place] = number;
        }
    }
}

fn start(directory: &Path, abort_at: Option<impl fmt::Display>) -> Child {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command
        .args(["--exact", "kill::child", "--ignored", "--nocapture"])
        .env(DIRECTORY_VARIABLE, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(point) = abort_at {
        command.env(ABORT_VARIABLE, point.to_string());
    }
    command.spawn().expect("a process")
}

/// Lets a child run, kills it after `time` unless it dies by itself, and notes what it said to be durable.
fn run_child(directory: &Path, abort_at: Option<String>, time: Duration, acknowledged: &mut Acknowledged) -> bool {
    let mut child = start(directory, abort_at);
    let output = child.stdout.take().expect("it is piped");
    let reader = thread::spawn(move || {
        // A line that the kill cut off does not end and does not count.
        BufReader::new(output).split(b'\n').map_while(Result::ok).collect::<Vec<_>>()
    });
    let mut died = false;
    for _ in 0..time.as_millis() {
        thread::sleep(Duration::from_millis(1));
        died = child.try_wait().expect("it is ours").is_some();
        if died {
            break;
        }
    }
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    let mut lines = reader.join().expect("no panic");
    lines.pop();
    for line in lines {
        acknowledged.note(&String::from_utf8_lossy(&line));
    }
    died
}

/// Opens what a child left and looks at all of it.
fn check(directory: &Path, acknowledged: &Acknowledged) {
    let embedded = Embedded::open(options(directory)).expect("what was left can be opened");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut heads = Vec::new();
        for (place, store) in stores(&embedded).into_iter().enumerate() {
            let head = check_place(&store, place).await;
            assert!(
                head >= acknowledged.0[place],
                "place {place} is at {head}, {} were durable",
                acknowledged.0[place]
            );
            heads.push(head);
        }
        for (place, store) in stores(&embedded).into_iter().enumerate() {
            let (next_place, next_log) = neighbour(place);
            let snapshot = store.load(partition_of(place), &[]).await.expect("the base is sound");
            let seen =
                snapshot.cursors.iter().find(|cursor| cursor.log == next_log).map_or(0, |cursor| cursor.position);
            assert!(
                seen <= heads[next_place],
                "{place} saw {seen} of {next_place}, of which {} are left",
                heads[next_place]
            );
        }
    });
}

async fn check_place(store: &EmbeddedStore, place: usize) -> u64 {
    let partition = partition_of(place);
    let head = store.load(partition, &[]).await.expect("the base is sound").head;
    let mut keys = vec![Bytes::from("count")];
    keys.extend((0..SLOTS).map(slot_key));
    keys.extend((head.saturating_sub(2 * LIFE) + 1..=head).map(passing_key));
    let snapshot = store.load(partition, &keys).await.expect("the base is sound");
    let mut expected = vec![(head > 0).then(|| Bytes::copy_from_slice(&head.to_le_bytes()))];
    expected.extend(slots(head));
    let living = |number: u64| (number + LIFE > head).then(|| value(number));
    expected.extend((head.saturating_sub(2 * LIFE) + 1..=head).map(living));
    assert_eq!(snapshot.records, expected, "place {place} at head {head}");
    assert_eq!(snapshot.log_end, head);
    let log = store.read_log(partition, 0, 100, Visibility::Durable).await.expect("the base is sound");
    let events: Vec<_> = log.into_iter().map(|entry| (entry.position, entry.event)).collect();
    let expected: Vec<_> = (head.saturating_sub(LIFE) + 1..=head).map(|number| (number, value(number))).collect();
    assert_eq!(events, expected, "place {place} at head {head}");
    head
}

#[test]
fn a_killed_process_loses_nothing_that_was_durable() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let mut acknowledged = Acknowledged::default();
    for round in 0..30_u64 {
        // Anything from before it has opened the database to a dozen checkpoints later.
        run_child(&data, None, Duration::from_millis(5 + round * 37 % 250), &mut acknowledged);
        check(&data, &acknowledged);
    }
    assert!(acknowledged.0.iter().all(|number| *number > 100), "the children did something: {acknowledged:?}");
}

#[test]
fn a_process_that_dies_at_any_stage_loses_nothing_that_was_durable() {
    let points = [
        FaultPoint::FrameWrite,
        FaultPoint::FrameSync,
        FaultPoint::SegmentPrepare,
        FaultPoint::CheckpointFrozen,
        FaultPoint::CheckpointWritten,
        FaultPoint::CheckpointInstalled,
        FaultPoint::CheckpointFinished,
        FaultPoint::Compaction,
    ];
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let mut acknowledged = Acknowledged::default();
    for time in [1, 3, 12] {
        for point in points {
            let abort_at = Some(format!("{point:?} {time}"));
            let died = run_child(&data, abort_at, Duration::from_secs(20), &mut acknowledged);
            assert!(died, "{point:?} was reached {time} times");
            check(&data, &acknowledged);
        }
    }
}
