//! `/openapi.json`, held against the server by schemathesis.

use std::{fs, path::Path, process::Command};

use sagamart_black_box::{Fixture, Settings, Store, binary};

use crate::python;

/// How many random cases it makes for each route, besides those at the bounds of each parameter: some hundreds of requests.
const CASES: u32 = 5;

/// Has it try a server, with this added to its configuration.
async fn tried(fixture: &Fixture, more: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let configuration = fixture.data().join("schemathesis.toml");
    let ours = fs::read_to_string(folder.join("schemathesis.toml")).unwrap();
    fs::write(&configuration, format!("{more}\n{ours}")).unwrap();
    let mut command = Command::new(python::programs().join("schemathesis"));
    command.arg("--config-file").arg(configuration);
    command.args(["run", "--no-color", "--continue-on-failure", "--generation-deterministic", "--workers", "2"]);
    command.args(["--phases", "coverage,fuzzing,stateful", "--max-examples", &CASES.to_string()]);
    command.arg(format!("http://{}/openapi.json", fixture.server().address()));
    command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    command.current_dir(fixture.data());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("20 selected / 20 total"), "every operation was tried: {said}");
    assert!(!said.contains("authentication"), "it was let in: {said}");
}

/// Requests as the document describes them are taken, others are refused, and every answer is as it says.
#[tokio::test]
async fn the_server_does_what_its_document_says() {
    let fixture = Fixture::with(Settings { store: Store::Memory, ..Settings::default() }).await;
    tried(&fixture, "").await;
}

/// The same where everybody has to say who they are, and of each operation that nobody gets in without.
#[tokio::test]
async fn a_server_that_asks_who_one_is_does_what_its_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let mut command = Command::new(binary::path());
    let scopes = "orders.read,orders.write,stock.read,stock.write,payment.read,payment.write,bulk";
    command.args(["token", "schemathesis", "--scopes", scopes, "--file"]).arg(&file);
    let made = command.output().unwrap();
    let token = String::from_utf8(made.stdout).unwrap();
    let arguments = vec!["--tokens".to_owned(), file.display().to_string()];
    let fixture = Fixture::with(Settings { store: Store::Memory, arguments, ..Settings::default() }).await;
    tried(&fixture, &format!("[auth.openapi.token]\nbearer = \"{}\"", token.trim_end())).await;
}
