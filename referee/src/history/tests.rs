//! What was recorded is what is read, and what is no history is refused with its line.

use super::{build::preface, *};
use crate::{Error, Outcome};

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn preface_line() -> String {
    format!("{}\n", serde_json::to_string(&preface()).unwrap())
}

const ADDITION: &str = r#"{"op":"add_stock","client":0,"start":1,"end":2,"outcome":"succeeded","item":"0","amount":3}"#;

#[test]
fn a_history_comes_back_as_it_was_recorded() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let recorder = Recorder::create(file.path(), &preface()).unwrap();
    let mut scribes = [recorder.scribe(), recorder.scribe()];
    // More than a batch, and a rest.
    for number in 0..3_000_u64 {
        let scribe = &mut scribes[usize::try_from(number % 2).unwrap()];
        let amount = Some(number);
        scribe.record(Entry { item: Some("1".into()), amount, ..build::entry(Kind::AddStock, number, number + 1) });
    }
    let fault = Fault { fault: FaultKind::Killed, at: 5, target: "7".to_owned(), detail: "SIGKILL".to_owned() };
    scribes[0].fault(fault.clone());
    drop(scribes);
    let user = Final::User { user: "2".into(), credit: None };
    assert_eq!(recorder.finish([user]).unwrap(), 3_000);
    let history = read(file.path()).unwrap();
    assert_eq!(history.preface, preface());
    assert_eq!(history.faults, [fault]);
    let mut amounts: Vec<i64> = history
        .operations
        .iter()
        .map(|operation| match operation.action {
            Action::Change(Account::Item(1), amount) => amount,
            ref other => panic!("{other:?}"),
        })
        .collect();
    amounts.sort_unstable();
    assert_eq!(amounts, (0..3_000).collect::<Vec<_>>());
    assert_eq!(history.state.credit, [(2, None)].into());
    assert!(history.state.complete && !history.cut_off);
}

#[test]
fn a_last_line_may_be_cut_off_anywhere_and_no_other() {
    let whole = format!("{}{ADDITION}\n{ADDITION}", preface_line());
    let second_line = preface_line().len() + ADDITION.len() + 1;
    for cut in second_line..whole.len() {
        let history = read(file(&whole[..cut]).path()).unwrap();
        assert_eq!(history.operations.len(), 1, "cut at {cut}");
        assert_eq!(history.cut_off, cut > second_line, "cut at {cut}");
    }
    let torn = format!("{}{}\n{ADDITION}\n", preface_line(), &ADDITION[..30]);
    let error = read(file(&torn).path()).unwrap_err();
    assert!(matches!(error, Error::History { line: 2, .. }), "{error}");
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let with = |line: &str| format!("{}{line}\n", preface_line());
    for (text, line) in [
        (String::new(), 1),
        ("hello\n".to_owned(), 1),
        (preface_line().replacen("\"history\":1", "\"history\":2", 1), 1),
        (with("{}"), 2),
        (with(r#"{"op":"teleport"}"#), 2),
        (with(&ADDITION.replace(r#","amount":3"#, "")), 2),
        (with(&ADDITION.replace(r#","item":"0""#, "")), 2),
        (with(&ADDITION.replace(r#""end":2"#, r#""end":0"#)), 2),
        (with(&ADDITION.replace(r#""amount":3"#, r#""amount":99999999999999999999"#)), 2),
        (with(&ADDITION.replace(r#""amount":3"#, r#""amount":18446744073709551615"#)), 2),
        (with(r#"{"final":"planet"}"#), 2),
    ] {
        match read(file(&text).path()) {
            Err(Error::History { line: found, .. }) => assert_eq!(found, line, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn a_state_file_replaces_the_state_of_a_history() {
    let mut history = read(file(&format!("{}{ADDITION}\n", preface_line())).path()).unwrap();
    let state =
        file("{\"final\":\"item\",\"item\":\"0\",\"stock\":13,\"price\":1}\n{\"final\":\"end\",\"operations\":1}\n");
    read_state(state.path(), &mut history).unwrap();
    assert_eq!(history.state.stock, [(0, Some(13))].into());
    assert!(history.state.complete);
    let broken = file("{\"final\":\"item\"}\n");
    assert!(matches!(read_state(broken.path(), &mut history), Err(Error::History { line: 1, .. })));
}

#[test]
fn an_outcome_that_is_unknown_keeps_its_cause() {
    let text = format!(
        "{}{}\n",
        preface_line(),
        ADDITION.replace(r#""outcome":"succeeded""#, r#""outcome":"unknown","reason":"timed-out""#)
    );
    let history = read(file(&text).path()).unwrap();
    let operation = &history.operations[0];
    assert_eq!((operation.outcome, operation.reason.as_deref()), (Outcome::Unknown, Some("timed-out")));
}
