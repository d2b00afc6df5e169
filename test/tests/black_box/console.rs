//! The operators' console, in a real browser.

use std::time::{Duration, Instant};

use sagamart_black_box::{Browser, Client, Fixture};
use serde_json::Value;
use tokio::time::sleep;

/// Far above what it takes until the history has heard of something.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A shop with a console, and what was done there.
struct Sold {
    fixture: Fixture,
    console: String,
    user: String,
    item: String,
    paid: String,
    refused: String,
}

impl Sold {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let address = fixture.server().admin().expect("operators are let in");
        let shop = &fixture.shop;
        let (user, item) = (shop.user_with(100).await, shop.item_with(10, 8).await);
        let paid = shop.order_of(&user, &[(&item, 3)]).await;
        shop.checkout(&paid).await;
        let refused = shop.order_of(&user, &[(&item, 6)]).await;
        shop.checkout(&refused).await;
        let client = Client::new(address);
        let deadline = Instant::now() + TIMEOUT;
        while !client.get("/checkouts").await.text().contains("cancelled") {
            assert!(Instant::now() < deadline, "the history has not heard of it");
            sleep(Duration::from_millis(20)).await;
        }
        let console = format!("http://{address}");
        Self { fixture, console, user, item, paid, refused }
    }

    /// Nothing to complain of, nothing from elsewhere, and nothing wider than the window.
    async fn is_well(&self, browser: &Browser) {
        assert_eq!(browser.console().await, Vec::<Value>::new(), "nothing to complain of");
        for url in browser.requested().await {
            assert!(url.starts_with(&self.console) || url.starts_with("data:"), "{url} is asked for");
        }
        let wider = browser.script("return document.documentElement.scrollWidth - innerWidth").await;
        assert!(wider.as_f64().is_some_and(|wider| wider <= 0.0), "{wider} pixels too wide");
    }
}

#[tokio::test]
async fn an_operator_finds_a_refused_order_and_follows_it_to_its_item_and_user() {
    let sold = Sold::new().await;
    let browser = Browser::start(390, 844).await;
    let text = async |selector: &str| browser.text(&browser.find(selector).await).await;
    browser.open(&format!("{}/", sold.console)).await;
    browser.click(&browser.find(".lead a").await).await;
    assert_eq!(text("h1").await, "Now");
    browser.open(&format!("{}/console/checkouts", sold.console)).await;
    assert_eq!(browser.script("return document.querySelectorAll('tbody tr').length").await, 2);
    browser.fill(&browser.find("input[name='item']").await, &sold.item).await;
    browser.script("document.querySelector('select[name=state]').value = 'cancelled'").await;
    browser.click(&browser.find("form button").await).await;
    let row = browser.find("tbody tr").await;
    let row = browser.await_text(&row, |text| text.contains("cancelled")).await;
    assert!(row.contains("out-of-stock"), "{row}");
    assert_eq!(browser.script("return document.querySelectorAll('tbody tr').length").await, 1);
    sold.is_well(&browser).await;

    let order = browser.find("tbody a[href^='/console/orders/']").await;
    assert_eq!(browser.text(&order).await, sold.refused);
    browser.click(&order).await;
    assert!(text("pre").await.contains("out of stock"));
    let labels = text("svg.sequence").await;
    assert!(labels.contains("CheckoutStarted") && labels.contains("StockRefused out-of-stock"), "{labels}");
    sold.is_well(&browser).await;

    browser.click(&browser.find("dl a[href^='/console/items/']").await).await;
    assert_eq!(text("dl dd").await, "5");
    assert!(text("dl div:nth-child(2) dd").await.starts_with("yes"), "it adds up");
    assert!(text("tbody").await.contains(&format!("order {}", sold.paid)));
    sold.is_well(&browser).await;

    browser.open(&format!("{}/console/users/{}", sold.console, sold.user)).await;
    assert_eq!(text("dl dd").await, "70");
    assert!(text("dl div:nth-child(2) dd").await.starts_with("yes"), "it adds up");
    sold.is_well(&browser).await;
}

#[tokio::test]
async fn the_first_page_goes_with_what_happens_until_it_is_paused() {
    let sold = Sold::new().await;
    let browser = Browser::start(390, 844).await;
    browser.open(&format!("{}/console", sold.console)).await;
    let count = "const found = [...document.querySelectorAll('dt')].find(name => name.textContent === 'Completed, ever'); \
                 return Number(found.nextElementSibling.textContent)";
    let state = browser.find("#state").await;
    browser.await_text(&state, |text| text == "Live.").await;
    assert_eq!(browser.script(count).await, 1);
    // Without what is done every ten seconds, the events alone are left.
    browser.script("for (let timer = setTimeout(() => {}); timer > 0; timer--) clearInterval(timer)").await;
    let buy = async || {
        let order = sold.fixture.shop.order_of(&sold.user, &[(&sold.item, 1)]).await;
        sold.fixture.shop.checkout(&order).await;
    };
    for done in 2..=4 {
        buy().await;
        let deadline = Instant::now() + TIMEOUT;
        while browser.script(count).await != done {
            assert!(Instant::now() < deadline, "the page does not show checkout {done}");
            sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(browser.text(&browser.find(".bars").await).await.contains("out-of-stock"));
    browser.click(&browser.find("#pause").await).await;
    browser.await_text(&state, |text| text == "Paused.").await;
    buy().await;
    // Longer than the page waits before it asks again.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(browser.script(count).await, 4, "it is paused");
    browser.click(&browser.find("#pause").await).await;
    browser.await_text(&state, |text| text == "Live.").await;
    let deadline = Instant::now() + TIMEOUT;
    while browser.script(count).await != 5 {
        assert!(Instant::now() < deadline, "the page does not go on");
        sleep(Duration::from_millis(50)).await;
    }
    sold.is_well(&browser).await;
}

#[tokio::test]
async fn what_is_asked_for_stays_text_however_hostile() {
    let sold = Sold::new().await;
    let browser = Browser::start(1000, 900).await;
    let hostile =
        "%22%3E%3Cscript%3Ewindow.ran%3Dtrue%3C/script%3E%3Cimg%20src%3Dx%20onerror%3D%22window.ran%3Dtrue%22%3E";
    for field in ["item", "user", "order", "reason", "state", "within", "at_least_ms", "cursor"] {
        browser.open(&format!("{}/console/checkouts?{field}={hostile}", sold.console)).await;
        assert!(!browser.text(&browser.find("[role=alert]").await).await.is_empty(), "{field}");
        let inserted = "return [window.ran === true, document.querySelectorAll('main script, main img').length]";
        assert_eq!(browser.script(inserted).await, serde_json::json!([false, 0]), "{field}");
    }
    browser.open(&format!("{}/console/orders/%3Cscript%3E", sold.console)).await;
    assert!(browser.text(&browser.find("[role=alert]").await).await.contains("order_id"));

    let admin = Client::new(sold.console.trim_start_matches("http://").parse().expect("an address"));
    let page = admin.get("/console/checkouts").await;
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.text().contains(" onclick=") && !page.text().contains(" style="), "{}", page.text());
    let public = sold.fixture.shop.client.get("/console/checkouts").await;
    assert_eq!(public.status, 404, "the public is not let in");
}
