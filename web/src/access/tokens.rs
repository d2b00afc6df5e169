//! A file of tokens, of which it has the hashes alone: whoever reads it can ask for nothing.
//!
//! ```text
//! # name   scopes                                 SHA-256 of the token                     perhaps a user
//! till     orders.read,orders.write,stock.read    sha256:9f86d081884c7d659a2feaa0c55ad…
//! app-42   orders.write,payment.read              sha256:60303ae22b998861bce3b28f33eec…   user=42
//! ```

use std::{collections::HashMap, fmt, fs, io, path::PathBuf, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;

use crate::watched::Watched;

use super::{Caller, Scopes, key_space};

/// The most characters that the name of a caller has.
pub const NAME_CHARS_MAX: usize = 64;

/// What tokens begin with, so that tools that look for secrets in what is published find them.
const PREFIX: &str = "sagamart_";

/// As many random bytes as nobody guesses.
const BYTES: usize = 32;

/// A token, of which only the hash is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token([u8; 32]);

impl Token {
    /// A new one, and its text, which nobody is told a second time.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> io::Result<(Self, String)> {
        let mut bytes = [0_u8; BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        Ok((Self::of(text.as_bytes()), text))
    }

    /// The one with this text.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "the hash of a token is `sha256:` and 64 hexadecimal digits".to_owned();
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64).ok_or_else(wrong)?;
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
            *byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or_else(wrong)?;
        }
        Ok(Self(bytes))
    }
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the caller is called; several tokens may be one caller's.
    pub name: SmolStr,
    /// What it may do.
    pub scopes: Scopes,
    /// Which token is its.
    pub token: Token,
    /// The only user for whom it may speak.
    pub user: Option<SmolStr>,
}

impl Entry {
    /// Whether its parts fit together.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
        if !(1..=NAME_CHARS_MAX).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            return Err(format!("a name is 1 to {NAME_CHARS_MAX} letters, digits and any of - _ . @"));
        }
        let unbound = self.scopes.iter().find(|scope| self.user.is_some() && !scope.may_be_bound());
        unbound.map_or(Ok(()), |scope| Err(format!("{scope} is for no single user")))
    }

    fn caller(self) -> Caller {
        let Self { name, scopes, user, .. } = self;
        let keys = key_space(&name);
        Caller { name, scopes, user, keys }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.name, self.scopes, self.token)?;
        self.user.as_ref().map_or(Ok(()), |user| write!(formatter, " user={user}"))
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let wrong = || "a line is NAME SCOPES sha256:HASH, and perhaps user=ID".to_owned();
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next();
        let (Some(name), Some(scopes), Some(token)) = (word(), word(), word()) else { return Err(wrong()) };
        let user = match word() {
            Some(word) => Some(word.strip_prefix("user=").filter(|id| !id.is_empty()).ok_or_else(wrong)?.into()),
            None => None,
        };
        if word().is_some() {
            return Err(wrong());
        }
        let entry = Self { name: name.into(), scopes: scopes.parse()?, token: token.parse()?, user };
        entry.check().map(|()| entry)
    }
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the tokens in {} cannot be read: {cause}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It has something else than tokens.
    #[error("{}, line {line}: {what}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// Who has which token.
pub(super) type Callers = HashMap<Token, Arc<Caller>>;

/// See the module.
pub(super) type Tokens = Watched<Callers, Error>;

/// Reads the file with them.
pub(super) fn open(path: PathBuf) -> Result<Tokens, Error> {
    Watched::open("tokens", vec![path], |files| files.iter().try_fold(Callers::new(), read))
}

fn read(mut callers: Callers, path: &PathBuf) -> Result<Callers, Error> {
    let text = fs::read_to_string(path).map_err(|cause| Error::Unreadable { path: path.clone(), cause })?;
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let malformed = |what| Error::Malformed { path: path.clone(), line: number + 1, what };
        let entry: Entry = line.parse().map_err(malformed)?;
        let token = entry.token;
        if callers.insert(token, Arc::new(entry.caller())).is_some() {
            return Err(malformed("its token is another line's, too".to_owned()));
        }
    }
    Ok(callers)
}
