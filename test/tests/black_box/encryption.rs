//! Listeners that encrypt, asked by curl and by the shop's own commands.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use sagamart_black_box::{Server, Settings, binary};
use tempfile::TempDir;
use test_servers::{Certificates, Process, free_port};

use crate::history::until;

/// A shop whose listeners encrypt, with a certificate that can be replaced.
struct Encrypted {
    process: Process,
    public: String,
    admin: String,
    folder: TempDir,
}

fn put(certificates: &Certificates, folder: &Path) {
    for (from, to) in [(certificates.certificate(), "certificate.pem"), (certificates.key(), "key.pem")] {
        // Whole or not at all, as who renews certificates does it.
        let new = folder.join("new");
        fs::copy(from, &new).expect("it can be copied");
        fs::rename(new, folder.join(to)).expect("it can be renamed");
    }
}

impl Encrypted {
    async fn start(certificates: &Certificates) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        put(certificates, folder.path());
        let [public, admin] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let mut command = Command::new(binary::path());
        command.args(["serve", "--store", "memory:", "--listen", &public, "--admin-listen", &admin]);
        for (option, file) in [("--tls-cert", "certificate.pem"), ("--tls-key", "key.pem")] {
            command.arg(option).arg(folder.path().join(file));
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SAGAMART_") {
                command.env_remove(name);
            }
        }
        let process = Process::start(command, &folder.path().join("log"));
        let [public, admin] = [public, admin].map(|address| format!("https://{address}"));
        let shop = Self { process, public, admin, folder };
        until("it is ready", async || shop.get(certificates, "/readyz").status.success()).await;
        shop
    }

    fn get(&self, certificates: &Certificates, path: &str) -> Output {
        curl(certificates, &[&format!("{}{path}", self.public)])
    }

    fn post(&self, certificates: &Certificates, path: &str) -> String {
        let answer = curl(certificates, &["-X", "POST", &format!("{}{path}", self.public)]);
        assert!(answer.status.success(), "{path}: {answer:?}");
        String::from_utf8(answer.stdout).expect("text")
    }
}

fn curl(certificates: &Certificates, arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "10", "--cacert"]).arg(certificates.authority());
    command.args(arguments).output().expect("curl runs")
}

/// Whether curl does not believe in the certificate, or could not make sense of its signature with the authority that it knows.
fn is_distrusted(answer: &Output) -> bool {
    matches!(answer.status.code(), Some(35 | 60)) && answer.stdout.is_empty()
}

/// The value of a member of a JSON object of strings.
fn member(text: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    value.get(name).and_then(serde_json::Value::as_str).unwrap_or_else(|| panic!("{name}: {text}")).to_owned()
}

