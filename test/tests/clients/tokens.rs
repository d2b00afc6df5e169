//! Tokens of an issuer as somebody else makes them: PyJWT, with keys of every kind that is understood here.

use std::process::Command;

use hyper::Method;
use sagamart_black_box::{Fixture, Settings, Store};
use serde_json::Value;

use crate::python;

/// Prints a key set, and tokens with what is wrong with each.
const MAKE: &str = "
import json, time, jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
kinds = {
    'RS256': (rsa.generate_private_key(public_exponent=65537, key_size=2048), RSAAlgorithm),
    'RS512': (rsa.generate_private_key(public_exponent=65537, key_size=3072), RSAAlgorithm),
    'PS256': (rsa.generate_private_key(public_exponent=65537, key_size=2048), RSAAlgorithm),
    'ES256': (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    'ES384': (ec.generate_private_key(ec.SECP384R1()), ECAlgorithm),
    'EdDSA': (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
}
keys = []
for name, (key, kind) in kinds.items():
    keys.append({**json.loads(kind.to_jwk(key.public_key())), 'kid': name, 'use': 'sig', 'alg': name})
now = int(time.time())
good = {'iss': 'https://id.example', 'aud': 'shop', 'sub': 'anna', 'iat': now, 'exp': now + 600, 'scope': 'openid stock.read'}
tokens = [[jwt.encode(good, key, algorithm=name, headers={'kid': name}), 'good'] for name, (key, _) in kinds.items()]
key = kinds['ES256'][0]
def bad(what, headers={'kid': 'ES256'}, **changes):
    tokens.append([jwt.encode({**good, **changes}, key, algorithm='ES256', headers=headers), what])
bad('expired', exp=now - 600)
bad('early', nbf=now + 600)
bad('issuer', iss='https://id.example.evil')
bad('audience', aud=['shops'])
bad('kid', headers={'kid': 'RS256'})
# A secret that everybody knows: the public key itself.
public = key.public_key()
from cryptography.hazmat.primitives import serialization as s
text = public.public_bytes(s.Encoding.X962, s.PublicFormat.UncompressedPoint)
tokens.append([jwt.encode(good, text, algorithm='HS256', headers={'kid': 'ES256'}), 'confused'])
tokens.append([jwt.encode(good, None, algorithm='none', headers={'kid': 'ES256'}), 'unsigned'])
stranger = ec.generate_private_key(ec.SECP256R1())
tokens.append([jwt.encode(good, stranger, algorithm='ES256', headers={'kid': 'ES256'}), 'stranger'])
print(json.dumps({'set': {'keys': keys}, 'tokens': tokens}))
";

#[tokio::test]
async fn tokens_that_another_library_signed_let_in_whom_they_name_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(python::programs().join("python")).args(["-c", MAKE]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, made["set"].to_string()).unwrap();
    let keys = keys.display().to_string();
    let arguments = ["--oidc-issuer", "https://id.example", "--oidc-audience", "shop", "--oidc-keys", &keys];
    let arguments = arguments.map(str::to_owned).to_vec();
    let fixture = Fixture::with(Settings { store: Store::Memory, arguments, ..Settings::default() }).await;
    let tokens = made["tokens"].as_array().unwrap();
    assert_eq!(tokens.iter().filter(|token| token[1] == "good").count(), 6);
    for token in tokens {
        let (text, what) = (token[0].as_str().unwrap(), token[1].as_str().unwrap());
        let value = format!("Bearer {text}");
        let headers = [("authorization", value.as_str())];
        let found = fixture.shop.client.send(Method::GET, "/stock/find/nothing", &headers).await.unwrap();
        let made = fixture.shop.client.send(Method::POST, "/stock/item/create/1", &headers).await.unwrap();
        let expected = if what == "good" { (404, 403) } else { (401, 401) };
        assert_eq!((found.status, made.status), expected, "{what}: {text}: {}", found.text());
    }
}
