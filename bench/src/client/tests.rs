//! The client against servers that answer raw bytes.

use tokio::net::TcpListener;

use super::*;

/// What a scripted server does after it has read one request.
#[derive(Clone, Copy)]
enum Act {
    /// Answers these pieces, a moment apart.
    Answer(&'static [&'static str]),
    /// Answers, then closes.
    AnswerAndClose(&'static str),
    /// Says nothing.
    Stall,
    /// Closes without an answer.
    Close,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Serves each connection with the next acts; answers with the requests that the server saw when it is done.
async fn server(connections: Vec<Vec<Act>>) -> (Arc<Target>, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        for acts in connections {
            let (mut stream, _) = listener.accept().await.unwrap();
            for act in acts {
                let mut request = vec![0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                request.truncate(length);
                requests.push(String::from_utf8(request).unwrap());
                match act {
                    Act::Answer(pieces) => {
                        for piece in pieces {
                            stream.write_all(piece.as_bytes()).await.unwrap();
                            tokio::time::sleep(Duration::from_millis(2)).await;
                        }
                    }
                    Act::AnswerAndClose(text) => {
                        stream.write_all(text.as_bytes()).await.unwrap();
                        break;
                    }
                    // Until the client gives up.
                    Act::Stall => drop(stream.read(&mut [0]).await),
                    Act::Close => break,
                }
            }
        }
        requests
    });
    (Arc::new(Target::resolve(&url).await.unwrap()), task)
}

fn connection(target: &Arc<Target>) -> Connection {
    Connection::new(Arc::clone(target), Duration::from_secs(10))
}

async fn post(connection: &mut Connection) -> Result<(u16, String), Failure> {
    connection.ensure_open().await.unwrap();
    let answer = connection.exchange(Method::Post, |path| path.extend_from_slice(b"/orders/checkout/7")).await?;
    Ok((answer.status, String::from_utf8(answer.body.to_vec()).unwrap()))
}

fn ok() -> (u16, String) {
    (200, "ok".to_owned())
}

#[tokio::test]
async fn requests_share_one_connection_and_name_the_path_and_host() {
    let (target, server) = server(vec![vec![Act::Answer(&[OK]), Act::Answer(&[OK])]]).await;
    let mut connection = connection(&target);
    assert_eq!(post(&mut connection).await.unwrap(), ok());
    assert_eq!(post(&mut connection).await.unwrap(), ok());
    let host = target.url().trim_start_matches("http://");
    let expected = format!("POST /orders/checkout/7 HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(server.await.unwrap(), [expected.clone(), expected]);
}

#[tokio::test]
async fn a_path_in_the_base_url_comes_before_every_path() {
    let target = Target::resolve("http://127.0.0.1:9/api/").await.unwrap();
    let mut request = Vec::new();
    target.write_request(Method::Get, |path| path.extend_from_slice(b"/readyz"), &mut request);
    assert_eq!(request, b"GET /api/readyz HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n");
}

#[tokio::test]
async fn unusable_urls_are_refused() {
    for url in ["ftp://127.0.0.1", "127.0.0.1:8000", "http://", "http://a@127.0.0.1", "http://127.0.0.1/?a=b", "ü"] {
        assert!(matches!(Target::resolve(url).await, Err(crate::Error::Url { .. })), "{url}");
    }
}

#[tokio::test]
async fn answers_are_read_whole_however_they_are_cut_and_framed() {
    const PIECES: &[&str] =
        &["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20", "0 OK\r\ncontent-le", "ngth: 2\r\n\r\n", "o", "k"];
    const CHUNKED: &[&str] =
        &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r", "\no\r\n1\r\nk\r\n0\r\n", "\r\n"];
    let acts = vec![Act::Answer(PIECES), Act::Answer(CHUNKED), Act::AnswerAndClose("HTTP/1.0 200 OK\r\n\r\nok")];
    let (target, server) = server(vec![acts]).await;
    let mut connection = connection(&target);
    for _ in 0..3 {
        assert_eq!(post(&mut connection).await.unwrap(), ok());
    }
    assert_eq!(server.await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_connection_closed_after_an_answer_is_opened_again_before_the_next_request() {
    let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    // The second server closes without saying so first.
    let (target, server) =
        server(vec![vec![Act::AnswerAndClose(close)], vec![Act::AnswerAndClose(OK)], vec![Act::Answer(&[OK])]]).await;
    let mut connection = connection(&target);
    for _ in 0..3 {
        assert_eq!(post(&mut connection).await.unwrap(), ok());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_request_cut_off_is_unknown_and_the_next_one_gets_a_new_connection() {
    let (target, server) = server(vec![
        vec![Act::Close],
        vec![Act::AnswerAndClose("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok")],
        vec![Act::Answer(&[OK])],
    ])
    .await;
    let mut connection = connection(&target);
    for _ in 0..2 {
        assert!(matches!(post(&mut connection).await, Err(Failure::CutOff(_))));
    }
    assert_eq!(post(&mut connection).await.unwrap(), ok());
    server.await.unwrap();
}

#[tokio::test]
async fn a_request_not_answered_in_time_is_unknown() {
    let (target, server) = server(vec![vec![Act::Stall], vec![Act::Answer(&[OK])]]).await;
    let mut connection = connection(&target);
    connection.set_timeout(Duration::from_millis(50));
    assert!(matches!(post(&mut connection).await, Err(Failure::TimedOut)));
    connection.set_timeout(Duration::from_secs(10));
    assert_eq!(post(&mut connection).await.unwrap(), ok());
    server.await.unwrap();
}

#[tokio::test]
async fn bytes_after_the_answer_are_malformed() {
    let (target, server) = server(vec![vec![Act::Answer(&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!"])]]).await;
    assert!(matches!(post(&mut connection(&target)).await, Err(Failure::Malformed(_))));
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_of_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let target = Arc::new(Target::resolve(&url).await.unwrap());
    let error = connection(&target).ensure_open().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}
