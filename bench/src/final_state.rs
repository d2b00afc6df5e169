//! Reading the final state from a server, through its API.

use std::sync::{Arc, atomic::Ordering};

use referee::history::{Final, OrderFound};
use serde::Deserialize;
use smol_str::SmolStr;

use crate::{
    Result,
    client::Target,
    prepare::{self, Parallelism},
};

/// The names of what batch initialisation makes.
pub(crate) fn numbered(count: u32) -> Vec<SmolStr> {
    (0..count).map(|number| SmolStr::new(number.to_string())).collect()
}

#[derive(Deserialize)]
struct FoundItem {
    stock: i64,
    price: i64,
}

#[derive(Deserialize)]
struct FoundUser {
    credit: i64,
}

/// What is to be read.
enum Wanted {
    Item(SmolStr),
    User(SmolStr),
    Order(SmolStr),
}

/// Reads these items, users and orders.
///
/// # Errors
/// When something could not be read: a part of a state would prove nothing. What the server says it does not know is no
/// error but part of the state.
pub(crate) async fn read_final(
    target: &Arc<Target>,
    items: Vec<SmolStr>,
    users: Vec<SmolStr>,
    orders: Vec<SmolStr>,
    parallelism: Parallelism,
) -> Result<Vec<Final>> {
    let items = items.into_iter().map(Wanted::Item);
    let wanted: Arc<Vec<Wanted>> = Arc::new(
        items.chain(users.into_iter().map(Wanted::User)).chain(orders.into_iter().map(Wanted::Order)).collect(),
    );
    let count = wanted.len() as u64;
    let read =
        prepare::for_each(target, count, parallelism, "Reading the final state", move |mut api, claims, done| {
            let wanted = Arc::clone(&wanted);
            async move {
                let mut read = Vec::new();
                while let Some(index) = claims.next() {
                    let Some(wanted) = usize::try_from(index).ok().and_then(|index| wanted.get(index)) else { break };
                    let state = match wanted {
                        Wanted::Item(item) => {
                            let found: Option<FoundItem> = api.find(&format!("/stock/find/{item}")).await?;
                            let (stock, price) = found.map(|found| (found.stock, found.price)).unzip();
                            Final::Item { item: item.clone(), stock, price }
                        }
                        Wanted::User(user) => {
                            let found: Option<FoundUser> = api.find(&format!("/payment/find_user/{user}")).await?;
                            Final::User { user: user.clone(), credit: found.map(|found| found.credit) }
                        }
                        Wanted::Order(order) => {
                            let found: Option<OrderFound> = api.find(&format!("/orders/find/{order}")).await?;
                            Final::Order { order: order.clone(), found }
                        }
                    };
                    read.push((index, state));
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(read)
            }
        })
        .await?;
    let mut read: Vec<(u64, Final)> = read.into_iter().flatten().collect();
    read.sort_unstable_by_key(|(index, _)| *index);
    Ok(read.into_iter().map(|(_, state)| state).collect())
}
