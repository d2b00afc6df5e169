//! What the server makes of bytes, right and wrong.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use web::server::Settings;

use crate::client::{Connection, Server, request};

const SOON: Duration = Duration::from_secs(5);

async fn sent(server: &Server, bytes: impl AsRef<[u8]>) -> Connection {
    let mut connection = server.connect().await;
    connection.send(bytes).await;
    connection
}

#[tokio::test]
async fn one_connection_carries_one_request_after_another() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for level in 1..=10 {
        connection.send(request("POST /toy/add/tea/1")).await;
        let reply = connection.reply().await;
        assert_eq!((reply.version.as_str(), reply.status), ("HTTP/1.1", 200));
        assert_eq!(reply.json()["level"], level);
        assert_eq!(reply.header("connection"), None);
    }
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let server = Server::start().await;
    let burst = request("POST /toy/add/tea/1").repeat(10);
    let mut connection = sent(&server, [burst, request("GET /toy/find/tea"), request("GET /none")].concat()).await;
    for level in 1..=10 {
        assert_eq!(connection.reply().await.json()["level"], level);
    }
    assert_eq!(connection.reply().await.json()["level"], 10);
    assert_eq!(connection.reply().await.status, 404);
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_understood() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for byte in request("POST /toy/add/tea/3") {
        connection.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(connection.reply().await.json()["level"], 3);
}

