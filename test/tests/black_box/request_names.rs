//! What requests are called: in replies, in problems and in the log.

use hyper::Method;
use sagamart_black_box::{Answer, Fixture, Settings, raw};
use serde_json::Value;

/// The request's name as the reply says it.
fn name_of(answer: &Answer) -> &str {
    assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1, "{answer:?}");
    answer.header("x-request-id").expect("text")
}

fn in_body(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).expect("a problem");
    body.get("request_id").and_then(Value::as_str).expect("a name").to_owned()
}

#[tokio::test]
async fn every_reply_names_its_request_and_every_problem_does_too() {
    let fixture = Fixture::new().await;
    let (client, address) = (&fixture.shop.client, fixture.server().address());
    let [one, other] = [raw::get(address, b"/livez").await, raw::get(address, b"/livez").await];
    assert_ne!(name_of(&one), name_of(&other));
    for path in ["/orders/find/nobody", "/nowhere", "/stock/find/a%20b", "/problems", "/"] {
        let sent = client.send(Method::GET, path, &[("x-request-id", "of:the/client~1")]).await.expect("an answer");
        assert_eq!(name_of(&sent), "of:the/client~1", "{path}");
        let made = raw::get(address, path.as_bytes()).await;
        assert_eq!(name_of(&made).len(), 22, "{path}");
        if made.status >= 400 {
            assert_eq!((in_body(&sent), in_body(&made)), ("of:the/client~1".into(), name_of(&made).into()), "{path}");
        }
    }
    let long = "x".repeat(65);
    for bad in ["", "a b", "\u{e9}", &long] {
        let request =
            format!("GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {bad}\r\nConnection: close\r\n\r\n");
        let answer = raw::exchange(address, request.as_bytes()).await.expect("an answer");
        assert_eq!((answer.status, name_of(&answer).len()), (404, 22), "{bad}");
    }
    // Not even a request, and one of a kind that no route gets to see.
    for bytes in ["\0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        let answer = raw::exchange(address, bytes.as_bytes()).await.expect("an answer");
        assert_eq!((answer.status, in_body(&answer).as_str()), (400, name_of(&answer)), "{bytes:?}");
    }
}

#[tokio::test]
async fn the_log_says_what_a_request_was_called() {
    let arguments = ["--log", "json", "--slow-checkout", "0"].map(str::to_owned).to_vec();
    let mut fixture = Fixture::with(Settings { arguments, ..Settings::default() }).await;
    let shop = fixture.shop.clone();
    let (poor, item) = (shop.create_user().await, shop.item_with(1, 10).await);
    let mut names = Vec::new();
    for given in [None, Some("7f3c-41/of/the/client")] {
        let order = shop.order_of(&poor, &[(&item, 1)]).await;
        let path = format!("/orders/checkout/{order}");
        let answer = match given {
            Some(name) => shop.client.send(Method::POST, &path, &[("x-request-id", name)]).await.expect("an answer"),
            None => raw::post(shop.client.address(), path.as_bytes()).await,
        };
        assert_eq!((answer.status, in_body(&answer).as_str()), (402, name_of(&answer)));
        names.push((order, name_of(&answer).to_owned()));
    }
    let exit = fixture.take_server().terminate().await;
    let lines: Vec<Value> = exit.stderr.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for message in ["checkout not paid", "slow checkout"] {
        let of_message = lines.iter().filter(|line| line.pointer("/fields/message") == Some(&message.into()));
        let field = |line: &Value, name: &str| line["fields"][name].as_str().unwrap_or_default().to_owned();
        let found: Vec<_> = of_message.map(|line| (field(line, "order"), field(line, "request_id"))).collect();
        assert_eq!(found, names, "{message}");
    }
}
