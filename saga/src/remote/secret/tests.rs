use super::*;

fn secrets(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

#[test]
fn a_proof_is_good_for_one_side_one_greeting_and_one_number() {
    let known = secrets(&["a secret of the shop"]);
    let (nonce, other) = (nonce().unwrap(), nonce().unwrap());
    let proof = prove(&known, Side::Caller, b"hello", &nonce);
    assert!(is_proven(&known, Side::Caller, b"hello", &nonce, &proof));
    assert!(!is_proven(&known, Side::Called, b"hello", &nonce, &proof), "it is not the other side's");
    assert!(!is_proven(&known, Side::Caller, b"hellO", &nonce, &proof));
    assert!(!is_proven(&known, Side::Caller, b"hello", &other, &proof));
    assert!(!is_proven(&secrets(&["a secret of a stranger"]), Side::Caller, b"hello", &nonce, &proof));
    for part in [&proof[..31], &[], &[proof.as_slice(), &[0]].concat()] {
        assert!(!is_proven(&known, Side::Caller, b"hello", &nonce, part), "{} bytes", part.len());
    }
    assert!(
        !is_proven(&known, Side::Caller, b"hell", &[b"o", nonce.as_slice()].concat(), &proof),
        "nor of another cut"
    );
}

#[test]
fn all_of_several_secrets_are_believed_and_the_first_is_shown() {
    let nonce = nonce().unwrap();
    let [old, both, new] =
        [&["the old secret ..."][..], &["the new secret ...", "the old secret ..."], &["the new secret ..."]]
            .map(secrets);
    let believes = |one: &[Vec<u8>], other: &[Vec<u8>]| {
        is_proven(one, Side::Called, b"hello", &nonce, &prove(other, Side::Called, b"hello", &nonce))
    };
    assert!(believes(&both, &old) && believes(&both, &both) && believes(&both, &new) && believes(&new, &both));
    assert!(!believes(&old, &new) && !believes(&new, &old));
}

#[test]
fn what_is_no_secret_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let secrets = Secrets::in_file(path.clone());
    assert!(secrets.read().is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
    for (content, wrong) in [("", "no secret"), ("\n \n", "no secret"), ("short\n", "16 characters")] {
        fs::write(&path, content).unwrap();
        assert!(secrets.read().is_err_and(|error| error.to_string().contains(wrong)), "{content:?}");
    }
    fs::write(&path, "  the first of them\r\n\nthe second of them").unwrap();
    assert_eq!(secrets.read().unwrap(), self::secrets(&["the first of them", "the second of them"]));
    assert_eq!(format!("{secrets:?}"), "Secrets", "it is not to be seen in a log");
}
