//! Who may do what: every route of both listeners, as their documents say, tried by every kind of caller.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hyper::Method;
use sagamart_black_box::{Answer, Client, Fixture, Server, Settings, binary};
use serde_json::Value;
use tempfile::TempDir;
use test_servers::free_port;

use crate::history::until;

const SCOPES: [&str; 10] = [
    "orders.read",
    "orders.write",
    "stock.read",
    "stock.write",
    "payment.read",
    "payment.write",
    "bulk",
    "metrics",
    "admin.read",
    "admin.repair",
];

/// A file of tokens, and those that were made for it.
struct Tokens {
    directory: TempDir,
}

impl Tokens {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("tokens")
    }

    /// Makes one, as an operator does.
    fn make(&self, name: &str, scopes: &str, more: &[&str]) -> String {
        let made = make(&self.file(), name, scopes, more);
        assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
        let token = String::from_utf8(made.stdout).expect("text").trim_end().to_owned();
        assert!(token.starts_with("sagamart_") && token.len() == 52, "{token}");
        token
    }

    fn settings(&self) -> Settings {
        let arguments = vec!["--tokens".to_owned(), self.file().display().to_string()];
        Settings { arguments, ..Settings::default() }
    }
}

fn make(file: &Path, name: &str, scopes: &str, more: &[&str]) -> Output {
    let mut command = Command::new(binary::path());
    command.args(["token", name, "--scopes", scopes, "--file"]).arg(file).args(more);
    command.output().expect("the binary runs")
}

/// Asks as whoever has the token.
async fn ask(client: &Client, method: Method, path: &str, token: Option<&str>) -> Answer {
    let value = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = value.iter().map(|value| ("authorization", value.as_str())).collect();
    client.send(method, path, &headers).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn post(client: &Client, path: &str, token: &str) -> Answer {
    ask(client, Method::POST, path, Some(token)).await
}

async fn get(client: &Client, path: &str, token: &str) -> Answer {
    ask(client, Method::GET, path, Some(token)).await
}

/// Every operation of a document: its method, its path, and the scope that it asks for, if any.
async fn operations(client: &Client) -> Vec<(Method, String, Option<String>)> {
    let document: Value = client.get("/openapi.json").await.json();
    let paths = document.get("paths").and_then(Value::as_object).expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let of_method = |(name, method): (&str, Method)| {
            let operation = item.get(name)?;
            let scope = operation.pointer("/security/0/token/0").and_then(Value::as_str).map(str::to_owned);
            assert_eq!(operation.pointer("/responses/401").is_some(), scope.is_some(), "{name} {path}");
            Some((method, path.clone(), scope))
        };
        [("get", Method::GET), ("post", Method::POST)].into_iter().filter_map(of_method).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// A path whose parameters are of a form that no route takes: whoever gets past the guard is told so, and changes nothing.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "%20" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_is_for_those_whom_its_document_names() {
    let tokens = Tokens::new();
    let callers = SCOPES.map(|scope| (scope, tokens.make(scope, scope, &[])));
    let taken_back = tokens.make("gone", &SCOPES.join(","), &[]);
    let lines = fs::read_to_string(tokens.file()).expect("it is there");
    fs::write(tokens.file(), lines.lines().filter(|line| !line.starts_with("gone ")).collect::<Vec<_>>().join("\n"))
        .expect("it can be written");
    let fixture = Fixture::with(tokens.settings()).await;
    let mut seen = Vec::new();
    for client in [fixture.shop.client.clone(), fixture.server().operators()] {
        for (method, path, scope) in operations(&client).await {
            let (sent, what) = (filled(&path), format!("{method} {path}"));
            let Some(scope) = scope else {
                let answer = ask(&client, method, &sent, None).await;
                assert!(![401, 403].contains(&answer.status), "{what}: {answer:?}");
                seen.push((what, None));
                continue;
            };
            for token in [None, Some("sagamart_guessed"), Some(taken_back.as_str())] {
                let answer = ask(&client, method.clone(), &sent, token).await;
                assert_eq!((answer.status, answer.problem().slug.as_str()), (401, "unauthenticated"), "{what}");
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
            }
            for (name, token) in &callers {
                if path == "/events" && *name == scope {
                    // It does not end.
                    continue;
                }
                let answer = ask(&client, method.clone(), &sent, Some(token)).await;
                if *name == scope {
                    assert!(![401, 403].contains(&answer.status), "{what}: {answer:?}");
                } else {
                    assert_eq!((answer.status, answer.problem().slug.as_str()), (403, "not-permitted"), "{what}");
                }
            }
            seen.push((what, Some(scope)));
        }
    }
    for scope in SCOPES {
        assert!(seen.iter().any(|(_, asked)| asked.as_deref() == Some(scope)), "{scope} is for nothing");
    }
    is_documented(&seen);
}

/// The table in the docs has these operations, and no others.
fn is_documented(seen: &[(String, Option<String>)]) {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/access.md");
    let text = fs::read_to_string(place).expect("it is there");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")).filter(|line| line.contains("` | "));
    let mut rows: Vec<_> = rows
        .filter_map(|line| {
            let (operation, rest) = line.split_once("` | ")?;
            let scope = rest.split_once(" |")?.0.trim_matches('`');
            let is_operation = ["GET /", "POST /"].iter().any(|method| operation.starts_with(method));
            is_operation.then(|| (operation.to_owned(), (scope != "nobody in particular").then(|| scope.to_owned())))
        })
        .collect();
    let mut seen = seen.to_vec();
    rows.sort();
    seen.sort();
    seen.dedup();
    let wanted: Vec<_> = seen
        .iter()
        .map(|(operation, scope)| match scope {
            Some(scope) => format!("| `{operation}` | `{scope}` |"),
            None => format!("| `{operation}` | nobody in particular |"),
        })
        .collect();
    assert_eq!(rows, seen, "docs/access.md has to say:\n{}", wanted.join("\n"));
}

