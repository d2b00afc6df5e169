//! Tokens that are signed here with a key of the set, or nearly so.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::json;

use super::*;

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A key of an issuer.
struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    fn jwk(&self, id: &str) -> Value {
        let point = self.pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..65]].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id, "x": x, "y": y})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.pair.sign(&self.random, message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "ES256", "kid": "one", "typ": "JWT"}), claims)
    }
}

fn issuer_of(folder: &Path, keys: &[Value], user_claim: Option<&str>) -> Result<Issuer, KeysError> {
    let file = folder.join("keys.json");
    fs::write(&file, json!({ "keys": keys }).to_string()).unwrap();
    Issuer::open(IssuerSettings {
        issuer: "https://id.example/".to_owned(),
        audience: "shop".to_owned(),
        keys: file,
        user_claim: user_claim.map(str::to_owned),
    })
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example/", "aud": ["other", "shop"], "sub": "anna", "exp": now() + 60,
        "scope": "openid orders.read orders.write stock.read admin.read",
    })
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

#[test]
fn a_token_of_the_issuer_is_its_subjects_with_the_scopes_that_are_known_here() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new());
    let issuer = issuer_of(folder.path(), &[signer.jwk("one")], None).unwrap();
    let caller = issuer.find(signer.token(&claims()).as_bytes()).unwrap();
    assert_eq!((caller.name.as_str(), caller.user.as_deref()), ("anna", None));
    assert_eq!(caller.scopes.to_string(), "orders.read,orders.write,stock.read,admin.read");
    let listed = changed("scp", json!(["bulk", 7, "none"]));
    assert!(issuer.find(signer.token(&listed).as_bytes()).unwrap().scopes.contains(Scope::Bulk));
    let nobody = issuer.find(signer.token(&changed("sub", Value::Null)).as_bytes()).unwrap();
    assert_eq!((nobody.name.as_str(), nobody.keys == caller.keys), ("somebody", false));
}

#[test]
fn who_is_bound_by_a_claim_speaks_for_that_user_and_who_lacks_it_for_none() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new());
    let issuer = issuer_of(folder.path(), &[signer.jwk("one")], Some("customer")).unwrap();
    for (value, user) in [(json!("42"), "42"), (json!(42), "42")] {
        let bound = issuer.find(signer.token(&changed("customer", value)).as_bytes()).unwrap();
        assert_eq!(
            (bound.user.as_deref(), &*bound.scopes.to_string()),
            (Some(user), "orders.read,orders.write,stock.read")
        );
    }
    for value in [Value::Null, json!(""), json!(["42"]), json!({"id": "42"}), json!(true)] {
        let unbound = issuer.find(signer.token(&changed("customer", value.clone())).as_bytes()).unwrap();
        assert_eq!((unbound.user.as_deref(), &*unbound.scopes.to_string()), (None, "stock.read,admin.read"), "{value}");
    }
}

#[test]
fn whatever_is_not_right_is_said_and_lets_nobody_in() {
    let (folder, signer, other) = (tempfile::tempdir().unwrap(), Signer::new(), Signer::new());
    let issuer = issuer_of(folder.path(), &[signer.jwk("one"), other.jwk("two")], None).unwrap();
    let of = |claims: &Value| signer.token(claims);
    let header = |header: Value| signer.sign(&header, &claims());
    let unsigned = format!("{}.{}.", encoded(&json!({"alg": "none", "kid": "one"})), encoded(&claims()));
    for (token, said) in [
        (of(&changed("iss", json!("https://evil.example/"))), "another issuer"),
        (of(&changed("iss", Value::Null)), "lacks one of"),
        (of(&changed("aud", json!("other"))), "for somebody else"),
        (of(&changed("aud", Value::Null)), "lacks one of"),
        (of(&changed("exp", json!(now() - 61))), "expired"),
        (of(&changed("nbf", json!(now() + 120))), "not valid yet"),
        (of(&changed("exp", json!("soon"))), "not right"),
        (header(json!({"alg": "ES256", "kid": "two"})), "not right"),
        (header(json!({"alg": "ES256", "kid": "three"})), "a key that is not known"),
        // Two keys might have made it.
        (header(json!({"alg": "ES256"})), "a key that is not known"),
        (header(json!({"alg": "HS256", "kid": "one"})), "not right"),
        (header(json!({"alg": "RS256", "kid": "one"})), "not right"),
        (unsigned, "no JSON Web Token"),
        ("no token".to_owned(), "no JSON Web Token"),
        (String::new(), "no JSON Web Token"),
        ("..".to_owned(), "no JSON Web Token"),
    ] {
        let error = issuer.find(token.as_bytes()).expect_err(&token);
        assert!(error.contains(said), "{token}: {error}");
    }
    // For some seconds clocks may differ.
    assert!(issuer.find(of(&changed("exp", json!(now() - 30))).as_bytes()).is_ok());
}

#[test]
fn a_token_is_known_no_longer_than_it_is_good_and_no_longer_than_its_key() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new());
    let issuer = issuer_of(folder.path(), &[signer.jwk("one")], None).unwrap();
    let short = signer.token(&changed("exp", json!(now() - LEEWAY_SECONDS + 2)));
    assert!(issuer.find(short.as_bytes()).is_ok());
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(issuer.find(short.as_bytes()), Err("the token has expired"));
    let token = signer.token(&claims());
    assert!(issuer.find(token.as_bytes()).is_ok());
    let next = Signer::new();
    fs::write(folder.path().join("keys.json"), json!({"keys": [next.jwk("one")]}).to_string()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(issuer.find(token.as_bytes()).is_err(), "its key was taken back");
    assert!(issuer.find(next.token(&claims()).as_bytes()).is_ok());
}

#[test]
fn a_set_without_a_key_for_signatures_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut encrypts = Signer::new().jwk("one");
    encrypts["use"] = json!("enc");
    let secret = json!({"kty": "oct", "kid": "one", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"});
    for keys in [&[] as &[Value], &[secret], &[encrypts]] {
        assert!(matches!(issuer_of(folder.path(), keys, None), Err(KeysError::Empty(_))), "{keys:?}");
    }
    let file = folder.path().join("keys.json");
    let settings = |keys| IssuerSettings { issuer: String::new(), audience: String::new(), keys, user_claim: None };
    fs::write(&file, "[]").unwrap();
    assert!(matches!(Issuer::open(settings(file)), Err(KeysError::Malformed { .. })));
    assert!(matches!(Issuer::open(settings(folder.path().join("none"))), Err(KeysError::Unreadable { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_change_of_a_token_lets_anybody_in(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9._=-]") {
        let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new());
        let issuer = issuer_of(folder.path(), &[signer.jwk("one")], None).unwrap();
        let token = signer.token(&claims());
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        // Of the last character of the signature, some bits say nothing.
        prop_assume!(changed != token && at + 1 < token.len());
        prop_assert!(issuer.find(changed.as_bytes()).is_err());
    }

    #[test]
    fn no_bytes_are_more_than_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new());
        let issuer = issuer_of(folder.path(), &[signer.jwk("one")], None).unwrap();
        prop_assert!(issuer.find(&bytes).is_err());
    }
}
