//! What lines, headers and files are taken for.

use std::{fs, thread, time::Duration};

use axum::http::HeaderValue;
use proptest::prelude::*;

use super::*;

const HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn a_line_is_a_name_scopes_and_the_hash_of_a_token() {
    assert_eq!(Token::of(b"test").to_string(), HASH);
    for line in [
        format!("till orders.read,stock.write {HASH}"),
        format!("a-b_c.d@e payment.write {HASH} user=42"),
        format!("ops bulk,admin.read,admin.repair {HASH}"),
    ] {
        assert_eq!(line.parse::<Entry>().map(|entry| entry.to_string()), Ok(line));
    }
    let shouted = format!("till orders.read sha256:{}", HASH.trim_start_matches("sha256:").to_uppercase());
    assert_eq!(shouted.parse::<Entry>().unwrap().token, Token::of(b"test"));
    for (line, said) in [
        (String::new(), "a line is"),
        ("till orders.read".to_owned(), "a line is"),
        (format!("till orders.read {HASH} 42"), "a line is"),
        (format!("till orders.read {HASH} user="), "a line is"),
        (format!("till orders.read {HASH} user=42 more"), "a line is"),
        (format!("till orders.reed {HASH}"), "no scope \"orders.reed\""),
        (format!("till orders.read, {HASH}"), "no scope \"\""),
        (format!("till orders.read {}", &HASH[..70]), "64 hexadecimal digits"),
        (format!("till orders.read sha256:{}", "+1".repeat(32)), "64 hexadecimal digits"),
        (format!("till orders.read md5:{}", &HASH[7..]), "64 hexadecimal digits"),
        (format!("t:ll orders.read {HASH}"), "a name is"),
        (format!("{} orders.read {HASH}", "n".repeat(65)), "a name is"),
        (format!("till orders.read,bulk {HASH} user=42"), "bulk is for no single user"),
        (format!("till admin.read {HASH} user=42"), "admin.read is for no single user"),
        (format!("till admin.repair {HASH} user=42"), "admin.repair is for no single user"),
    ] {
        let error = line.parse::<Entry>().expect_err(&line);
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn each_scope_is_one_of_its_own() {
    for scope in Scope::ALL {
        let alone: Scopes = scope.name().parse().unwrap();
        for other in Scope::ALL {
            assert_eq!(alone.contains(other), scope == other, "{scope} {other}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_is_more_than_an_error(text in "\\PC{0,100}") {
        let _ = text.parse::<Entry>();
        let _ = token_in(text.as_bytes());
    }

    #[test]
    fn what_was_written_is_read(bits in 1_u16..64, name in "[a-z0-9_.@-]{1,64}", user in proptest::option::of("[A-Za-z0-9_-]{1,20}")) {
        let scopes: Scopes = Scope::ALL.into_iter().filter(|scope| bits & (1 << *scope as u16) != 0).collect();
        let (token, text) = Token::random().unwrap();
        let entry = Entry { name: name.into(), scopes, token, user: user.map(SmolStr::from) };
        prop_assert_eq!(entry.to_string().parse::<Entry>(), Ok(entry));
        prop_assert_eq!(token_in(format!("Bearer {text}").as_bytes()), Some(text.into_bytes()));
    }
}

#[test]
fn a_header_has_a_token_or_a_password_that_is_one() {
    let token = Some("test");
    for (header, found) in [
        ("Bearer test", token),
        ("bearer  test ", token),
        // "anybody:test", ":test", "a:b:test"; "test" has no colon.
        ("Basic YW55Ym9keTp0ZXN0", token),
        ("BASIC OnRlc3Q=", token),
        ("Basic YTpiOnRlc3Q=", Some("b:test")),
        ("Basic dGVzdA==", None),
        ("Basic ?", None),
        ("Digest test", None),
        ("Bearer", None),
        ("test", None),
        ("", None),
    ] {
        assert_eq!(token_in(header.as_bytes()).as_deref(), found.map(str::as_bytes), "{header:?}");
    }
}

fn headers(values: &[&'static str]) -> HeaderMap {
    values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value))).collect()
}

fn detail(access: &Access, values: &[&'static str]) -> String {
    let problem = access.caller(&headers(values)).unwrap_err();
    assert_eq!(problem.kind().slug(), "unauthenticated");
    problem.detail().to_owned()
}

/// Longer than a change goes unnoticed.
fn a_while() {
    thread::sleep(Duration::from_millis(1100));
}

#[test]
fn the_file_is_read_again_and_a_slip_in_it_shuts_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let open = || Access::open(AccessSettings { tokens: Some(file.clone()), ..AccessSettings::default() });
    assert!(open().unwrap_err().to_string().contains("cannot be read"));
    fs::write(&file, format!("# people\n\n  till orders.read {HASH}\ntill nothing {HASH}\n")).unwrap();
    assert!(open().unwrap_err().to_string().contains("tokens, line 4: there is no scope"));
    fs::write(&file, format!("a orders.read {HASH}\nb orders.read {HASH}\n")).unwrap();
    assert!(open().unwrap_err().to_string().contains("line 2: its token is another line's"));

    fs::write(&file, format!("till orders.read {HASH}\n")).unwrap();
    let access = open().unwrap();
    let caller = access.caller(&headers(&["Bearer test"])).unwrap();
    assert_eq!((caller.name.as_str(), caller.user.as_deref()), ("till", None));
    assert!(detail(&access, &[]).contains("no Authorization"));
    assert!(detail(&access, &["Bearer test", "Bearer test"]).contains("more than once"));
    assert!(detail(&access, &["Digest test"]).contains("none of"));
    assert!(detail(&access, &["Bearer Test"]).contains("not known"));

    fs::write(&file, "till orders").unwrap();
    a_while();
    assert!(access.trouble().unwrap().contains("line 1: a line is"), "{:?}", access.trouble());
    assert!(access.caller(&headers(&["Bearer test"])).is_ok(), "what was known before still is");
    fs::write(&file, "# nobody\n").unwrap();
    a_while();
    assert!(detail(&access, &["Bearer test"]).contains("not known"));
    assert_eq!(access.trouble(), None);
    fs::write(&file, format!("till orders.read {HASH}\n")).unwrap();
    a_while();
    assert!(access.caller(&headers(&["Bearer test"])).is_ok());
}

#[test]
fn one_callers_keys_are_not_anothers() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let line = |name: &str, token: &str| format!("{name} orders.read {}\n", Token::of(token.as_bytes()));
    fs::write(&file, [line("a", "1"), line("a", "2"), line("b", "3")].concat()).unwrap();
    let access = Access::open(AccessSettings { tokens: Some(file), ..AccessSettings::default() }).unwrap();
    let prefix = |header| access.caller(&headers(&[header])).unwrap().keys.clone();
    let [one, again, other] = [prefix("Bearer 1"), prefix("Bearer 2"), prefix("Bearer 3")];
    assert!(one == again && one != other && one.0.len() == 13, "{one:?} {again:?} {other:?}");
}
