//! Clients that behave badly, and very many that behave well.

use std::time::Duration;

use sagamart_black_box::{Fixture, Outcome, Settings, load::in_parallel, raw};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// Buys one unit after the other for a while, and fails if a single one does not work.
async fn shopping_goes_on(fixture: &Fixture, duration: Duration) {
    let shop = fixture.server().shop();
    let (item, user) = (shop.item_with(1, 1_000_000).await, shop.user_with(1_000_000).await);
    let deadline = Instant::now() + duration;
    let mut bought = 0;
    while Instant::now() < deadline {
        let order = shop.order_of(&user, &[(&item, 1)]).await;
        assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
        bought += 1;
    }
    assert_eq!(shop.stock(&item).await, 1_000_000 - bought);
}

#[tokio::test]
async fn slow_clients_disturb_nobody_and_are_cut_off() {
    let fixture = Fixture::new().await;
    let address = fixture.server().address();
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"POST /payment/create_user HTTP/1.1\r\nHost: loc").await.expect("half a request");
        slow.push(stream);
    }
    shopping_goes_on(&fixture, Duration::from_secs(2)).await;
    // A byte now and then does not buy more time.
    let trickle = async {
        let mut open = slow.len();
        while open > 0 {
            let mut still = Vec::new();
            for mut stream in slow {
                let mut buffer = [0; 512];
                let gone = match timeout(Duration::from_millis(1), stream.read(&mut buffer)).await {
                    Ok(Ok(count)) => count == 0,
                    Ok(Err(_)) => true,
                    Err(_) => stream.write_all(b"x").await.is_err(),
                };
                if !gone {
                    still.push(stream);
                }
            }
            slow = still;
            open = slow.len();
            sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(Duration::from_secs(40), trickle).await.expect("every slow client is cut off");
    shopping_goes_on(&fixture, Duration::from_millis(200)).await;
}

#[tokio::test]
async fn garbage_and_broken_off_requests_disturb_nobody() {
    let fixture = Fixture::new().await;
    let address = fixture.server().address();
    let garbage = in_parallel(16, 0..400_u32, move |number| async move {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let bytes = match number % 4 {
            0 => b"\x00\xff\xfe garbage \r\n\r\n".repeat(20),
            1 => b"POST /payment/create_user HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf a body".to_vec(),
            2 => b"GET / HTTP/1.1\r\n".to_vec(),
            _ => Vec::new(),
        };
        // The server may have closed already.
        let _ = stream.write_all(&bytes).await;
    });
    let (_, ()) = tokio::join!(garbage, shopping_goes_on(&fixture, Duration::from_secs(1)));
    assert!(fixture.shop.client.is_ready().await);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_checkout_whole() {
    let fixture = Fixture::new().await;
    let (shop, address) = (fixture.shop.clone(), fixture.server().address());
    let (item, user) = (shop.item_with(1, 1_000).await, shop.user_with(1_000).await);
    let mut orders = Vec::new();
    for _ in 0..100 {
        let order = shop.order_of(&user, &[(&item, 1)]).await;
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!("POST /orders/checkout/{order} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request");
        drop(stream);
        orders.push(order);
    }
    let mut paid = 0;
    for order in &orders {
        // To ask again is what a client does that missed the reply.
        assert_eq!(shop.checkout(order).await, Outcome::Succeeded);
        paid += u64::from(shop.order(order).await.paid);
    }
    assert_eq!(paid, 100);
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (900, 900));
}

/// Sets items and closes the side that sends, or all of the connection; then the reply, if there can be one.
async fn initialise_and_leave(fixture: &Fixture, items: u32, wholly: bool) -> Option<String> {
    let mut stream = TcpStream::connect(fixture.server().address()).await.expect("a connection");
    let request = format!("POST /stock/batch_init/{items}/7/1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    if wholly {
        return None;
    }
    stream.shutdown().await.expect("the side that sends is closed");
    let mut text = String::new();
    let read = timeout(Duration::from_secs(120), stream.read_to_string(&mut text)).await;
    read.expect("an answer in time").expect("an answer in UTF-8");
    Some(text)
}

#[tokio::test]
async fn what_takes_long_is_not_cut_short_by_a_client_that_has_sent_all() {
    let fixture = Fixture::new().await;
    let reply = initialise_and_leave(&fixture, 30_000, false).await.expect("a reply");
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    assert_eq!(fixture.shop.stock("29999").await, 7);
    initialise_and_leave(&fixture, 60_000, true).await;
    // It may have been carried out in any order, so all have to be there.
    for item in 30_000..60_000 {
        let path = format!("/stock/find/{item}");
        let deadline = Instant::now() + Duration::from_secs(120);
        while fixture.shop.client.get(&path).await.status == 404 {
            assert!(Instant::now() < deadline, "item {item} was never made");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn one_address_has_its_bound_of_connections_and_others_their_room() {
    let arguments = vec!["--connections-per-address".to_owned(), "300".to_owned()];
    let fixture = Fixture::with(Settings { arguments, ..Settings::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(TcpStream::connect(fixture.server().address()).await.expect("a connection"));
    }
    let mut last = silent.pop().expect("six hundred");
    let closed = timeout(Duration::from_secs(20), last.read(&mut [0; 1])).await.expect("not kept waiting");
    assert!(matches!(closed, Ok(0) | Err(_)), "one address has its bound: {closed:?}");
    let local = ([127, 0, 0, 9], 0).into();
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(local).expect("another address of this machine");
    let mut other = socket.connect(fixture.server().address()).await.expect("a connection");
    other.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.expect("a request");
    let mut text = String::new();
    let read = timeout(Duration::from_secs(20), other.read_to_string(&mut text)).await;
    read.expect("an answer in time").expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}

#[tokio::test]
async fn five_hundred_clients_keep_their_connections() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let (item, user) = (shop.item_with(1, 1_000_000).await, shop.user_with(0).await);
    let mut streams = Vec::new();
    for _ in 0..500 {
        streams.push(TcpStream::connect(fixture.server().address()).await.expect("a connection"));
    }
    let request = format!("GET /stock/find/{item} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for _ in 0..3 {
        for stream in &mut streams {
            stream.write_all(request.as_bytes()).await.expect("the connection is open");
        }
        for stream in &mut streams {
            let mut buffer = [0; 1024];
            let read = timeout(Duration::from_secs(20), stream.read(&mut buffer)).await.expect("an answer in time");
            let text = String::from_utf8_lossy(buffer.get(..read.expect("the connection is open")).unwrap_or_default());
            assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with('}'), "{text}");
        }
        shop.succeed(&format!("/payment/add_funds/{user}/1")).await;
    }
    assert_eq!(shop.credit(&user).await, 3);
}

#[tokio::test]
async fn requests_sent_in_one_go_are_answered_in_order() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let user = shop.create_user().await;
    let mut requests = String::new();
    for _ in 0..20 {
        requests.push_str(&format!("POST /payment/add_funds/{user}/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }
    requests
        .push_str(&format!("GET /payment/find_user/{user} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    let mut stream = TcpStream::connect(fixture.server().address()).await.expect("a connection");
    stream.write_all(requests.as_bytes()).await.expect("the requests");
    let mut text = String::new();
    let read = timeout(Duration::from_secs(20), stream.read_to_string(&mut text)).await;
    read.expect("answers in time").expect("answers in UTF-8");
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 21, "{text}");
    assert!(text.ends_with(&format!("{{\"user_id\":\"{user}\",\"credit\":20}}")), "{text}");
}

#[tokio::test]
async fn a_connection_is_usable_after_each_kind_of_failure() {
    let fixture = Fixture::new().await;
    let address = fixture.server().address();
    for path in ["/nothing", "/stock/add/x/%00", "/orders/checkout/none", "/stock/find/none"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n\r\nPOST /payment/create_user HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("the requests");
        let mut text = String::new();
        let read = timeout(Duration::from_secs(20), stream.read_to_string(&mut text)).await;
        read.expect("answers in time").expect("answers in UTF-8");
        assert!(text.starts_with("HTTP/1.1 40"), "{text}");
        assert!(text.contains("HTTP/1.1 200 OK") && text.contains("{\"user_id\":\""), "{text}");
    }
    let bare = raw::exchange(address, b"GET /livez HTTP/1.0\r\n\r\n").await.expect("an answer to HTTP/1.0");
    assert_eq!(bare.status, 200);
}
