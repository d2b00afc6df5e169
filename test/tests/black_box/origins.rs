//! Pages of strangers in a real browser, which ask the shop for what nobody told it to.

use std::net::SocketAddr;

use hyper::Method;
use sagamart_black_box::{Browser, Client, Fixture, Settings};
use test_servers::free_port;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::AbortHandle,
};

/// A page that somebody else serves; gone when dropped.
struct Stranger {
    address: SocketAddr,
    serving: AbortHandle,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Stranger {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let page = "<!doctype html><title>A stranger</title><pre id=out></pre><form id=form method=post></form><a id=link>shop</a>";
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
        let reply = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let reply = reply.clone();
                tokio::spawn(async move {
                    // One read: a browser's request for a page comes at once.
                    let _ = stream.read(&mut [0; 16 * 1024]).await;
                    let _ = stream.write_all(reply.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, serving: serving.abort_handle() }
    }
}

/// Has the page ask, and returns what it then says it got.
async fn fetched(browser: &Browser, url: &str, options: &str) -> String {
    let output = browser.find("#out").await;
    let script = format!(
        "const out = document.getElementById('out'); out.textContent = ''; \
         fetch('{url}', {options}).then(async r => {{ out.textContent = `${{r.type}} ${{r.status}} ${{await r.text()}}` }}) \
         .catch(e => {{ out.textContent = `${{e.name}}` }})"
    );
    browser.script(&script).await;
    browser.await_text(&output, |text| !text.is_empty()).await
}

/// How many requests got as far as a route that makes users, and how many were refused before.
async fn counted(fixture: &Fixture) -> (f64, f64) {
    let metrics = fixture.metrics().await;
    let sum = |name, labels| metrics.sum(name, labels).unwrap_or_default();
    let made = sum("sagamart_http_requests_total", &[("route", "/payment/create_user")]);
    (made, sum("sagamart_http_requests_refused_total", &[("status", "403")]))
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_and_one_that_was_named_may_ask() {
    let (stranger, friend) = (Stranger::start().await, Stranger::start().await);
    let arguments = vec!["--cors-origin".to_owned(), format!("http://{}", friend.address)];
    let fixture = Fixture::with(Settings { arguments, ..Settings::default() }).await;
    let shop = format!("http://{}", fixture.server().address());
    let url = format!("{shop}/payment/create_user");
    let browser = Browser::start(800, 600).await;
    // Of another port of the same host, and of another host: both lead to this machine.
    let elsewhere = [format!("http://{}", stranger.address), format!("http://localhost:{}", stranger.address.port())];
    for (tried, page) in (0_u32..).zip(&elsewhere) {
        browser.open(page).await;
        // What a page may send without being allowed to: the browser asks nobody.
        assert!(fetched(&browser, &url, "{method: 'POST', mode: 'no-cors'}").await.starts_with("opaque"), "{page}");
        // What it may send only if the shop says so, which it asks with OPTIONS.
        let with_a_key = "{method: 'POST', headers: {'Idempotency-Key': '\"7\"'}}";
        assert_eq!(fetched(&browser, &url, with_a_key).await, "TypeError", "{page}");
        browser
            .script(&format!("const form = document.getElementById('form'); form.action = '{url}'; form.submit()"))
            .await;
        let body = browser.find("body").await;
        browser.await_text(&body, |text| text.contains("/problems/cross-origin")).await;
        let (made, refused) = counted(&fixture).await;
        assert_eq!((made, refused), (0.0, f64::from(3 * (tried + 1))), "{page}");
        // A link is only followed.
        browser.open(page).await;
        browser
            .script(&format!("const link = document.getElementById('link'); link.href = '{shop}/'; link.click()"))
            .await;
        let body = browser.find("body").await;
        browser.await_text(&body, |text| text.contains("sagamart")).await;
    }
    browser.open(&format!("http://{}", friend.address)).await;
    let answer = fetched(&browser, &url, "{method: 'POST', headers: {'Idempotency-Key': '\"7\"'}}").await;
    assert!(answer.starts_with("cors 200 ") && answer.contains("user_id"), "{answer}");
    let refusal = fetched(&browser, &format!("{shop}/payment/find_user/nobody"), "{}").await;
    assert!(refusal.starts_with("cors 404 ") && refusal.contains("not-found"), "{refusal}");
    assert_eq!(counted(&fixture).await.0, 1.0);
    // Nor do operators' listeners answer strangers, and a friend of the shop is one there.
    let operators = format!("http://{}/history", fixture.server().admin().expect("it lets operators in"));
    assert!(fetched(&browser, &operators, "{mode: 'no-cors'}").await.starts_with("opaque"));
    assert_eq!(fetched(&browser, &operators, "{}").await, "TypeError");
}

#[tokio::test]
async fn a_name_that_somebody_else_lets_lead_here_gets_nothing() {
    let fixture = Fixture::new().await;
    let server = fixture.server();
    // As when a name server says first another address and then this one: for the browser it is all one origin.
    let rules = "--host-resolver-rules=MAP rebound.example 127.0.0.1";
    let browser = Browser::start_with(800, 600, &[rules]).await;
    for port in [server.address().port(), server.admin().expect("it lets operators in").port()] {
        let base = format!("http://rebound.example:{port}");
        browser.open(&format!("{base}/")).await;
        let body = browser.find("body").await;
        browser.await_text(&body, |text| text.contains("/problems/host-not-served")).await;
        browser.script("document.body.innerHTML = '<pre id=out></pre>'").await;
        let answer = fetched(&browser, &format!("{base}/payment/create_user"), "{method: 'POST'}").await;
        assert!(answer.starts_with("basic 421 ") && answer.contains("host-not-served"), "{answer}");
    }
    assert_eq!(counted(&fixture).await.0, 0.0);
}

#[tokio::test]
async fn a_shop_beyond_loopback_is_known_by_the_hosts_that_were_named() {
    let arguments = ["--allowed-host", "shop.example", "--insecure"].map(str::to_owned).to_vec();
    let port = free_port();
    let settings = Settings { listen: format!("0.0.0.0:{port}"), arguments, ..Settings::default() };
    let _fixture = Fixture::with(settings).await;
    let client = Client::new(SocketAddr::from(([127, 0, 0, 1], port)));
    for (host, is_known) in
        [("shop.example", true), ("SHOP.example:80", true), ("10.1.2.3:8000", true), ("evil.example", false)]
    {
        let answer = client.send(Method::GET, "/livez", &[("host", host)]).await.expect("an answer");
        assert_eq!(answer.status, if is_known { 200 } else { 421 }, "{host}: {}", answer.text());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{host}");
    }
}