#[tokio::test]
async fn a_reply_is_not_held_back_by_what_follows_its_request() {
    let server = Server::start().await;
    // Line ends behind a request were sent by clients of old and belong to nothing.
    let mut connection = sent(&server, [request("GET /livez"), b"\r\n\r\n".to_vec()].concat()).await;
    assert_eq!(connection.reply().await.status, 200);

    connection.send([request("GET /livez"), b"GET /live".to_vec()].concat()).await;
    assert_eq!(connection.reply().await.status, 200);
    connection.send("z HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(connection.reply().await.status, 200);

    connection.send([request("GET /livez"), request("GET /toy/wait/2000"), request("GET /livez")].concat()).await;
    let sent = Instant::now();
    assert_eq!(connection.reply().await.status, 200);
    assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
    assert_eq!(connection.reply().await.text(), "waited");
    assert_eq!(connection.reply().await.status, 200);
}

#[tokio::test]
async fn a_client_that_asks_for_much_and_reads_late_gets_all_of_it() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let (sender, receiver) = connection.split();
    const REQUESTS: usize = 1000;
    let send = async {
        for _ in 0..REQUESTS {
            sender.send(request("GET /openapi.json")).await;
        }
    };
    let receive = async {
        sleep(Duration::from_millis(300)).await;
        let first = receiver.reply().await.body;
        for _ in 1..REQUESTS {
            assert!(receiver.reply().await.body == first, "replies are whole and in order");
        }
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn a_client_that_never_reads_is_not_read_from_for_ever() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    // Far more than all buffers on the way hold, in requests and in replies.
    const REQUESTS: usize = 8000;
    let padded = request(&format!("GET /openapi.json\nX-Padding: {}", "x".repeat(8000)));
    let (sender, receiver) = connection.split();
    let mut sending = pin!(async {
        for _ in 0..REQUESTS {
            sender.send(&padded).await;
        }
    });
    let sent = timeout(Duration::from_secs(3), &mut sending).await;
    assert!(sent.is_err(), "the server keeps an unbounded number of replies");
    let receiving = async {
        for _ in 0..REQUESTS {
            assert_eq!(receiver.reply().await.status, 200);
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn a_head_request_gets_the_headers_alone() {
    let server = Server::start().await;
    let mut connection = sent(&server, [request("HEAD /toy/find/tea"), request("HEAD /none")].concat()).await;
    let reply = connection.reply_without_body().await;
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("22")));
    let reply = connection.reply_without_body().await;
    assert_eq!((reply.status, reply.header("content-type")), (404, Some("application/problem+json")));
    connection.send(request("GET /toy/find/tea")).await;
    assert_eq!(connection.reply().await.body.len(), 22, "the connection is in step");
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed_unless_it_asks_to_stay() {
    let server = Server::start().await;
    let mut connection = sent(&server, "GET /livez HTTP/1.0\r\n\r\n").await;
    assert_eq!(connection.reply().await.status, 200);
    assert!(connection.closes_within(SOON).await);

    let mut connection = sent(&server, "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!(connection.reply().await.status, 200);
    connection.send(request("GET /livez\nConnection: close")).await;
    assert_eq!(connection.reply().await.header("connection"), Some("close"));
    assert!(connection.closes_within(SOON).await);
}

#[tokio::test]
async fn what_is_not_http_is_a_400_and_the_end() {
    let server = Server::start().await;
    let host = "Host: localhost\r\n\r\n";
    let malformed: [Vec<u8>; 10] = [
        b"nonsense\r\n\r\n".to_vec(),
        format!("GET /livez\r\n{host}").into_bytes(),
        format!("GET  HTTP/1.1\r\n{host}").into_bytes(),
        format!("GET /li vez HTTP/1.1\r\n{host}").into_bytes(),
        format!("GET /livez HTTP/9.9\r\n{host}").into_bytes(),
        format!("G\0T /livez HTTP/1.1\r\n{host}").into_bytes(),
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n".to_vec(),
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec(),
        b"GET /toy/find/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
    ];
    for bytes in malformed {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let mut connection = sent(&server, &bytes).await;
        let reply = connection.reply().await;
        assert_eq!((reply.status, reply.problem()), (400, "malformed".to_owned()), "{shown}");
        assert_eq!(reply.header("connection"), Some("close"), "{shown}");
        assert!(reply.header("date").is_some(), "{shown}");
        assert!(connection.closes_within(SOON).await, "{shown}");
    }
    assert_eq!(server.ask("GET /livez").await.status, 200, "the server goes on");
    assert_eq!(server.refused(400), 10);
}

/// Every byte of a request is replaced in turn by some that mean something in HTTP, and by some that never do.
#[tokio::test]
async fn no_change_of_one_byte_breaks_the_server() {
    let server = Arc::new(Server::start_with(impatient(), Duration::ZERO).await);
    let original = request("POST /toy/add/tea/1\nIdempotency-Key: \"the-key\"\nConnection: close");
    let mut tasks = JoinSet::new();
    for position in 0..original.len() {
        let mut changed = original.clone();
        let server = Arc::clone(&server);
        tasks.spawn(async move {
            for byte in
                [b'\0', b'\t', b'\n', b'\r', b' ', b'"', b'%', b',', b'/', b':', b'?', b'9', b'x', 0x7f, 0x80, 0xff]
            {
                changed[position] = byte;
                let mut connection = sent(&server, &changed).await;
                let Some(status) = connection.status_or_end().await else { continue };
                assert!(status == 200 || (400..500).contains(&status), "{status}: {byte:#x} at {position}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(server.ask("POST /toy/add/tea/1\nIdempotency-Key: the-key").await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_behind_good_requests_is_answered_after_them() {
    let server = Server::start().await;
    let requests = [request("POST /toy/add/tea/1"), request("GET /toy/wait/50"), b"nonsense\r\n\r\n".to_vec()].concat();
    let mut connection = sent(&server, requests).await;
    assert_eq!(connection.reply().await.json()["level"], 1);
    assert_eq!(connection.reply().await.text(), "waited");
    assert_eq!(connection.reply().await.problem(), "malformed");
    assert!(connection.closes_within(SOON).await);
}

#[tokio::test]
async fn a_request_of_http_1_1_names_its_host_once() {
    let server = Server::start().await;
    for hosts in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: user@localhost\r\n", "Host: to/y\r\n"] {
        let mut connection = sent(&server, format!("POST /toy/add/tea/1 HTTP/1.1\r\n{hosts}\r\n")).await;
        let reply = connection.reply().await;
        assert_eq!((reply.status, reply.problem()), (400, "malformed".to_owned()), "{hosts:?}");
        assert!(connection.closes_within(SOON).await, "{hosts:?}");
    }
    assert_eq!(server.refused(400), 4);
    assert_eq!(server.ask("GET /toy/find/tea").await.json()["level"], 0);
    let mut connection = sent(&server, "GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(connection.reply().await.status, 200, "the target may name it too");
}

#[tokio::test]
async fn a_coding_that_nobody_knows_is_a_501_and_one_without_an_end_a_400() {
    let server = Server::start().await;
    let chunk = "\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (coding, status) in [("gzip, chunked", 501), ("gzip\r\nTransfer-Encoding: chunked", 501), ("gzip", 400)] {
        let head = format!("POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {coding}{chunk}");
        let mut connection = sent(&server, head).await;
        let reply = connection.reply().await;
        let kind = if status == 501 { "unknown-transfer-coding" } else { "malformed" };
        assert_eq!((reply.status, reply.problem()), (status, kind.to_owned()), "{coding}");
        assert!(connection.closes_within(SOON).await, "{coding}");
    }
    assert_eq!((server.refused(501), server.refused(400)), (2, 1));
    assert_eq!(server.ask("GET /toy/find/tea").await.json()["level"], 0);
}

#[tokio::test]
async fn a_client_that_closes_the_side_it_sends_on_is_answered() {
    let server = Server::start().await;
    for _ in 0..20 {
        let mut connection = sent(&server, request("GET /toy/wait/20")).await;
        connection.finish().await;
        assert_eq!(connection.reply().await.text(), "waited");
        assert!(connection.closes_within(SOON).await);
    }
    let several =
        [request("POST /toy/add/tea/1"), request("GET /toy/wait/20"), request("POST /toy/add/tea/1")].concat();
    let mut connection = sent(&server, several).await;
    connection.finish().await;
    assert_eq!(connection.reply().await.json()["level"], 1);
    assert_eq!(connection.reply().await.text(), "waited");
    assert_eq!(connection.reply().await.json()["level"], 2);
    assert!(connection.closes_within(SOON).await);
}

#[tokio::test]
async fn half_a_request_is_never_carried_out() {
    let server = Server::start().await;
    let halves = [
        "POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\n",
        "POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
    ];
    for half in halves {
        let mut connection = sent(&server, half).await;
        connection.finish().await;
        let status = connection.status_or_end().await;
        assert!(matches!(status, None | Some(400)), "{status:?}");
    }
    assert_eq!(server.ask("GET /toy/find/tea").await.json()["level"], 0);
}

#[tokio::test]
async fn two_ways_to_tell_a_body_are_never_two_requests() {
    let server = Server::start().await;
    // Where two servers disagree about a body's end, the rest of it is a request to one of them.
    let smuggled = "POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n\
                    0\r\n\r\nPOST /toy/add/tea/5 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut connection = sent(&server, smuggled).await;
    let reply = connection.reply().await;
    let level = server.ask("GET /toy/find/tea").await.json()["level"].as_u64();
    match reply.status {
        200 => assert!(connection.closes_within(SOON).await),
        status => assert_eq!(status, 400),
    }
    assert!(level <= Some(1), "{level:?}");
}

#[tokio::test]
async fn a_huge_header_is_a_431_and_many_headers_are_too() {
    let server = Server::start().await;
    let long_value = "v".repeat(20_000);
    let long_path = format!("/toy/find/{}", "a".repeat(20_000));
    let many: String = (0..200).map(|number| format!("X-{number}: v\n")).collect();
    for head in [format!("GET /livez\nX-Long: {long_value}"), format!("GET {long_path}"), format!("GET /livez\n{many}")]
    {
        let mut connection = sent(&server, request(&head)).await;
        let reply = connection.reply().await;
        let expected = match reply.status {
            414 => "path-too-long",
            status => {
                assert_eq!(status, 431);
                "headers-too-large"
            }
        };
        assert_eq!(reply.problem(), expected);
    }
    assert_eq!(server.refused(414) + server.refused(431), 3);
    assert_eq!(server.ask("GET /livez\nX-Long: ".to_owned().as_str()).await.status, 200);
    assert_eq!(server.ask(&format!("GET /livez\nX-Long: {}", "v".repeat(8_000))).await.status, 200);
}

#[tokio::test]
async fn a_small_body_is_ignored_however_it_is_sent() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let bodies = [
        "Content-Length: 0\r\n\r\n",
        "Content-Length: 13\r\n\r\n{\"amount\": 9}",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    for (index, body) in bodies.into_iter().enumerate() {
        connection.send(format!("POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\n{body}")).await;
        assert_eq!(connection.reply().await.json()["level"], index + 1);
    }
    // Many clients send a body in a packet of its own.
    connection.send("POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n").await;
    sleep(Duration::from_millis(20)).await;
    connection.send("body").await;
    assert_eq!(connection.reply().await.json()["level"], 4);
}

#[tokio::test]
async fn a_client_that_waits_to_send_its_body_is_told_to_go_on() {
    let server = Server::start().await;
    let head = "POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    let mut connection = sent(&server, head).await;
    assert_eq!(connection.reply().await.status, 100);
    connection.send("body").await;
    assert_eq!(connection.reply().await.json()["level"], 1);
}

#[tokio::test]
async fn a_large_body_is_a_413_and_changes_nothing() {
    let server = Server::start().await;
    let declared = "POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n".to_owned();
    let chunked = "POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let chunked = chunked + &format!("4000\r\n{}\r\n", "x".repeat(0x4000)).repeat(5);
    for bytes in [declared, chunked] {
        let mut connection = sent(&server, bytes).await;
        let reply = connection.reply().await;
        assert_eq!((reply.status, reply.problem()), (413, "body-too-large".to_owned()));
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(connection.closes_within(SOON).await);
    }
    assert_eq!(server.ask("GET /toy/find/tea").await.json()["level"], 0);
}

#[tokio::test]
async fn a_client_that_goes_on_sending_after_a_refusal_is_not_reset_at_once() {
    let server = Server::start().await;
    let head = "POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n";
    let mut connection = sent(&server, head).await;
    assert_eq!(connection.reply().await.problem(), "body-too-large");
    // A reset would make the first of these fail the next, and clients that fail to send never read the reply.
    for _ in 0..5 {
        assert!(connection.try_send(vec![b'x'; 10_000]).await);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_broken_body_is_a_400_and_changes_nothing() {
    let server = Server::start().await;
    let bytes = "POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n";
    let mut connection = sent(&server, bytes).await;
    let reply = connection.reply().await;
    assert_eq!((reply.status, reply.problem()), (400, "malformed".to_owned()));
    assert!(connection.closes_within(SOON).await);
    assert_eq!(server.ask("GET /toy/find/tea").await.json()["level"], 0);
}

fn impatient() -> Settings {
    Settings {
        request_read_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(800),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_request_that_trickles_in_is_cut_off_and_its_neighbours_are_not() {
    let settings = Settings { idle_timeout: Duration::from_secs(60), ..impatient() };
    let server = Server::start_with(settings, Duration::ZERO).await;
    let mut slow_header = sent(&server, "GET /livez HTTP/1.1\r\nX-Slow: ").await;
    let mut slow_body =
        sent(&server, "POST /toy/add/tea/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n").await;
    let mut neighbour = server.connect().await;
    let mut trickled = 0;
    while slow_header.try_send("x").await && slow_body.try_send("x").await {
        trickled += 1;
        assert!(trickled < 100, "still open after {trickled} bytes");
        neighbour.send(request("GET /livez")).await;
        assert_eq!(neighbour.reply().await.status, 200);
        sleep(Duration::from_millis(20)).await;
    }
    for slow in [&mut slow_header, &mut slow_body] {
        let reply = slow.reply().await;
        assert_eq!((reply.status, reply.problem()), (408, "request-too-slow".to_owned()));
        assert!(slow.closes_within(SOON).await);
    }
    assert_eq!(server.refused(408), 2);
    assert_eq!(server.ask("GET /toy/find/tea").await.json()["level"], 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_never_in_the_middle_of_a_reply_by_another() {
    let server = Server::start_with(impatient(), Duration::ZERO).await;
    let mut connection = server.connect().await;
    // Until the server has gone, or takes no more.
    let asking = async { while connection.try_send(request("GET /openapi.json")).await {} };
    let _ = timeout(Duration::from_secs(3), asking).await;
    sleep(Duration::from_secs(2)).await;
    let received = connection.rest().await;
    let replies = received.split("HTTP/1.1 ").skip(1).map(|reply| &reply[..3]);
    assert!(replies.clone().count() > 0);
    assert!(replies.clone().all(|status| status == "200"), "{:?}", replies.last());
    assert_eq!(server.refused(408), 0);
}

#[tokio::test]
async fn an_idle_connection_outlasts_a_slow_request_and_is_closed_in_the_end() {
    let server = Server::start_with(impatient(), Duration::ZERO).await;
    let mut connection = server.connect().await;
    for _ in 0..2 {
        connection.send(request("GET /livez")).await;
        assert_eq!(connection.reply().await.status, 200);
        assert!(connection.stays_silent_for(Duration::from_millis(400)).await);
    }
    assert!(connection.closes_within(SOON).await);
}

#[tokio::test]
async fn a_long_running_request_is_not_idle() {
    let server = Server::start_with(impatient(), Duration::ZERO).await;
    let reply = server.ask("GET /toy/wait/2000").await;
    assert_eq!((reply.status, reply.text()), (200, "waited"));
}
