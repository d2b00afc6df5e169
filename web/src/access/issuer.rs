//! Tokens that somebody else gave out: JSON Web Tokens (RFC 7519) of an OpenID Connect issuer, whose public keys are in a file (JWK set,
//! RFC 7517).
//!
//! ```text
//!  header ─▶ key of the set: its `kid`, and the algorithm that the key is for ─▶ signature ─▶ iss, aud, exp, nbf ─▶ Caller
//!             one of a secret's (HS256), or `none`: no key                                              scope, sub, the user's claim
//! ```
//!
//! The signature is checked by ring, which is here for TLS anyway. A token that was checked is known until it expires, or until the keys
//! are others.

use std::{
    collections::HashSet,
    fs,
    path::PathBuf,
    sync::{Arc, Once},
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, Validation,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    decode, decode_header,
    errors::{ErrorKind, Result as Checked},
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
    signature::{Error as Unsigned, Verifier},
};
use quick_cache::sync::Cache;
use ring::signature::{self as signatures, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::{Map, Value};
use smol_str::{SmolStr, ToSmolStr};

use crate::watched::Watched;

use super::{Caller, Scope, Scopes, Token, key_space};

#[cfg(test)]
mod tests;

/// How many tokens that were checked are known; each takes some hundred bytes.
const KNOWN_MAX: usize = 10_000;

/// By how many seconds the issuer's clock may differ.
const LEEWAY_SECONDS: u64 = 60;

/// The most characters of a name that are kept.
const SUBJECT_CHARS_MAX: usize = 128;

/// Whose tokens are believed, and what is read from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// What has to be in `iss`.
    pub issuer: String,
    /// What has to be in `aud`.
    pub audience: String,
    /// A file with the issuer's public keys, a JWK set. It is read again when it has changed.
    pub keys: PathBuf,
    /// The claim that names the only user for whom a token speaks. A token without it speaks for none: its scopes for orders and
    /// payment are worth nothing.
    pub user_claim: Option<String>,
}

/// Why an issuer's tokens cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("the issuer's keys in {} cannot be read: {cause}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no JWK set: {cause}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: serde_json::Error,
    },
    /// It has nothing that a signature could be checked with.
    #[error("{} has no public key for signatures that is understood here (RSA, P-256, P-384, Ed25519)", .0.display())]
    Empty(PathBuf),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Issuer {
    settings: IssuerSettings,
    keys: Watched<Keys, KeysError>,
    known: Cache<Token, Known>,
}

#[derive(Debug)]
struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Clone, Debug)]
struct Known {
    caller: Arc<Caller>,
    expires: u64,
    /// By which it was checked.
    keys: Arc<Keys>,
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: u64,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Issuer {
    pub(super) fn open(settings: IssuerSettings) -> Result<Self, KeysError> {
        static PROVIDER: Once = Once::new();
        // It fails only where somebody has chosen another one before, which is as good.
        PROVIDER.call_once(|| {
            let _ = RING.install_default();
        });
        let keys = Watched::open("the issuer's keys", vec![settings.keys.clone()], |files| {
            files.iter().try_fold(Keys(Vec::new()), |Keys(mut all), path| {
                all.extend(read(path)?);
                Ok(Keys(all))
            })
        })?;
        Ok(Self { settings, keys, known: Cache::new(KNOWN_MAX) })
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.keys.trouble()
    }

    /// Who has this token, or what is wrong with it.
    pub(super) fn find(&self, text: &[u8]) -> Result<Arc<Caller>, &'static str> {
        let (token, keys, now) = (Token::of(text), self.keys.current(), now());
        if let Some(known) = self.known.get(&token).filter(|known| Arc::ptr_eq(&known.keys, &keys)) {
            return if now < known.expires { Ok(known.caller) } else { Err("the token has expired") };
        }
        let claims = self.check(text, &keys)?;
        let expires = claims.exp.saturating_add(LEEWAY_SECONDS);
        let caller = Arc::new(self.caller(&claims));
        self.known.insert(token, Known { caller: Arc::clone(&caller), expires, keys });
        Ok(caller)
    }

