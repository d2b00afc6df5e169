//! A server that runs out of file descriptors. By itself, because their number is bounded for the whole process.

// `cfg(test)` tells clippy that unwrapping is fine in there.
#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Write},
        net::{SocketAddr, TcpStream},
        time::Duration,
    };

    use axum::{Router, routing::get};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use tokio::{net::TcpListener, sync::oneshot, task::spawn_blocking, time::timeout};
    use web::server::{Metrics, Settings, serve};

    /// Takes every descriptor of the process but `left`.
    fn take_descriptors(left: usize) -> Vec<File> {
        let limit = Rlimit { current: Some(256), maximum: getrlimit(Resource::Nofile).maximum };
        setrlimit(Resource::Nofile, limit).unwrap();
        let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        taken.truncate(taken.len() - left);
        taken
    }

    fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream
    }

    fn is_answered(mut stream: &TcpStream, patience: Duration) -> bool {
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).is_ok_and(|()| &start == b"HTTP/1.1 200")
    }

    #[tokio::test]
    async fn a_server_without_descriptors_goes_on_as_soon_as_there_are_some() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "fine"));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, router, Settings::default(), Metrics::default(), async {
            let _ = stopped.await;
        }));
        let client = spawn_blocking(move || {
            // Two for both ends of the first connection, one for the client's end of the second.
            let mut taken = take_descriptors(3);
            let first = ask(address);
            assert!(is_answered(&first, Duration::from_secs(20)));
            let second = ask(address);
            let early = is_answered(&second, Duration::from_millis(300));
            assert!(!early, "there was a descriptor left, so this tests nothing");
            // Not by ending the first connection, which the server would notice.
            taken.pop();
            assert!(is_answered(&second, Duration::from_secs(20)));
        });
        client.await.unwrap();
        stop.send(()).unwrap();
        timeout(Duration::from_secs(20), server).await.unwrap().unwrap().unwrap();
    }
}
