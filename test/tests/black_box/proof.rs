//! The sums of all that happened, beside what there is.

use sagamart_black_box::{Client, Fixture, Outcome, Server, Settings};
use serde_json::Value;

use crate::history::{ask, until};

async fn proof(server: &Server) -> Value {
    Client::new(server.admin().expect("it lets operators in")).get("/proof").await.json()
}

/// One member.
fn said(proof: &Value, name: &str) -> Value {
    proof.get(name).cloned().unwrap_or_default()
}

/// Some members of one side.
fn side<const N: usize>(proof: &Value, side: &str, names: [&str; N]) -> [Option<i64>; N] {
    names.map(|name| proof.get(side)?.get(name)?.as_i64())
}

async fn agrees(server: &Server) -> Value {
    until("both sides agree", async || said(&proof(server).await, "verdict") == "agrees").await;
    proof(server).await
}

const SUMS: [&str; 8] = ["began_with", "set", "replaced", "added", "taken", "paid", "expected", "now"];

#[tokio::test]
async fn what_happened_makes_what_there_is_also_after_a_crash() {
    let mut fixture = Fixture::new().await;
    let shop = fixture.shop.clone();
    shop.succeed("/stock/batch_init/4/10/3").await;
    shop.succeed("/stock/batch_init/4/5/3").await;
    shop.succeed("/payment/batch_init/2/100").await;
    let (user, item) = (shop.user_with(20).await, shop.item_with(4, 6).await);
    shop.succeed(&format!("/stock/subtract/{item}/1")).await;
    shop.succeed(&format!("/payment/pay/{user}/2")).await;
    for (quantity, outcome) in [(2, "succeeded"), (2, "succeeded"), (2, "out-of-stock")] {
        let order = shop.order_of(&user, &[(&item, quantity)]).await;
        assert_eq!(shop.checkout(&order).await.slug(), outcome);
    }
    let expected_stock = [0, 60, 40, 6, 1, 4, 21, 21].map(Some);
    let expected_credit = [0, 200, 0, 20, 2, 16, 202, 202].map(Some);
    for crashes in 0..2 {
        until("the events were heard", async || said(&proof(fixture.server()).await, "completed") == 2).await;
        let proof = agrees(fixture.server()).await;
        assert_eq!(side(&proof, "stock", SUMS), expected_stock, "{proof}");
        assert_eq!(side(&proof, "payment", SUMS), expected_credit, "{proof}");
        assert_eq!(side(&proof, "stock", ["held", "shortfall", "difference", "accounts"]), [0, 0, 0, 5].map(Some));
        assert_eq!((said(&proof, "since"), said(&proof, "anomalies")), (Value::Null, Value::Array(Vec::new())));
        if crashes == 0 {
            fixture.kill();
            fixture.restart().await;
        }
    }
    let server = fixture.server();
    let said = ask(server, &["status", "--shop", &format!("http://{}", server.address())]);
    let line = "proof: adds up, since the beginning: 21 units and 202 credit after 2 checkouts";
    assert!(said.status.success() && said.stdout.contains(line), "{said:?}");
}

#[tokio::test]
async fn a_history_that_is_younger_than_the_shop_counts_from_what_there_was() {
    let without = Settings { arguments: vec!["--history-hours".to_owned(), "0".to_owned()], ..Settings::default() };
    let mut fixture = Fixture::with(without).await;
    let (user, item) = (fixture.shop.user_with(50).await, fixture.shop.item_with(5, 9).await);
    let order = fixture.shop.order_of(&user, &[(&item, 3)]).await;
    assert_eq!(fixture.shop.checkout(&order).await, Outcome::Succeeded);
    fixture.take_server().terminate().await;

    let server = Server::start(&Settings::default(), fixture.data()).await;
    let began = agrees(&server).await;
    assert!(said(&began, "since").is_string(), "{began}");
    assert_eq!(side(&began, "stock", SUMS), [6, 0, 0, 0, 0, 0, 6, 6].map(Some), "{began}");
    assert!(said(&began, "unproven").to_string().contains("what happened before"), "{began}");

    let buy = async |quantity| {
        let order = server.shop().order_of(&user, &[(&item, quantity)]).await;
        assert_eq!(server.shop().checkout(&order).await, Outcome::Succeeded);
    };
    // With it comes what was missed of the partition's log, and it is counted anew.
    buy(2).await;
    until("it is counted from there", async || side(&proof(&server).await, "stock", ["began_with"]) != [Some(6)]).await;
    let anew = agrees(&server).await;
    assert_eq!(side(&anew, "stock", SUMS), [4, 0, 0, 0, 0, 0, 4, 4].map(Some), "{anew}");
    assert!(said(&anew, "unproven").to_string().contains("events were that the history missed"), "{anew}");
    server.shop().succeed(&format!("/stock/add/{item}/3")).await;
    until("it was heard", async || side(&proof(&server).await, "stock", ["added"]) == [Some(3)]).await;
    let later = agrees(&server).await;
    assert_eq!(said(&later, "since"), said(&anew, "since"));
    assert_eq!(side(&later, "stock", SUMS), [4, 0, 0, 3, 0, 0, 7, 7].map(Some), "{later}");
    assert_eq!(side(&later, "payment", SUMS), [25, 0, 0, 0, 0, 0, 25, 25].map(Some), "{later}");
}