#[tokio::test]
async fn a_checkout_operators_and_probes_go_through_encryption_and_nothing_goes_beside_it() {
    let [ours, others] = [Certificates::make(), Certificates::make()];
    let shop = Encrypted::start(&ours).await;
    let user = member(&shop.post(&ours, "/payment/create_user"), "user_id");
    let item = member(&shop.post(&ours, "/stock/item/create/5"), "item_id");
    shop.post(&ours, &format!("/payment/add_funds/{user}/100"));
    shop.post(&ours, &format!("/stock/add/{item}/10"));
    let order = member(&shop.post(&ours, &format!("/orders/create/{user}")), "order_id");
    shop.post(&ours, &format!("/orders/addItem/{order}/{item}/2"));
    assert_eq!(shop.post(&ours, &format!("/orders/checkout/{order}")), "Checkout successful");
    // One connection after another request, and a reply that takes many records.
    let document = format!("{}/openapi.json", shop.public);
    let both = curl(
        &ours,
        &["--write-out", "%{num_connects}", &document, "--output", "/dev/null", &document, "--output", "/dev/null"],
    );
    assert_eq!(String::from_utf8_lossy(&both.stdout), "10", "the second one needs no other connection");
    let text = String::from_utf8(shop.get(&ours, "/openapi.json").stdout).expect("text");
    assert!(text.len() > 20_000 && text.trim_end().ends_with('}'), "{}", text.len());
    assert_eq!(
        curl(&ours, &["-X", "POST", "--write-out", "%{http_code}", &format!("{}/stock/find/%20", shop.public)])
            .status
            .code(),
        Some(22)
    );

    let stranger = shop.get(&others, "/readyz");
    assert!(is_distrusted(&stranger), "who vouches is not known: {stranger:?}");
    let plain = curl(&ours, &[&shop.public.replace("https", "http")]);
    assert!(!plain.status.success() && plain.stdout.is_empty(), "{plain:?}");

    let run = |certificates: &Certificates, words: &[&str]| {
        let mut command = Command::new(binary::path());
        command.args(words).env("SAGAMART_CA_FILE", certificates.authority()).output().expect("the binary runs")
    };
    let mut seen = run(&ours, &["why", &order, "--admin", &shop.admin]);
    until("the history has it", async || {
        seen = run(&ours, &["why", &order, "--admin", &shop.admin]);
        seen.status.success()
    })
    .await;
    assert!(String::from_utf8_lossy(&seen.stdout).contains("paid"), "{seen:?}");
    let status = run(&ours, &["status", "--shop", &shop.public, "--admin", &shop.admin]);
    assert!(status.status.success(), "{status:?}");
    let probe = format!("{}/readyz", shop.public);
    assert!(run(&ours, &["probe", &probe]).status.success());
    let stranger = run(&others, &["probe", &probe]);
    assert!(
        !stranger.status.success() && String::from_utf8_lossy(&stranger.stderr).contains("certificate"),
        "{stranger:?}"
    );
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_shown_from_then_on_and_a_broken_one_never() {
    let [first, second] = [Certificates::make(), Certificates::make()];
    let mut shop = Encrypted::start(&first).await;
    fs::write(shop.folder.path().join("key.pem"), "none").expect("it can be written");
    until("it is said", async || {
        let said = String::from_utf8_lossy(&shop.get(&first, "/readyz").stdout).into_owned();
        said.contains("key.pem") && said.contains("still used")
    })
    .await;
    put(&second, shop.folder.path());
    until("the new one is shown", async || shop.get(&second, "/readyz").status.success()).await;
    assert!(is_distrusted(&shop.get(&first, "/readyz")), "and the old one no more");
    assert!(!String::from_utf8_lossy(&shop.get(&second, "/readyz").stdout).contains("key.pem"));
    shop.process.terminate(Duration::from_secs(10));
}

#[tokio::test]
async fn what_is_no_certificate_or_not_its_key_is_an_error_at_the_start() {
    let [one, other] = [Certificates::make(), Certificates::make()];
    let data = tempfile::tempdir().expect("a directory");
    let empty = data.path().join("empty.pem");
    fs::write(&empty, "").expect("it can be written");
    let nowhere = data.path().join("nowhere.pem");
    for (certificate, key, said) in [
        (one.certificate(), other.key(), "cannot be used"),
        (nowhere.clone(), one.key(), "nowhere.pem"),
        (one.certificate(), nowhere, "nowhere.pem"),
        (empty.clone(), one.key(), "has no certificate"),
        (one.certificate(), empty, "empty.pem"),
    ] {
        let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
        let arguments = ["--tls-cert", &certificate, "--tls-key", &key].map(str::to_owned).to_vec();
        let exit = Server::refused_start(&Settings { arguments, ..Settings::default() }, data.path()).await;
        assert!(
            exit.stderr.contains("--tls-cert and --tls-key: ") && exit.stderr.contains(said),
            "{said}: {}",
            exit.stderr
        );
    }
}

#[tokio::test]
async fn a_client_that_never_agrees_is_cut_off_and_others_are_served_meanwhile() {
    use tokio::io::AsyncReadExt as _;
    let ours = Certificates::make();
    let shop = Encrypted::start(&ours).await;
    let address = shop.public.trim_start_matches("https://");
    let mut silent = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let began = Instant::now();
    assert!(shop.get(&ours, "/readyz").status.success());
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), silent.read_to_end(&mut rest)).await;
    assert!(read.is_ok_and(|read| read.is_ok_and(|bytes| bytes == 0)), "it is closed without a word");
    assert!(began.elapsed() > Duration::from_secs(5), "it had its time");
}
