//! What the listeners say about themselves, in their documents and on their first pages.

use utoipa::openapi::OpenApi;
use web::{
    openapi::{About, Step},
    problem::Kind,
};

use super::http_options::HttpOptions;

/// Every kind of problem of the services.
pub(crate) fn kinds() -> Vec<&'static Kind> {
    [order::problems::ALL, api::problems::ALL].concat()
}

/// What the shop's routes are about.
const SHOP_TAGS: [(&str, &str); 3] = [
    ("orders", "Orders, and the checkout."),
    ("stock", "Items, their units and prices."),
    ("payment", "Users and their credit."),
];

/// What the public listener says about itself.
pub(crate) fn of_shop(document: &OpenApi, http: HttpOptions) -> About {
    let has = |path: &str| document.paths.paths.contains_key(path);
    // What a gateway shows of this is order's, and behind it are all three.
    let is_whole_shop = has("/orders/checkout/{order_id}") && (http.behind_gateway || has("/payment/create_user"));
    About {
        name: "sagamart",
        version: env!("CARGO_PKG_VERSION"),
        description: "Order, stock and payment, whose checkout is a choreographed saga: it happens as a whole or not at \
                      all, and an answer is never taken back.",
        tags: SHOP_TAGS.to_vec(),
        example: is_whole_shop.then_some(include_str!("../first-checkout.sh")),
        steps: if is_whole_shop { FIRST_CHECKOUT.to_vec() } else { Vec::new() },
        pages: None,
    }
}

/// The same as the example, by hand.
const FIRST_CHECKOUT: [Step; 10] = [
    step("Create a user", "POST", "/payment/create_user", &[]),
    step("Add credit", "POST", "/payment/add_funds/{user_id}/{amount}", &[("amount", "100")]),
    step("Create an item", "POST", "/stock/item/create/{price}", &[("price", "5")]),
    step("Add stock", "POST", "/stock/add/{item_id}/{amount}", &[("amount", "10")]),
    step("Create an order", "POST", "/orders/create/{user_id}", &[]),
    step("Add to the order", "POST", "/orders/addItem/{order_id}/{item_id}/{quantity}", &[("quantity", "2")]),
    step("Check out", "POST", "/orders/checkout/{order_id}", &[]),
    step("Find the order", "GET", "/orders/find/{order_id}", &[]),
    step("Find the item", "GET", "/stock/find/{item_id}", &[]),
    step("Find the user", "GET", "/payment/find_user/{user_id}", &[]),
];

const fn step(
    title: &'static str,
    method: &'static str,
    path: &'static str,
    values: &'static [(&'static str, &'static str)],
) -> Step {
    Step { title, method, path, values }
}

const HISTORY: (&str, &str) = ("history", "What happened: checkouts, accounts, events.");
const CONSOLE: (&str, &str) = ("console", "The same as pages for people.");
const PROCESS: (&str, &str) = ("process", "What runs in this process, and what it is like now.");

/// What the operators' listener says about itself.
pub(crate) fn of_operators(document: &OpenApi) -> About {
    let has = |path: &str| document.paths.paths.keys().any(|known| known.starts_with(path));
    let has_history = has("/history");
    let bulk = SHOP_TAGS.into_iter().filter(|(tag, _)| has(&format!("/{tag}/batch_init/")));
    let history = [HISTORY, CONSOLE].into_iter().filter(|_| has_history);
    About {
        name: "sagamart admin",
        version: env!("CARGO_PKG_VERSION"),
        description: "What became of every checkout, item and user of the shop, and what its processes are like now, for those \
                      who operate it. Not for the public.",
        tags: history.chain([PROCESS]).chain(bulk).collect(),
        example: None,
        steps: Vec::new(),
        pages: has_history.then_some(("/console", "Open the console")),
    }
}
