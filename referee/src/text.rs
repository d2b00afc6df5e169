//! What comes from a server or a file, made safe for a terminal.

/// How much of it is quoted.
const QUOTE_CHARACTERS_MAX: usize = 200;

/// The start of what a server said, made safe for a terminal.
#[must_use]
pub fn quote(body: &[u8]) -> String {
    String::from_utf8_lossy(body)
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(QUOTE_CHARACTERS_MAX)
        .collect()
}