#[tokio::test]
async fn who_is_bound_to_a_user_sees_and_pays_for_that_users_orders_alone() {
    let tokens = Tokens::new();
    let staff = tokens.make("staff", "orders.read,orders.write,stock.read,stock.write,payment.read,payment.write", &[]);
    let fixture = Fixture::with(tokens.settings()).await;
    let client = fixture.shop.client.clone();
    let created = async |path: &str, name: &str| {
        let answer = post(&client, path, &staff).await;
        let body: Value = answer.json();
        body.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("{path}: {body}")).to_owned()
    };
    let [mine, other] =
        [created("/payment/create_user", "user_id").await, created("/payment/create_user", "user_id").await];
    let item = created("/stock/item/create/5", "item_id").await;
    for path in [
        format!("/stock/add/{item}/10"),
        format!("/payment/add_funds/{mine}/100"),
        format!("/payment/add_funds/{other}/100"),
    ] {
        assert_eq!(post(&client, &path, &staff).await.status, 200, "{path}");
    }
    let others = created(&format!("/orders/create/{other}"), "order_id").await;
    assert_eq!(post(&client, &format!("/orders/addItem/{others}/{item}/1"), &staff).await.status, 200);

    // From the next second on it is known, without a restart.
    let bound = tokens.make("app", "orders.read,orders.write,payment.read,payment.write", &["--user", &mine]);
    until("the new token is known", async || {
        get(&client, &format!("/payment/find_user/{mine}"), &bound).await.status == 200
    })
    .await;
    let answer = post(&client, &format!("/orders/create/{mine}"), &bound).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body: Value = answer.json();
    let own = body.get("order_id").and_then(Value::as_str).expect("an order").to_owned();
    for path in [format!("/orders/addItem/{own}/{item}/2"), format!("/orders/checkout/{own}")] {
        assert_eq!(post(&client, &path, &bound).await.status, 200, "{path}");
    }
    assert_eq!(get(&client, &format!("/orders/find/{own}"), &bound).await.status, 200);

    // What is another's is answered word for word like what is not there.
    let same = |answer: Answer, from: &str, to: &str| {
        let mut body: Value = serde_json::from_slice(&answer.body).expect("a problem");
        for name in ["request_id", "trace_id"] {
            body.as_object_mut().expect("a problem").remove(name);
        }
        (answer.status, body.to_string().replace(from, to))
    };
    for path in ["/orders/find/", "/payment/find_user/"] {
        let (of, nothing) = if path.starts_with("/orders") { (&others, "nothing") } else { (&other, "nobody") };
        let another = get(&client, &format!("{path}{of}"), &bound).await;
        assert_eq!(another.status, 404);
        let none = get(&client, &format!("{path}{nothing}"), &bound).await;
        assert_eq!(same(another, of, nothing), same(none, "", ""), "{path}");
    }
    for (before, of, nothing, after) in [
        ("/orders/create/", &other, "nobody", ""),
        ("/orders/addItem/", &others, "nothing", &*format!("/{item}/1")),
        ("/orders/checkout/", &others, "nothing", ""),
        ("/payment/add_funds/", &other, "nobody", "/5"),
        ("/payment/pay/", &other, "nobody", "/5"),
    ] {
        let another = post(&client, &format!("{before}{of}{after}"), &bound).await;
        assert_eq!(another.status, 404, "{before}");
        let none = post(&client, &format!("{before}{nothing}{after}"), &bound).await;
        assert_eq!(same(another, of, nothing), same(none, "", ""), "{before}");
    }
    let user = post(&client, "/payment/create_user", &bound).await;
    assert_eq!((user.status, user.problem().slug.as_str()), (403, "not-permitted"));
    for (token, path, member, expected) in [
        (&staff, format!("/payment/find_user/{other}"), "credit", 100),
        (&bound, format!("/payment/find_user/{mine}"), "credit", 90),
        (&staff, format!("/stock/find/{item}"), "stock", 8),
    ] {
        let found: Value = get(&client, &path, token).await.json();
        assert_eq!(found.get(member).and_then(Value::as_u64), Some(expected), "{path}");
    }
}

