//! `sagamart bench` measures a server that runs, counts every answer, and its audit believes nobody.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use sagamart_black_box::{Fixture, Settings, binary};
use serde_json::Value;

/// A bench against the fixture's server that takes about a second.
fn bench(fixture: &Fixture, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary::path());
    command
        .args(["bench", "--overwrite", "--url", &format!("http://{}", fixture.server().address())])
        .args(["--warm-up-seconds", "0", "--items", "50", "--users", "50"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn run(mut command: Command) -> Output {
    let outcome = tokio::task::spawn_blocking(move || command.output()).await.expect("the bench is waited for");
    outcome.expect("the bench runs")
}

fn report(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the report was written");
    serde_json::from_str(&text).expect("the report is JSON")
}

fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {report}"))
}

#[tokio::test]
async fn a_closed_loop_counts_what_the_shop_then_shows() {
    let fixture = Fixture::new().await;
    let file = fixture.data().with_extension("report.json");
    let path = file.to_string_lossy().into_owned();
    let arguments = ["--seconds", "1", "--orders", "400", "--connections", "8", "--price", "3", "--json", &path];
    let output = run(bench(&fixture, &arguments)).await;
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for word in ["throughput", "p50", "p99.9", "succeeded", "refused", "unknown", "audit: clean"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let report = report(&file);
    std::fs::remove_file(&file).expect("the report can be removed");
    let succeeded = number(&report, "/checkouts/outcomes/succeeded");
    // What this test counts by itself.
    let shop = &fixture.shop;
    let (mut paid, mut credit, mut stock) = (0, 0, 0);
    for order in 0..400 {
        paid += u64::from(shop.order(&order.to_string()).await.paid);
    }
    for id in 0..50 {
        credit += shop.credit(&id.to_string()).await;
        stock += shop.stock(&id.to_string()).await;
    }
    assert!(succeeded > 0 && paid == succeeded, "{paid} orders are paid, {succeeded} were counted");
    assert_eq!(number(&report, "/audit/orders_paid"), paid);
    assert_eq!(number(&report, "/audit/credit/before") - credit, 2 * 3 * paid);
    assert_eq!(number(&report, "/audit/stock/before") - stock, 2 * paid);
}

#[tokio::test]
async fn an_open_loop_sends_at_its_rate_and_refusals_are_counted_by_reason() {
    let fixture = Fixture::new().await;
    let file = fixture.data().with_extension("report.json");
    let path = file.to_string_lossy().into_owned();
    // Credit for some of the orders only.
    let arguments = ["--seconds", "1", "--rate", "200", "--credit", "4", "--json", &path];
    let output = run(bench(&fixture, &arguments)).await;
    assert!(output.status.success(), "{output:?}");
    let report = report(&file);
    std::fs::remove_file(&file).expect("the report can be removed");
    let refused = report.pointer("/checkouts/outcomes/refused").and_then(Value::as_object).expect("refusals by reason");
    assert_eq!(refused.keys().collect::<Vec<_>>(), ["not-enough-credit"], "{report}");
    let refusals: u64 = refused.values().filter_map(Value::as_u64).sum();
    let succeeded = number(&report, "/checkouts/outcomes/succeeded");
    // Fifty users, each of whom can pay two orders.
    assert!((1..=100).contains(&succeeded), "{report}");
    assert!((1..=210).contains(&(succeeded + refusals)), "200 were due: {report}");
}

#[tokio::test]
async fn the_audit_finds_a_unit_that_no_order_took() {
    let fixture = Fixture::new().await;
    let arguments = ["--seconds", "2", "--orders", "20000", "--connections", "2"];
    let mut command = bench(&fixture, &arguments);
    let running = tokio::spawn(run({
        command.env("NO_COLOR", "1");
        command
    }));
    // Once the measurement runs, its data is complete.
    let paid = async {
        loop {
            let answer = fixture.shop.client.get("/orders/find/0").await;
            if answer.text().contains("\"paid\":true") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), paid).await.expect("the measurement begins");
    fixture.shop.succeed("/stock/subtract/7/1").await;
    let output = running.await.expect("the bench is waited for");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("item 7") || shown.contains("item \"7\""), "the item is named: {shown}");
}

#[tokio::test]
async fn a_shop_that_is_not_there_is_said_to_be_so() {
    let mut fixture = Fixture::new().await;
    let command = bench(&fixture, &["--seconds", "1", "--orders", "10"]);
    fixture.kill();
    let output = run(command).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("http://127.0.0.1:"), "{output:?}");
}

/// The fixture's server behind an encrypted port, and the certificate that vouches for it.
async fn encrypted(fixture: &Fixture) -> (u16, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the usual versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .expect("a key that fits");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let shop = fixture.server().address();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate ends it here.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut shop = tokio::net::TcpStream::connect(shop).await.expect("the shop listens");
                drop(tokio::io::copy_bidirectional(&mut stream, &mut shop).await);
            });
        }
    });
    (port, certified.cert.pem())
}

#[tokio::test]
async fn a_shop_behind_an_encrypted_port_is_measured_if_its_certificate_is_trusted() {
    let fixture = Fixture::new().await;
    let (port, certificate) = encrypted(&fixture).await;
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = directory.path().join("trusted.pem");
    std::fs::write(&trusted, certificate).expect("written");
    let bench = |trusted: Option<&Path>| {
        let mut command = Command::new(binary::path());
        command.args(["bench", "--overwrite", "--url", &format!("https://localhost:{port}"), "--orders", "50"]);
        command.args(["--warm-up-seconds", "0", "--items", "50", "--users", "50", "--seconds", "10"]);
        if let Some(trusted) = trusted {
            command.env("SSL_CERT_FILE", trusted);
        }
        command
    };
    let output = run(bench(Some(&trusted))).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("audit: clean: 50 paid orders"), "{output:?}");
    // Without it the system's own authorities decide, which do not know this one, or there are none.
    let output = run(bench(None)).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.to_lowercase().contains("certificate"), "{said}");
}

#[tokio::test]
async fn a_shop_that_asks_who_one_is_is_measured_with_a_token() {
    let folder = tempfile::tempdir().expect("a directory");
    let [tokens, mine] = ["tokens", "mine"].map(|name| folder.path().join(name));
    let mut command = Command::new(binary::path());
    let scopes = "orders.read,orders.write,stock.read,payment.read,bulk";
    let made = command.args(["token", "bench", "--scopes", scopes, "--file"]).arg(&tokens).output().expect("it runs");
    std::fs::write(&mine, made.stdout).expect("it can be written");
    let arguments = vec!["--tokens".to_owned(), tokens.display().to_string()];
    let fixture = Fixture::with(Settings { arguments, ..Settings::default() }).await;
    let arguments = ["--seconds", "1", "--orders", "200", "--connections", "4"];
    let nobody = run(bench(&fixture, &arguments)).await;
    assert!(!nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains("401"), "{nobody:?}");
    let mut known = bench(&fixture, &arguments);
    known.env("SAGAMART_TOKEN_FILE", &mine);
    let output = run(known).await;
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("audit: clean"), "{output:?}");
}
