//! Requests that a gateway and what is behind it may understand differently: what one takes for the body of a request, and the other
//! for the next one. With connections that clients share behind the gateway, the next one would be somebody else's.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use sagamart_black_box::Fleet;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::TIMEOUT;

/// A body that is a request: it names headers that only the gateway may set, which is how it would show that it came past it.
const HIDDEN: &str = "POST /payment/add_funds/USER/7 HTTP/1.1\r\nHost: h\r\nIdempotency-Key: smuggled\r\nIdempotency-Retention: 60\r\n\
                      Content-Length: 0\r\n\r\n";

/// Heads, each of which leaves open where its body ends, or seems to; `LENGTH` is that of all that follows.
const HEADS: [&str; 19] = [
    // Nothing is wrong with this one: without a body in between, what is hidden is the client's own next request.
    "Content-Length: 0",
    "Content-Length: LENGTH\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Transfer-Encoding: xchunked\r\nContent-Length: LENGTH",
    "Transfer-Encoding : chunked\r\nContent-Length: LENGTH",
    "Transfer-Encoding:\tchunked\r\nContent-Length: 5",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: LENGTH",
    "Transfer-Encoding: identity, chunked\r\nContent-Length: 5",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding\r\n : chunked\r\nContent-Length: LENGTH",
    "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: LENGTH",
    "X: y\nTransfer-Encoding: chunked\r\nContent-Length: LENGTH",
    "Content-Length: 0\r\nContent-Length: LENGTH",
    "Content-Length: LENGTH\r\nContent-Length: 0",
    "Content-Length: 0, LENGTH",
    "Content-Length: +0",
    "Content-Length: 0x0",
    "Content-Length: -1",
    "Content-Length : 0\r\nX: y",
];

/// What stands between the head and what is hidden: nothing, the end of a chunked body, and ends that are nearly one.
const BETWEEN: [&str; 6] =
    ["", "0\r\n\r\n", "0\n\n", "0;x=\ny\r\n\r\n", "00000000000000000000\r\n\r\n", "0\r\nX: y\n\r\n"];

/// What comes back, until the gateway closes or says nothing for a while.
async fn sent(gateway: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway).await.expect("the gateway listens");
    // It may close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut received = Vec::with_capacity(4096);
    while let Ok(Ok(1..)) = timeout(Duration::from_millis(100), stream.read_buf(&mut received)).await {}
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_the_answer_to_a_request_that_somebody_hid_in_another_one() {
    let fleet = Fleet::start(TIMEOUT).await;
    let shop = fleet.shop();
    let gateway = shop.client.address();
    let (user, item) = (shop.create_user().await, shop.item_with(3, 7).await);
    let hidden = HIDDEN.replace("USER", &user);
    let (mut expected, mut answered) = (0, BTreeMap::<String, u32>::new());
    for head in HEADS {
        for between in BETWEEN {
            let body = format!("{between}{hidden}");
            let head = head.replace("LENGTH", &body.len().to_string());
            let request = format!("POST /stock/add/{item}/0 HTTP/1.1\r\nHost: g\r\n{head}\r\n\r\n{body}");
            let answers = sent(gateway, request.as_bytes()).await;
            // Where the gateway takes it for a request of its own, it answers it as one, and then it may have taken effect.
            let seen = answers.matches("HTTP/1.1 ").count();
            let added = answers.matches("funds added").count() as u64;
            assert!(seen <= 2 && added <= 1, "{request}\n{answers}");
            expected += added;
            let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
            *answered.entry(statuses.join(" ")).or_default() += 1;
            for _ in 0..4 {
                let answer = shop.client.get(&format!("/stock/find/{item}")).await;
                let found: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let is_right = answer.status == 200 && found.get("price") == Some(&3.into());
                assert!(is_right, "another got {answer:?} after\n{request}\n{answers}");
            }
        }
    }
    println!("answered with: {answered:?}");
    assert_eq!(expected, 1, "the client's own next request");
    assert_eq!(shop.credit(&user).await, 7, "nothing else took effect");
}
