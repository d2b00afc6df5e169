//! Structured logs in which text from outside cannot pass for anything but text.
//!
//! Whatever a client sent may end up in a field. Line breaks would let it forge a line, control characters drive the
//! terminal of whoever reads the log, and characters that reorder or hide text deceive the reader. So every character
//! that is not plainly printable is written as an escape, in both formats.

use std::{
    env, fmt,
    io::{self, IsTerminal, Write},
    str,
};

use tracing::Subscriber;
use tracing_subscriber::{
    field::RecordFields,
    filter::{LevelFilter, ParseError, Targets},
    fmt::{
        FormatFields, MakeWriter,
        format::{DefaultFields, Writer},
    },
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

#[cfg(test)]
pub(crate) mod tests;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: one line per event, with colours where it goes to a terminal and `NO_COLOR` is not set.
    #[default]
    Human,
    /// For machines: one JSON object per line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter does not parse.
    #[error("`{filter}` is not a log filter: {cause}")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        cause: ParseError,
    },
    /// Something in this process writes logs already.
    #[error("logs were initialized before")]
    AlreadyInitialized,
}

/// Writes this process's logs to standard error from now on.
///
/// `filter` names what is logged in the syntax of [`Targets`], for example `info` or `info,web::access=debug`; the latter
/// adds a line for every request.
///
/// # Errors
/// [`Error::Filter`], [`Error::AlreadyInitialized`].
pub fn init(format: Format, filter: &str) -> Result<(), Error> {
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Also takes in what libraries write with the `log` crate.
    let initialized = subscriber(format, filter, colours, io::stderr)?.try_init();
    initialized.map_err(|_| Error::AlreadyInitialized)
}

fn subscriber<W>(
    format: Format,
    filter: &str,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, Error>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let targets = targets(filter).map_err(|cause| Error::Filter { filter: filter.to_owned(), cause })?;
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
    Ok(match format {
        Format::Human => {
            let builder = builder.with_ansi(colours).fmt_fields(PrintableFields::default());
            Box::new(builder.with_writer(writer).finish().with(targets))
        }
        Format::Json => Box::new(builder.json().with_writer(PrintableJson(writer)).finish().with(targets)),
    })
}

/// A comma too many is nobody's filter.
fn targets(filter: &str) -> Result<Targets, ParseError> {
    let parts: Vec<&str> = filter.split(',').filter(|part| !part.is_empty()).collect();
    parts.join(",").parse()
}

/// Whether a character may be written as it is. Those that [`char::escape_debug`] escapes are control and format
/// characters, separators of lines, marks that attach themselves to others, and what has no meaning.
fn is_plain(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1
}

/// Formats fields as tracing-subscriber does, then escapes what is not printable. All that events and spans carry
/// passes here; around it the line has only names from the source.
#[derive(Debug, Default)]
struct PrintableFields {
    fields: DefaultFields,
}

impl<'writer> FormatFields<'writer> for PrintableFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::new();
        self.fields.format_fields(Writer::new(&mut text), fields)?;
        for part in text.split_inclusive(|character| !is_plain(character)) {
            let mut characters = part.chars();
            match characters.next_back() {
                Some(last) if !is_plain(last) => write!(writer, "{}{}", characters.as_str(), last.escape_debug())?,
                _ => writer.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// Escapes in finished lines of JSON what JSON itself would let through. Outside its strings there is only ASCII.
#[derive(Debug)]
struct PrintableJson<W>(W);

impl<'writer, W: MakeWriter<'writer>> MakeWriter<'writer> for PrintableJson<W> {
    type Writer = PrintableJson<W::Writer>;

    fn make_writer(&'writer self) -> Self::Writer {
        PrintableJson(self.0.make_writer())
    }
}

impl<W: Write> Write for PrintableJson<W> {
    /// Takes `line` whole; the subscriber writes each line with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(line).map_err(io::Error::other)?;
        match text.chars().all(is_plain_in_json) {
            true => self.0.write_all(line)?,
            false => self.0.write_all(escaped_for_json(text).as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The end of the line is the only character that is both unprintable and raw in what JSON's own escaping left.
fn is_plain_in_json(character: char) -> bool {
    character == '\n' || is_plain(character)
}

fn escaped_for_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_plain_in_json(character) {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            escaped.push_str(&format!("\\u{unit:04x}"));
        }
    }
    escaped
}
