//! `/openapi.json`, held against the server by schemathesis.

use std::{path::Path, process::Command};

use sagamart_black_box::{Fixture, Settings, Store};

use crate::python;

/// How many random cases it makes for each route, besides those at the bounds of each parameter: some hundreds of requests.
const CASES: u32 = 5;

/// Requests as the document describes them are taken, others are refused, and every answer is as it says.
#[tokio::test]
async fn the_server_does_what_its_document_says() {
    let fixture = Fixture::with(Settings { store: Store::Memory, ..Settings::default() }).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let mut command = Command::new(python::programs().join("schemathesis"));
    command.arg("--config-file").arg(folder.join("schemathesis.toml"));
    command.args(["run", "--no-color", "--continue-on-failure", "--generation-deterministic", "--workers", "2"]);
    command.args(["--phases", "coverage,fuzzing,stateful", "--max-examples", &CASES.to_string()]);
    command.arg(format!("http://{}/openapi.json", fixture.server().address()));
    command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    command.current_dir(fixture.data());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("21 selected / 21 total"), "every operation was tried: {said}");
}
