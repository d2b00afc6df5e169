use std::fs;

use proptest::prelude::*;

use super::*;

fn act(number: usize) -> Act {
    let request = Request::post(format!("/orders/{number}/cancel?by=a%22%7D")).body(axum::body::Body::empty()).unwrap();
    Act::asked(&request, Some("anna"))
}

/// A log with so many lines.
async fn log(path: &Path, lines: usize) {
    let log = AuditLog::open(path).unwrap();
    for number in 0..lines {
        log.append(act(number).answered(200)).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_goes_on_where_it_ended_and_one_process_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    log(&path, 3).await;
    log(&path, 2).await;
    let summary = verify(&path, None).unwrap();
    assert_eq!(summary.lines, 5);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with(&format!("\"hash\":\"{}\"}}\n", summary.head)), "{text}");
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["act"], "POST /orders/0/cancel?by=a%22%7D");
    let _open = AuditLog::open(&path).unwrap();
    assert!(matches!(AuditLog::open(&path), Err(Error::InUse(_))));
}

#[tokio::test]
async fn a_line_that_was_cut_off_with_its_process_is_removed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    log(&path, 2).await;
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"at\":\"S"].concat()).unwrap();
    assert!(matches!(verify(&path, None), Err(Error::Broken { line: 3, .. })));
    log(&path, 1).await;
    assert_eq!(verify(&path, None).unwrap().lines, 3);
    assert!(fs::read(&path).unwrap().starts_with(&whole));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_byte_can_be_changed_and_no_line_be_taken_out(at in any::<prop::sample::Index>(), by in 1_u8..=255, gone in 0_usize..4) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        runtime.block_on(log(&path, 5));
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        let at = at.index(changed.len());
        changed[at] = changed[at].wrapping_add(by);
        fs::write(&path, &changed).unwrap();
        prop_assert!(verify(&path, None).is_err() && AuditLog::open(&path).is_err() || at == whole.len() - 1);
        let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        let rest: Vec<_> = lines.iter().enumerate().filter(|(number, _)| *number != gone).map(|(_, line)| *line).collect();
        fs::write(&path, rest.concat()).unwrap();
        let broken = matches!(verify(&path, None), Err(Error::Broken { line, .. }) if line == gone as u64 + 1);
        prop_assert!(broken);
    }
}
