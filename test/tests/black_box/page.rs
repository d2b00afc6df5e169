//! The page at `/`, in a real browser.

use sagamart_black_box::{Browser, Fixture};

/// WebDriver's code point of the key.
const ENTER: &str = "\u{e007}";

#[tokio::test]
async fn a_checkout_can_be_done_by_hand_on_the_first_page() {
    let fixture = Fixture::new().await;
    let base = format!("http://{}", fixture.server().address());
    let browser = Browser::start(1000, 900).await;
    browser.open(&format!("{base}/")).await;
    let step = async |path: &str| browser.find(&format!(".walk form[data-path='{path}'] button")).await;
    let answer = async |path: &str, wanted: &str| {
        let output = browser.find(&format!(".walk form[data-path='{path}'] output")).await;
        browser.await_text(&output, |text| text.contains(wanted)).await
    };
    browser.click(&step("/payment/create_user").await).await;
    answer("/payment/create_user", "user_id").await;
    let credit = browser.find(".walk input[name='amount']").await;
    browser.fill(&credit, "250").await;
    // As somebody would without a mouse.
    browser.press(&credit, ENTER).await;
    answer("/payment/add_funds/{user_id}/{amount}", "200").await;
    for (path, wanted) in [
        ("/stock/item/create/{price}", "item_id"),
        ("/stock/add/{item_id}/{amount}", "200"),
        ("/orders/create/{user_id}", "order_id"),
        ("/orders/addItem/{order_id}/{item_id}/{quantity}", "200"),
        ("/orders/checkout/{order_id}", "Checkout successful"),
        ("/orders/find/{order_id}", "\"paid\": true"),
        ("/stock/find/{item_id}", "\"stock\": 8"),
        ("/payment/find_user/{user_id}", "\"credit\": 240"),
    ] {
        browser.click(&step(path).await).await;
        answer(path, wanted).await;
    }
    assert_eq!(browser.console().await, Vec::<serde_json::Value>::new(), "nothing to complain of");
    let requested = browser.requested().await;
    assert!(requested.len() >= 11, "{requested:?}");
    for url in requested {
        assert!(url.starts_with(&base) || url.starts_with("data:"), "{url} is asked for");
    }
    // The policy holds: what is put into the page does not run.
    let inserted = "try { const script = document.createElement('script'); script.text = 'window.ran = true'; \
                    document.body.append(script) } catch {} return window.ran === true";
    assert_eq!(browser.script(inserted).await, false);
}

#[tokio::test]
async fn a_refusal_leads_to_its_explanation_and_back() {
    let fixture = Fixture::new().await;
    let (user, item) = (fixture.shop.create_user().await, fixture.shop.item_with(5, 1).await);
    let order = fixture.shop.order_of(&user, &[(&item, 1)]).await;
    let browser = Browser::start(390, 844).await;
    let base = format!("http://{}", fixture.server().address());
    browser.open(&format!("{base}/")).await;
    let route = ".routes form[data-path='/orders/checkout/{order_id}']";
    browser.script(&format!("document.querySelector(\"{route}\").closest('details').open = true")).await;
    let field = browser.find(&format!("{route} input[name='order_id']")).await;
    browser.fill(&field, &order).await;
    browser.click(&browser.find(&format!("{route} button")).await).await;
    let output = browser.find(&format!("{route} output")).await;
    browser.await_text(&output, |text| text.contains("402")).await;
    let link = browser.find(&format!("{route} output a")).await;
    assert_eq!(browser.text(&link).await, "/problems/not-enough-credit");
    browser.click(&link).await;
    let heading = browser.find("h1").await;
    browser.await_text(&heading, |text| text.contains("credit")).await;
    browser.click(&browser.find("nav a").await).await;
    let heading = browser.find("h1").await;
    browser.await_text(&heading, |text| text.contains("sagamart")).await;
    let wider = browser.script("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(wider.as_f64().is_some_and(|wider| wider <= 0.0), "{wider} pixels too wide for a phone");
}

/// What is put into a page is text there, wherever it came from.
#[tokio::test]
async fn the_first_page_is_small_and_its_policy_is_strict() {
    let fixture = Fixture::new().await;
    let page = fixture.shop.client.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.len() < 60_000, "{} bytes", page.body.len());
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.text().contains(" onclick="), "no handler stands in the page");
}