#[tokio::test]
async fn a_slip_in_the_file_shuts_nobody_out_and_is_an_error_at_the_start() {
    let tokens = Tokens::new();
    let token = tokens.make("till", "stock.read", &[]);
    let mut fixture = Fixture::with(tokens.settings()).await;
    let client = fixture.shop.client.clone();
    fs::write(tokens.file(), "till").expect("it can be written");
    until("it is said", async || client.get("/readyz").await.text().contains("line 1: a line is NAME SCOPES")).await;
    assert_eq!(get(&client, "/stock/find/nothing", &token).await.status, 404, "it is known as before");
    fixture.kill();
    let exit = Server::refused_start(&fixture.settings, fixture.data()).await;
    assert!(exit.stderr.contains("--tokens: ") && exit.stderr.contains("line 1: "), "{}", exit.stderr);
}

#[tokio::test]
async fn one_callers_idempotency_keys_are_not_anothers() {
    let tokens = Tokens::new();
    let [one, other] = ["one", "other"].map(|name| tokens.make(name, "payment.write,payment.read", &[]));
    let again = tokens.make("one", "payment.write,payment.read", &[]);
    let fixture = Fixture::with(tokens.settings()).await;
    let client = &fixture.shop.client;
    let create = async |token: &str| {
        let value = format!("Bearer {token}");
        let headers = [("authorization", value.as_str()), ("idempotency-key", "the-same")];
        let answer = client.send(Method::POST, "/payment/create_user", &headers).await.expect("an answer");
        assert_eq!(answer.status, 200);
        (answer.text(), answer.header("idempotency-replayed").is_some())
    };
    let first = create(&one).await;
    assert_eq!((create(&one).await, create(&again).await), ((first.0.clone(), true), (first.0.clone(), true)));
    let second = create(&other).await;
    assert!(second.0 != first.0 && !second.1 && !first.1, "{first:?} {second:?}");
}

#[tokio::test]
async fn operators_say_who_they_are_with_a_file() {
    let tokens = Tokens::new();
    let (reads, does) = (tokens.make("reads", "admin.read", &[]), tokens.make("does", "admin.repair", &[]));
    let fixture = Fixture::with(tokens.settings()).await;
    let admin = format!("http://{}", fixture.server().admin().expect("it lets operators in"));
    let run = |token: Option<&str>, words: &[&str]| {
        let mut command = Command::new(binary::path());
        command.args(words).args(["--admin", &admin]);
        if let Some(token) = token {
            let file = tokens.directory.path().join("mine");
            fs::write(&file, format!("{token}\n")).expect("it can be written");
            command.env("SAGAMART_TOKEN_FILE", file);
        }
        command.output().expect("the binary runs")
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let nobody = run(None, &["ls"]);
    assert!(nobody.status.code() == Some(1) && said(&nobody).contains("SAGAMART_TOKEN_FILE"), "{nobody:?}");
    assert!(run(Some(&reads), &["ls"]).status.success());
    let cancel = ["cancel", "nothing", "--by", "anna", "--because", "a try"];
    let only_reads = run(Some(&reads), &cancel);
    assert!(said(&only_reads).contains("reads has not the scope admin.repair"), "{only_reads:?}");
    let known = run(Some(&does), &cancel);
    assert!(said(&known).contains("there is no order nothing"), "{known:?}");
    // A browser asks the person, and sends what it is told with each request.
    let operators = fixture.server().operators();
    let console = operators.get("/console").await;
    assert_eq!(console.status, 401);
    let challenges: Vec<_> = console.headers.get_all("www-authenticate").iter().collect();
    assert!(challenges.iter().any(|value| value.as_bytes().starts_with(b"Basic realm=")), "{challenges:?}");
}

#[tokio::test]
async fn tokens_are_made_whole_or_not_at_all() {
    let tokens = Tokens::new();
    let file = tokens.file();
    for (name, scopes, more, wrong) in [
        ("a b", "orders.read", &[] as &[&str], "a name is"),
        ("till", "orders", &[], "there is no scope"),
        ("till", "bulk", &["--user", "42"], "bulk is for no single user"),
        ("till", "orders.read", &["--user", "4 2"], "--user"),
    ] {
        let refused = make(&file, name, scopes, more);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(wrong) && refused.stdout.is_empty(), "{refused:?}");
        assert!(!file.exists(), "{name} {scopes}");
    }
    // As an editor may leave it.
    fs::write(&file, "# tokens").expect("it can be written");
    let token = tokens.make("till", "orders.read,orders.write", &["--user", "42"]);
    let text = fs::read_to_string(&file).expect("it is there");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("till orders.read,orders.write sha256:"), "{text}");
    assert!(lines[1].ends_with(" user=42") && text.ends_with('\n') && !text.contains(&token), "{text}");
}

