//! A way to a server that can be cut.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How long a byte stays at most when nobody reads: how often a copying thread looks whether it is cut or over.
const LOOK: Duration = Duration::from_millis(20);

/// A port that leads to another one. Cut, it swallows what is sent, as a network does that loses packets: nobody is told.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What clients send is lost.
    requests_lost: AtomicBool,
    /// What the server sends is lost.
    answers_lost: AtomicBool,
    /// The proxy was dropped.
    over: AtomicBool,
}

impl Proxy {
    /// Leads to `port` of 127.0.0.1.
    ///
    /// # Panics
    /// No port can be had.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port can be had");
        let own = listener.local_addr().expect("a listener has an address").port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || accept(&listener, port, &shared));
        Self { port: own, state }
    }

    /// Its own port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Loses everything, both ways, also of new connections.
    pub fn cut(&self) {
        self.lose(true, true);
    }

    /// Loses what the server answers: requests still reach it.
    pub fn cut_answers(&self) {
        self.lose(false, true);
    }

    /// Loses what clients send: what was asked before is still answered.
    pub fn cut_requests(&self) {
        self.lose(true, false);
    }

    /// Works again. Bytes that were lost make a stream useless, so connections that lost some are closed.
    pub fn mend(&self) {
        self.lose(false, false);
    }

    fn lose(&self, requests: bool, answers: bool) {
        self.state.requests_lost.store(requests, Ordering::Release);
        self.state.answers_lost.store(answers, Ordering::Release);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Release);
        // Wakes the thread that waits for connections, so that it ends.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn accept(listener: &TcpListener, port: u16, state: &Arc<State>) {
    for client in listener.incoming() {
        if state.over.load(Ordering::Acquire) {
            return;
        }
        let (Ok(client), Ok(server)) = (client, TcpStream::connect((Ipv4Addr::LOCALHOST, port))) else { continue };
        let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { continue };
        let (requests, answers) = (Arc::clone(state), Arc::clone(state));
        thread::spawn(move || copy(client, server, &requests, |state| &state.requests_lost));
        thread::spawn(move || copy(server_too, client_too, &answers, |state| &state.answers_lost));
    }
}

/// Copies until one side ends, or once something was lost and the way is mended again.
fn copy(mut from: TcpStream, mut to: TcpStream, state: &State, lost: fn(&State) -> &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    let mut has_lost = false;
    let _ = (from.set_read_timeout(Some(LOOK)), from.set_nodelay(true), to.set_nodelay(true));
    while !state.over.load(Ordering::Acquire) {
        let is_cut = || lost(state).load(Ordering::Acquire);
        if has_lost && !is_cut() {
            break;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            // Looked at after the read, which may have waited for long.
            Ok(_) if is_cut() => has_lost = true,
            Ok(count) => {
                if to.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
