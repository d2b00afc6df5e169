//! Everything that is no id and no number, in every place where one is wanted.

use std::net::SocketAddr;

use sagamart_black_box::{Answer, Fixture, Shop, load::in_parallel, raw};

/// What a place in a path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// An id; here is one that exists.
    Id(&'static str),
    /// A number; here is one that is fine.
    Number(&'static str),
    /// A number of at least one.
    Quantity(&'static str),
}

use Place::{Id, Number, Quantity};

struct Route {
    post: bool,
    /// With `{}` for each place.
    path: &'static str,
    places: &'static [Place],
}

const ROUTES: [Route; 15] = [
    post("/orders/create/{}", &[Id("0")]),
    get("/orders/find/{}", &[Id("0")]),
    post("/orders/addItem/{}/{}/{}", &[Id("0"), Id("1"), Quantity("1")]),
    post("/orders/checkout/{}", &[Id("0")]),
    post("/orders/batch_init/{}/{}/{}/{}", &[Number("3"), Number("3"), Number("3"), Number("4")]),
    post("/stock/item/create/{}", &[Number("1")]),
    get("/stock/find/{}", &[Id("1")]),
    post("/stock/add/{}/{}", &[Id("1"), Number("1")]),
    post("/stock/subtract/{}/{}", &[Id("1"), Number("1")]),
    post("/stock/batch_init/{}/{}/{}", &[Number("3"), Number("10"), Number("4")]),
    post("/payment/create_user", &[]),
    get("/payment/find_user/{}", &[Id("0")]),
    post("/payment/add_funds/{}/{}", &[Id("0"), Number("1")]),
    post("/payment/pay/{}/{}", &[Id("0"), Number("1")]),
    post("/payment/batch_init/{}/{}", &[Number("3"), Number("100")]),
];

const fn post(path: &'static str, places: &'static [Place]) -> Route {
    Route { post: true, path, places }
}

const fn get(path: &'static str, places: &'static [Place]) -> Route {
    Route { post: false, path, places }
}

/// What is neither an id nor a number. All of it may stand in a request line, so each must be answered with a problem.
const NEITHER: [&[u8]; 32] = [
    b"",
    b".",
    b"..",
    b"../",
    b"..%2F..%2F",
    b"%2e%2e",
    b"+5",
    b"%2B5",
    b"5.0",
    b"1.",
    b"1,000",
    b"%205",
    b"5%20",
    b"5%09",
    b"%00",
    b"5%00",
    b"%0a",
    b"5%0d%0a",
    b"%ff",
    b"%c3%28",
    b"%ED%A0%80",
    b"%D9%A5",
    b"%EF%BC%95",
    "٥".as_bytes(),
    "é".as_bytes(),
    b"a}{b",
    b"%7Bitem%7D",
    b"';--",
    b"'%3B%20DROP%20TABLE%20users%3B--",
    b"$%7Bjndi%3Ax%7D",
    b"5%",
    b"*",
];

/// What may be an id and is no number.
const NO_NUMBERS: [&[u8]; 16] = [
    b"-1",
    b"-0",
    b"--1",
    b"1_0",
    b"1e3",
    b"NaN",
    b"inf",
    b"0x10",
    b"0b1",
    b"five",
    b"true",
    b"null",
    // 2^53, 2^63, 2^64 and one beyond.
    b"9007199254740992",
    b"9223372036854775808",
    b"18446744073709551616",
    b"18446744073709551617",
];

fn bad_values(place: Place) -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = NEITHER.iter().map(|value| value.to_vec()).collect();
    if matches!(place, Id(_)) {
        values.extend([b"a".repeat(65), b"a".repeat(400), b"a~b".to_vec(), b"a:b".to_vec(), b"a.b".to_vec()]);
    } else {
        values.extend(NO_NUMBERS.iter().map(|value| value.to_vec()));
        values.push(b"9".repeat(400));
    }
    if matches!(place, Quantity(_)) {
        values.push(b"0".to_vec());
    }
    values
}

/// The route's path with `value` in one place and good values in the others.
fn target(route: &Route, bad: usize, value: &[u8]) -> Vec<u8> {
    let mut target = Vec::new();
    let mut places = route.places.iter().enumerate();
    for (index, part) in route.path.split("{}").enumerate() {
        if index > 0 {
            match places.next() {
                Some((place, _)) if place == bad => target.extend(value),
                Some((_, Id(good) | Number(good) | Quantity(good))) => target.extend(good.as_bytes()),
                None => panic!("a value for each place of {}", route.path),
            }
        }
        target.extend(part.as_bytes());
    }
    target
}

async fn send(address: SocketAddr, post: bool, target: &[u8]) -> Answer {
    if post { raw::post(address, target).await } else { raw::get(address, target).await }
}

/// Three items, users and orders, "0" to "2".
async fn small_shop(fixture: &Fixture) -> &Shop {
    let shop = &fixture.shop;
    shop.succeed("/stock/batch_init/3/10/4").await;
    shop.succeed("/payment/batch_init/3/100").await;
    shop.succeed("/orders/batch_init/3/3/3/4").await;
    shop
}

/// Everything there is to see of it.
async fn seen(shop: &Shop) -> Vec<String> {
    let mut seen = Vec::new();
    for id in 0..4 {
        for path in ["/orders/find/", "/stock/find/", "/payment/find_user/"] {
            seen.push(shop.client.get(&format!("{path}{id}")).await.text());
        }
    }
    seen
}

#[tokio::test]
async fn every_bad_value_in_every_place_is_a_problem_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let shop = small_shop(&fixture).await;
    let before = seen(shop).await;
    let mut requests = Vec::new();
    for route in &ROUTES {
        for (index, place) in route.places.iter().enumerate() {
            requests.extend(bad_values(*place).into_iter().map(|value| (route.post, target(route, index, &value))));
        }
    }
    assert!(requests.len() > 1_000, "the table is whole: {}", requests.len());
    let address = fixture.server().address();
    in_parallel(16, requests, move |(post, target)| async move {
        let answer = send(address, post, &target).await;
        let shown = format!("{} was answered {} {}", target.escape_ascii(), answer.status, answer.text());
        assert!((400..500).contains(&answer.status), "{shown}");
        assert!(answer.header("content-type") == Some("application/problem+json"), "{shown}");
        let problem = answer.problem();
        assert!(matches!(problem.slug.as_str(), "malformed" | "no-such-route"), "{shown}");
    })
    .await;
    assert_eq!(seen(shop).await, before);
    assert!(shop.client.is_ready().await);
}

