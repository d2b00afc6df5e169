//! How two processes show each other that they know a secret, without saying it (ISO/IEC 9798-4, mutual authentication by a
//! keyed hash over both sides' random numbers).
//!
//! ```text
//!  caller                                                    called
//!    Hello { …, nonce } ────────────────────────────────────▶
//!    ◀── Challenge { nonce, proof: HMAC(secret, "called" Hello nonce) }
//!    Proof { HMAC(secret, "caller" Hello nonce) } ──────────▶
//!    ◀─────────────────────────────────── Welcome, or Refused
//! ```
//!
//! Each proof is over all of the greeting and both numbers, so that one that was overheard serves nobody again, and one side's is
//! of no use to the other. What comes after it is neither encrypted nor signed: who can change what is on its way needs
//! TLS to be kept out.

use std::{fmt, fs, io, path::PathBuf, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

#[cfg(test)]
mod tests;

/// Bytes of a random number, and of a proof.
pub(crate) const BYTES: usize = 32;

/// The shortest secret that is taken for one.
const SECRET_BYTES_MIN: usize = 16;

/// The secret of a shop, which each of its processes is given. It is read anew for every connection, so that it can be replaced
/// while they run: all of several are believed, and the first is shown. So everybody is given the new one as the second, then it becomes
/// the first, and then the old one goes.
#[derive(Clone)]
pub struct Secrets(Arc<dyn Fn() -> io::Result<Vec<Vec<u8>>> + Send + Sync>);

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets")
    }
}

/// Who proves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Caller,
    Called,
}

impl Secrets {
    /// Whatever `read` says, the own one first.
    #[must_use]
    pub fn new(read: impl Fn() -> io::Result<Vec<Vec<u8>>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The lines of a file.
    #[must_use]
    pub fn in_file(path: PathBuf) -> Self {
        Self::new(move || {
            let content = fs::read(&path)?;
            let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            Ok(lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
        })
    }

    /// Those that there are now: one at least.
    ///
    /// # Errors
    /// When they cannot be read, there is none, or one is too short to be a secret.
    pub fn read(&self) -> io::Result<Vec<Vec<u8>>> {
        let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let secrets = (self.0)()?;
        if secrets.is_empty() {
            return wrong("there is no secret".to_owned());
        }
        if secrets.iter().any(|secret| secret.len() < SECRET_BYTES_MIN) {
            return wrong(format!("a secret has {SECRET_BYTES_MIN} characters at least, or it can be guessed"));
        }
        Ok(secrets)
    }
}

/// A number that nobody can tell in advance.
pub(crate) fn nonce() -> io::Result<Vec<u8>> {
    let mut nonce = vec![0; BYTES];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}

/// Why no peer can be shown, or asked for, the secret.
pub(crate) fn unreadable(error: io::Error) -> io::Error {
    io::Error::other(format!("the secret for peers cannot be read: {error}"))
}

fn mac(secret: &[u8], side: Side, hello: &[u8], nonce: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(match side {
        Side::Caller => b"caller",
        Side::Called => b"called",
    });
    // Both labels and all numbers are of one length, and the greeting is in between: nothing can be read in two ways.
    mac.update(hello);
    mac.update(nonce);
    mac
}

/// Shows that this side knows the secret. `hello` is all of the greeting as it was sent, `nonce` the called side's number.
pub(crate) fn prove(secrets: &[Vec<u8>], side: Side, hello: &[u8], nonce: &[u8]) -> Vec<u8> {
    let own = secrets.first().expect("there is one at least");
    mac(own, side, hello, nonce).finalize().into_bytes().to_vec()
}

/// Whether the other side has shown that it knows one of the secrets. Takes as long whatever is wrong with a proof.
pub(crate) fn is_proven(secrets: &[Vec<u8>], side: Side, hello: &[u8], nonce: &[u8], proof: &[u8]) -> bool {
    nonce.len() == BYTES && secrets.iter().any(|secret| mac(secret, side, hello, nonce).verify_slice(proof).is_ok())
}