#[tokio::test]
async fn beyond_loopback_somebody_has_to_say_who_they_are() {
    let tokens = Tokens::new();
    tokens.make("till", "orders.read", &[]);
    let data = tempfile::tempdir().expect("a directory");
    let beyond = |listen: bool, arguments: &[&str]| {
        let beyond = format!("0.0.0.0:{}", free_port());
        let loopback = "127.0.0.1:0".to_owned();
        let (listen, admin) = if listen { (beyond, loopback) } else { (loopback, beyond) };
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        Settings { listen, admin_listen: Some(admin), arguments, ..Settings::default() }
    };
    for (listen, option) in [(true, "--listen 0.0.0.0:"), (false, "--admin-listen 0.0.0.0:")] {
        let exit = Server::refused_start(&beyond(listen, &[]), data.path()).await;
        for said in [option, "--tokens", "--insecure", "127.0.0.1"] {
            assert!(exit.stderr.contains(said), "{said}: {}", exit.stderr);
        }
    }
    let file = tokens.file().display().to_string();
    for arguments in [&["--insecure"] as &[&str], &["--tokens", &file]] {
        let settings = beyond(true, arguments);
        let port = settings.listen.rsplit(':').next().expect("a port").parse().expect("a number");
        let server = Server::start(&settings, data.path()).await;
        let client = Client::new(SocketAddr::from(([127, 0, 0, 1], port)));
        let has_tokens = arguments.contains(&"--tokens");
        let (status, slug) = if has_tokens { (401, "unauthenticated") } else { (404, "not-found") };
        let answer = client.get("/orders/find/nothing").await;
        assert_eq!((answer.status, answer.problem().slug.as_str()), (status, slug));
        // What makes money out of nothing is not there, unless it is said that it should be.
        let answer = client.post("/payment/batch_init/1/1").await;
        assert_eq!((answer.status, answer.problem().slug.as_str()), (404, "no-such-route"));
        server.terminate().await;
    }
}

#[tokio::test]
async fn who_counts_need_not_be_let_in_where_operators_are() {
    let port = free_port();
    let arguments = vec!["--metrics-listen".to_owned(), port.to_string()];
    let fixture = Fixture::with(Settings { arguments, ..Settings::default() }).await;
    let client = Client::new(SocketAddr::from(([127, 0, 0, 1], port)));
    let user = fixture.shop.create_user().await;
    let own = client.get("/metrics").await.text();
    assert!(own.contains("route=\"/payment/create_user\"") && own.contains("sagamart_store_works"), "{own}");
    assert_eq!(client.get("/readyz").await.status, 200);
    for path in ["/history", "/console", "/services", &format!("/payment/find_user/{user}")] {
        assert_eq!(client.get(path).await.problem().slug, "no-such-route", "{path}");
    }
}

#[tokio::test]
async fn bulk_requests_are_for_operators_and_on_loopback_for_clients_unless_it_is_said_otherwise() {
    for (arguments, is_public) in
        [(&[] as &[&str], true), (&["--public-bulk=false"], false), (&["--public-bulk"], true)]
    {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        let fixture = Fixture::with(Settings { arguments, ..Settings::default() }).await;
        for path in ["/stock/batch_init/2/3/4", "/payment/batch_init/2/5", "/orders/batch_init/2/2/2/1"] {
            assert_eq!(fixture.server().operators().post(path).await.status, 200, "{path}");
            assert_eq!(fixture.shop.client.post(path).await.status, if is_public { 200 } else { 404 }, "{path}");
        }
        let document: Value = fixture.shop.client.get("/openapi.json").await.json();
        let paths = document.get("paths").and_then(Value::as_object).expect("paths");
        assert_eq!(paths.keys().any(|path| path.contains("batch_init")), is_public);
        assert!(!document.to_string().contains("\"security"), "nobody is asked who they are");
        assert_eq!(fixture.shop.client.get("/metrics").await.problem().slug, "no-such-route");
        assert_eq!(fixture.shop.client.get("/stock/find/1").await.status, 200);
    }
}