#[tokio::test]
async fn a_number_with_a_leading_zero_is_refused_like_any_other_bad_number() {
    let fixture = Fixture::new().await;
    let shop = small_shop(&fixture).await;
    for path in ["/stock/add/0/05", "/payment/pay/0/00", "/stock/item/create/007", "/orders/addItem/0/0/01"] {
        shop.refused(path, 400, "malformed").await;
    }
    assert_eq!((shop.stock("0").await, shop.credit("0").await), (10, 100));
}

#[tokio::test]
async fn an_id_of_64_characters_is_an_id_and_one_of_65_is_not() {
    let fixture = Fixture::new().await;
    let client = &fixture.shop.client;
    let id = "aZ0_-".repeat(13).chars().take(64).collect::<String>();
    let answer = client.get(&format!("/orders/find/{id}")).await;
    assert_eq!((answer.status, answer.problem().slug.as_str()), (404, "not-found"));
    let answer = client.get(&format!("/orders/find/{id}a")).await;
    assert_eq!((answer.status, answer.problem().slug.as_str()), (400, "malformed"));
}

#[tokio::test]
async fn a_batch_larger_than_a_server_can_hold_is_refused() {
    let fixture = Fixture::new().await;
    let shop = small_shop(&fixture).await;
    let before = seen(shop).await;
    for count in ["9007199254740991", "1000000000000"] {
        for rest in ["stock/batch_init/{}/1/1", "payment/batch_init/{}/1", "orders/batch_init/{}/3/3/1"] {
            shop.refused(&format!("/{}", rest.replace("{}", count)), 400, "malformed").await;
        }
    }
    // Orders of items or users that there are none of cannot be drawn.
    shop.refused("/orders/batch_init/3/0/3/1", 400, "malformed").await;
    shop.refused("/orders/batch_init/3/3/0/1", 400, "malformed").await;
    shop.refused("/orders/batch_init/3/3/3/9007199254740991", 400, "amount-too-large").await;
    assert_eq!(seen(shop).await, before);
}

/// What is no HTTP at all. The server may answer with a bare 4xx or just close.
const NO_HTTP: [&[u8]; 16] = [
    b"POST /stock/add/0/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /stock/add/0/<script> HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /stock/add/0/ 5 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /stock/add/0/'; -- HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /stock/add/0/\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /stock/add/0/5\n HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /stock/add/0/5 HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"POST /stock/add/0/5\r\n\r\n",
    b"POST stock/add/0/5 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is a TLS hello \r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /stock/add/0/5 HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /stock/add/0/5 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST /stock/add/0/5 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnonsense\r\n",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\r\n\r\n",
];

#[tokio::test]
async fn what_is_no_http_changes_nothing_and_harms_nobody() {
    let fixture = Fixture::new().await;
    let shop = small_shop(&fixture).await;
    let before = seen(shop).await;
    let address = fixture.server().address();
    in_parallel(4, NO_HTTP, move |bytes| async move {
        if let Some(answer) = raw::exchange(address, bytes).await {
            assert!((400..500).contains(&answer.status), "{}: {answer:?}", bytes.escape_ascii());
        }
    })
    .await;
    let long = [b"GET /stock/find/".as_slice(), &b"a".repeat(1 << 20), b" HTTP/1.1\r\n\r\n"].concat();
    let many = [b"GET /stock/find/0 HTTP/1.1\r\n".as_slice(), &b"X-A: b\r\n".repeat(100_000), b"\r\n"].concat();
    for request in [long, many] {
        if let Some(answer) = raw::exchange(address, &request).await {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    }
    assert_eq!(seen(shop).await, before);
    assert!(shop.client.is_ready().await);
}

#[tokio::test]
async fn a_body_is_ignored_while_it_is_small_and_refused_when_it_is_large() {
    let fixture = Fixture::new().await;
    let shop = small_shop(&fixture).await;
    let address = fixture.server().address();
    let with_body = |body: &[u8]| {
        let head = format!(
            "POST /stock/add/0/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let small = raw::exchange(address, &with_body(b"{\"amount\": 7}")).await.expect("an answer");
    assert_eq!(small.status, 200);
    let large = raw::exchange(address, &with_body(&b"x".repeat(10 << 20))).await.expect("an answer");
    assert_eq!((large.status, large.problem().slug.as_str()), (413, "body-too-large"));
    assert_eq!(shop.stock("0").await, 11);
}

#[tokio::test]
async fn a_query_changes_nothing_about_a_request() {
    let fixture = Fixture::new().await;
    let shop = small_shop(&fixture).await;
    shop.succeed("/stock/add/0/1?amount=1000").await;
    shop.refused("/stock/add/0/x?amount=5", 400, "malformed").await;
    assert_eq!(shop.stock("0").await, 11);
}
