use std::{
    io,
    sync::{Arc, Mutex},
};

use proptest::{prelude::any, prop_assert, prop_assert_eq, proptest};
use serde_json::Value;
use tracing::subscriber::with_default;
use tracing_subscriber::fmt::MakeWriter;

use super::{Error, Format, init, is_plain, subscriber};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'writer> MakeWriter<'writer> for Lines {
    type Writer = Self;

    fn make_writer(&'writer self) -> Self {
        self.clone()
    }
}

pub(crate) fn logged(format: Format, filter: &str, log: impl FnOnce()) -> String {
    let lines = Lines::default();
    with_default(subscriber(format, filter, false, lines.clone()).unwrap(), log);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// What an attacker would send: line breaks of all kinds, terminal sequences (7 and 8 bit), text direction, hidden
/// characters, a second JSON object, and one character beyond the basic plane.
const HOSTILE: [&str; 10] = [
    "a\n2099-01-01T00:00:00Z ERROR forged: line",
    "a\r\nforged",
    "a\u{85}b\u{2028}c\u{2029}d\u{b}e\u{c}f",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{9b}31m\u{7f}\u{0}",
    "\u{202e}desrever\u{2066}\u{200f}",
    "hid\u{200b}den\u{feff}\u{ad}",
    "\"}\n{\"level\":\"ERROR\",\"fields\":{\"message\":\"forged\"}}",
    "tag\u{e0041}",
    "\\n\\u000a",
];

fn log_everywhere(text: &str) {
    let error = io::Error::other(text.to_owned());
    let span = tracing::info_span!("span", in_span = text, late = tracing::field::Empty);
    let _entered = span.enter();
    span.record("late", text);
    tracing::info!(
        string = text,
        debug = ?text,
        display = %text,
        error = &error as &(dyn std::error::Error + 'static),
        "message {text}"
    );
}

fn assert_printable(line: &str) {
    for character in line.chars() {
        assert!(
            character == ' ' || character.is_ascii_graphic() || character.is_alphanumeric(),
            "{character:?} in {line:?}"
        );
    }
}

#[test]
fn no_text_makes_a_second_line_or_a_raw_control_character() {
    for format in [Format::Human, Format::Json] {
        for text in HOSTILE {
            let output = logged(format, "info", || log_everywhere(text));
            let line = output.strip_suffix('\n').expect("a line ends");
            assert_printable(line);
            assert!(!line.contains('\n'));
        }
    }
}

proptest! {
    #[test]
    fn no_text_at_all_does_and_json_keeps_every_one(text in any::<String>()) {
        for format in [Format::Human, Format::Json] {
            let output = logged(format, "info", || log_everywhere(&text));
            let line = output.strip_suffix('\n').expect("a line ends");
            prop_assert!(line.chars().all(is_plain), "{:?}", line);
        }
        let line: Value = serde_json::from_str(&logged(Format::Json, "info", || log_everywhere(&text))).unwrap();
        prop_assert_eq!(&line["fields"]["display"], &text);
    }
}

#[test]
fn json_lines_carry_the_text_unchanged_for_whoever_parses_them() {
    for text in HOSTILE {
        let output = logged(Format::Json, "info", || log_everywhere(text));
        let line: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["fields"]["string"], text);
        assert_eq!(line["fields"]["display"], text);
        assert_eq!(line["fields"]["message"], format!("message {text}"));
        assert_eq!(line["span"]["in_span"], text);
        assert_eq!(line["span"]["late"], text);
    }
}

#[test]
fn human_lines_show_plain_text_as_it_is_and_quote_strings() {
    let output = logged(Format::Human, "info", || {
        tracing::info!(item = "it's \"blue\" ü", count = 3, "reserved for Zoë");
    });
    assert!(output.ends_with("reserved for Zoë item=\"it's \\\"blue\\\" ü\" count=3\n"), "{output}");
}

#[test]
fn colours_are_for_what_comes_from_the_source_alone() {
    let lines = Lines::default();
    with_default(subscriber(Format::Human, "info", true, lines.clone()).unwrap(), || {
        tracing::info!(text = "\u{1b}[31mred", "\u{1b}[32mgreen");
    });
    let output = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(output.contains("\u{1b}[32m INFO"), "the level has its colour: {output:?}");
    assert!(!output.contains("\u{1b}[31m"), "{output:?}");
    assert!(!output.contains("\u{1b}[32mgreen"), "{output:?}");
}

#[test]
fn the_filter_decides_what_is_logged() {
    let log = || {
        tracing::debug!(target: "web::access", "request");
        tracing::debug!("other");
    };
    assert_eq!(logged(Format::Human, "info", log), "");
    for filter in
        ["info,web::access=debug", "debug,web=info,web::access=debug,web::logs=warn,", "web=off,web::access=trace"]
    {
        assert_eq!(logged(Format::Human, filter, log).lines().count(), 1, "{filter}");
    }
}

#[test]
fn a_filter_that_does_not_parse_is_named_in_the_error() {
    let error = subscriber(Format::Human, "info,web=loud", false, Lines::default()).err().expect("an error");
    assert!(matches!(error, Error::Filter { .. }));
    assert!(error.to_string().contains("info,web=loud"));
}

#[test]
fn logs_are_initialized_once() {
    init(Format::Json, "off").unwrap();
    assert!(matches!(init(Format::Human, "off"), Err(Error::AlreadyInitialized)));
}
