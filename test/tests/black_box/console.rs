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

/// The least contrast of text on the page with what is behind it: 4.5 is what WCAG 2.2 asks of small text.
const CONTRAST: &str = r"
    const parts = color => {
        const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        context.fillStyle = color;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    };
    const light = ([red, green, blue]) => {
        const linear = [red, green, blue].map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const behind = element => {
        for (let at = element; at; at = at.parentElement) {
            const color = parts(getComputedStyle(at).backgroundColor);
            if (color[3] === 255) return color;
        }
        return [255, 255, 255];
    };
    let least = [99, ''];
    for (const element of document.querySelectorAll('body *')) {
        const says = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
        if (!says || element.closest('svg, script') || !element.getClientRects().length) continue;
        const [one, other] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (contrast < least[0]) least = [contrast, element.outerHTML.slice(0, 80)];
    }
    return least;
";

#[tokio::test]
async fn every_page_can_be_read_in_light_and_in_dark_and_on_a_phone() {
    let sold = Sold::new().await;
    let of = |path: &str, id: &str| format!("/console/{path}/{id}");
    let pages = [
        "/console".to_owned(),
        "/console/checkouts".to_owned(),
        "/console/proof".to_owned(),
        of("orders", &sold.refused),
        of("items", &sold.item),
        of("users", &sold.user),
    ];
    for (width, height) in [(390, 844), (1200, 900)] {
        let browser = Browser::start(width, height).await;
        for scheme in ["light", "dark"] {
            browser.prefer(scheme).await;
            for page in &pages {
                browser.open(&format!("{}{page}", sold.console)).await;
                let least = browser.script(CONTRAST).await;
                let contrast = least.get(0).and_then(Value::as_f64).expect("a number");
                assert!((4.5..22.0).contains(&contrast), "{page} in {scheme}: {least}");
                sold.is_well(&browser).await;
            }
        }
    }
}

#[tokio::test]
async fn the_proof_goes_with_what_happens() {
    let sold = Sold::new().await;
    let browser = Browser::start(390, 844).await;
    browser.open(&format!("{}/console", sold.console)).await;
    browser.click(&browser.find("nav a[href='/console/proof']").await).await;
    browser.await_text(&browser.find("h1").await, |text| text == "Proof").await;
    assert_eq!(browser.text(&browser.find("nav a[aria-current=page]").await).await, "Proof");
    let state = browser.find("#state").await;
    browser.await_text(&state, |text| text == "Live.").await;
    // Without what is done every ten seconds, the events alone are left.
    browser.script("for (let timer = setTimeout(() => {}); timer > 0; timer--) clearInterval(timer)").await;
    let row = |name: &str| {
        format!(
            "const row = [...document.querySelectorAll('.sums tr')].find(row => row.querySelector('th').textContent.startsWith('{name}')); \
             return row ? [...row.querySelectorAll('td')].map(cell => cell.textContent.replace(/\\s/g, '')) : []"
        )
    };
    let shows = async |name: &str, cells: [&str; 2]| {
        let deadline = Instant::now() + TIMEOUT;
        while browser.script(&row(name)).await != serde_json::json!(cells) {
            assert!(Instant::now() < deadline, "{name}: {}", browser.script(&row(name)).await);
            sleep(Duration::from_millis(50)).await;
        }
    };
    for (name, cells) in
        [("Added", ["+8", "+100"]), ("Paid by 1 ", ["−3", "−30"]), ("Is", ["5", "70"]), ("Difference", ["0", "0"])]
    {
        shows(name, cells).await;
    }
    assert!(browser.text(&browser.find(".verdict").await).await.starts_with("It adds up."));
    let order = sold.fixture.shop.order_of(&sold.user, &[(&sold.item, 2)]).await;
    sold.fixture.shop.checkout(&order).await;
    shows("Paid by 2 ", ["−5", "−50"]).await;
    shows("Should be", ["3", "50"]).await;
    sold.is_well(&browser).await;
}

#[tokio::test]
async fn what_operators_say_stays_text_however_hostile() {
    let sold = Sold::new().await;
    let admin = Client::new(sold.console.trim_start_matches("http://").parse().expect("an address"));
    let hostile = "%3Cimg%20src%3Dx%20onerror%3D%22window.ran%3Dtrue%22%3E";
    let long = "w".repeat(380);
    for because in [hostile, &long] {
        let path = format!("/services/observer/partitions/0/redeliver?by={hostile}&because={because}");
        assert_eq!(admin.post(&path).await.status, 200, "{path}");
    }
    let browser = Browser::start(390, 844).await;
    browser.open(&format!("{}/console/proof", sold.console)).await;
    let said = browser.text(&browser.find(".cells").await).await;
    assert!(
        said.contains("observer/0")
            && said.contains(r#"<img src=x onerror="window.ran=true">"#)
            && said.contains(&long),
        "{said}"
    );
    let inserted = "return [window.ran === true, document.querySelectorAll('main img').length]";
    assert_eq!(browser.script(inserted).await, serde_json::json!([false, 0]));
    sold.is_well(&browser).await;
}