    fn check(&self, text: &[u8], Keys(keys): &Keys) -> Result<Claims, &'static str> {
        let header = decode_header(text).map_err(|_| "the token is none that is known here, and no JSON Web Token")?;
        let mut fitting = keys.iter().filter(|key| header.kid.is_none() || header.kid == key.id);
        let Some(Key { algorithm, key, .. }) = fitting.next().filter(|_| header.kid.is_some() || keys.len() == 1)
        else {
            return Err("the token is signed with a key that is not known here");
        };
        // The key's own algorithm, whatever the token says: else whoever makes one would choose how it is checked.
        let mut validation = Validation::new(*algorithm);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        decode::<Claims>(text, key, &validation).map(|checked| checked.claims).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => "the token has expired",
            ErrorKind::ImmatureSignature => "the token is not valid yet",
            ErrorKind::InvalidIssuer => "the token is of another issuer",
            ErrorKind::InvalidAudience => "the token is for somebody else",
            ErrorKind::MissingRequiredClaim(_) => "the token lacks one of exp, iss and aud",
            _ => "the signature of the token is not right",
        })
    }

    fn caller(&self, claims: &Claims) -> Caller {
        let user = self.settings.user_claim.as_ref().map(|name| match claims.others.get(name) {
            Some(Value::String(user)) if !user.is_empty() => Some(SmolStr::new(user)),
            Some(Value::Number(user)) => Some(user.to_smolstr()),
            _ => None,
        });
        let is_allowed = |scope: &Scope| match &user {
            None => true,
            Some(Some(_)) => scope.may_be_bound(),
            Some(None) => !scope.concerns_users(),
        };
        let scopes: Scopes =
            words(&claims.others).iter().filter_map(|word| word.parse().ok()).filter(is_allowed).collect();
        let subject: String = claims.sub.iter().flat_map(|subject| subject.chars()).take(SUBJECT_CHARS_MAX).collect();
        let name = SmolStr::new(if subject.is_empty() { "somebody" } else { &subject });
        // All of the subject, and whose: two issuers may know two people by one.
        let keys = key_space(&format!("{}\n{}", self.settings.issuer, claims.sub.as_deref().unwrap_or_default()));
        Caller { name, scopes, user: user.flatten(), keys }
    }
}

/// The scopes of a token: `scope` has them with spaces in between (RFC 8693), `scp`, as some issuers call it, as a list too.
fn words(claims: &Map<String, Value>) -> HashSet<&str> {
    let named = ["scope", "scp"].into_iter().filter_map(|name| claims.get(name));
    named
        .flat_map(|value| match value {
            Value::String(text) => text.split_ascii_whitespace().collect(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        })
        .collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read(path: &PathBuf) -> Result<Vec<Key>, KeysError> {
    let text = fs::read(path).map_err(|cause| KeysError::Unreadable { path: path.clone(), cause })?;
    let set: JwkSet =
        serde_json::from_slice(&text).map_err(|cause| KeysError::Malformed { path: path.clone(), cause })?;
    let keys: Vec<Key> = set.keys.iter().filter_map(key).collect();
    if keys.is_empty() { Err(KeysError::Empty(path.clone())) } else { Ok(keys) }
}

/// A key for signatures, with the algorithm that it is for. What is for encryption, or a shared secret, is none.
fn key(jwk: &Jwk) -> Option<Key> {
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    let said = jwk.common.key_algorithm.and_then(|algorithm| algorithm.to_string().parse().ok());
    let fitting: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        _ => &[],
    };
    let algorithm = match said {
        Some(said) => *fitting.iter().find(|algorithm| **algorithm == said)?,
        None => *fitting.first()?,
    };
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
}

/// Checks signatures, and makes none.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

struct Signature {
    algorithm: Algorithm,
    key: DecodingKey,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Checked<Box<dyn JwtVerifier>> {
    Ok(Box::new(Signature { algorithm: *algorithm, key: key.clone() }))
}

impl JwtVerifier for Signature {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Signature {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Unsigned> {
        let wrong = |_| Unsigned::new();
        let plain: &'static dyn VerificationAlgorithm = match (self.algorithm, self.key.kind()) {
            (Algorithm::ES256, _) => &signatures::ECDSA_P256_SHA256_FIXED,
            (Algorithm::ES384, _) => &signatures::ECDSA_P384_SHA384_FIXED,
            (Algorithm::EdDSA, _) => &signatures::ED25519,
            (algorithm, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let rsa = match algorithm {
                    Algorithm::RS256 => &signatures::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RS384 => &signatures::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RS512 => &signatures::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::PS256 => &signatures::RSA_PSS_2048_8192_SHA256,
                    Algorithm::PS384 => &signatures::RSA_PSS_2048_8192_SHA384,
                    Algorithm::PS512 => &signatures::RSA_PSS_2048_8192_SHA512,
                    _ => return Err(Unsigned::new()),
                };
                return RsaPublicKeyComponents { n, e }.verify(rsa, message, signature).map_err(wrong);
            }
            _ => return Err(Unsigned::new()),
        };
        let bytes = self.key.try_get_as_bytes().map_err(|_| Unsigned::new())?;
        UnparsedPublicKey::new(plain, bytes).verify(message, signature).map_err(wrong)
    }
}
