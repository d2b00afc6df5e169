//! The shop's API as typed calls that accept exactly the answers the API promises.

use hyper::Method;
use serde::Deserialize;

use crate::{Answer, Client, NoAnswer, Problem};

/// `GET /orders/find/{order_id}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The id it was asked by.
    pub order_id: String,
    /// Whether a checkout of it has completed.
    pub paid: bool,
    /// Items and quantities, in the order they were added.
    pub items: Vec<(String, u64)>,
    /// Who pays.
    pub user_id: String,
    /// Of all lines, at the prices when they were added.
    pub total_cost: u64,
}

/// `GET /stock/find/{item_id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Units left.
    pub stock: u64,
    /// Of one unit.
    pub price: u64,
}

/// `GET /payment/find_user/{user_id}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The id it was asked by.
    pub user_id: String,
    /// Credit left.
    pub credit: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderId {
    order_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemId {
    item_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserId {
    user_id: String,
}

/// What a request that changes something came to, as its sender knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200: done.
    Succeeded,
    /// 4xx: nothing was changed.
    Refused(Problem),
    /// No answer, or one that leaves it open: it may have been done.
    Unknown(String),
}

impl Outcome {
    /// How the API defines what an answer means.
    ///
    /// # Panics
    /// A status that the API never answers with.
    #[must_use]
    pub fn of(answer: Result<Answer, NoAnswer>) -> Self {
        match answer {
            Err(none) => Self::Unknown(none.to_string()),
            Ok(answer) => match answer.status {
                200 => Self::Succeeded,
                400..=499 => Self::Refused(answer.problem()),
                503 | 504 => Self::Unknown(answer.problem().slug),
                _ => panic!("the API has no such answer: {answer:?}"),
            },
        }
    }

    /// The refusal's slug, or why it was none.
    #[must_use]
    pub fn slug(&self) -> &str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Refused(problem) => &problem.slug,
            Self::Unknown(why) => why,
        }
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Shop {
    /// For calls that have no typed form here.
    pub client: Client,
}

impl Shop {
    /// A shop behind `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Creates a user without credit.
    pub async fn create_user(&self) -> String {
        self.client.post("/payment/create_user").await.json::<UserId>().user_id
    }

    /// Creates a user who has `credit`.
    pub async fn user_with(&self, credit: u64) -> String {
        let user = self.create_user().await;
        if credit > 0 {
            self.succeed(&format!("/payment/add_funds/{user}/{credit}")).await;
        }
        user
    }

    /// Creates an item that is out of stock.
    pub async fn create_item(&self, price: u64) -> String {
        self.client.post(&format!("/stock/item/create/{price}")).await.json::<ItemId>().item_id
    }

    /// Creates an item with `stock` units.
    pub async fn item_with(&self, price: u64, stock: u64) -> String {
        let item = self.create_item(price).await;
        if stock > 0 {
            self.succeed(&format!("/stock/add/{item}/{stock}")).await;
        }
        item
    }

    /// Creates an empty order.
    pub async fn create_order(&self, user: &str) -> String {
        self.client.post(&format!("/orders/create/{user}")).await.json::<OrderId>().order_id
    }

    /// Creates an order with `lines` of item and quantity.
    pub async fn order_of(&self, user: &str, lines: &[(&str, u64)]) -> String {
        let order = self.create_order(user).await;
        for (item, quantity) in lines {
            self.succeed(&format!("/orders/addItem/{order}/{item}/{quantity}")).await;
        }
        order
    }

    /// Reads an order.
    pub async fn order(&self, order: &str) -> Order {
        let found: Order = self.client.get(&format!("/orders/find/{order}")).await.json();
        assert_eq!(found.order_id, order);
        found
    }

    /// Reads an item's stock and price.
    pub async fn item(&self, item: &str) -> Item {
        self.client.get(&format!("/stock/find/{item}")).await.json()
    }

    /// Reads an item's stock.
    pub async fn stock(&self, item: &str) -> u64 {
        self.item(item).await.stock
    }

    /// Reads a user's credit.
    pub async fn credit(&self, user: &str) -> u64 {
        let found: User = self.client.get(&format!("/payment/find_user/{user}")).await.json();
        assert_eq!(found.user_id, user);
        found.credit
    }

    /// Checks an order out.
    pub async fn checkout(&self, order: &str) -> Outcome {
        self.attempt(&format!("/orders/checkout/{order}")).await
    }

    /// Sends a `POST` that may be refused.
    pub async fn attempt(&self, path: &str) -> Outcome {
        Outcome::of(self.client.send(Method::POST, path, &[]).await)
    }

    /// Sends a `POST` that must succeed.
    ///
    /// # Panics
    /// It does not.
    pub async fn succeed(&self, path: &str) {
        let outcome = self.attempt(path).await;
        assert_eq!(outcome, Outcome::Succeeded, "{path}");
    }

    /// Sends a `POST` that must be refused with this status and slug.
    ///
    /// # Panics
    /// It is not.
    pub async fn refused(&self, path: &str, status: u16, slug: &str) -> Problem {
        match self.attempt(path).await {
            Outcome::Refused(problem) if problem.status == status && problem.slug == slug => problem,
            other => panic!("{path}: expected {status} {slug}, got {other:?}"),
        }
    }
}
