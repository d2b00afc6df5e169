//! The shop's API as the benchmark needs it to prepare data and to audit.
//!
//! Unlike the load, which never repeats a request, these calls are repeated where that is safe, for a while: a server
//! may be starting, or be busy with checkouts that have not ended yet.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use referee::quote;
use serde::{Deserialize, de::DeserializeOwned};
use smol_str::SmolStr;

use crate::{
    Error, Result,
    client::{Connection, Failure, Method, Target},
};

/// How long a call is repeated before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a read may take: longer than any server's own bound on waiting for checkouts that have not ended.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// A batch initialisation of a million orders may take a server minutes.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(900);
const PAUSE: Duration = Duration::from_millis(100);

/// Which calls may be sent a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// One that can be applied twice without harm.
    Freely,
    /// One that must not be applied twice: repeated only when it certainly had no effect.
    WhenRefused,
}

/// A connection for calls one after the other.
#[derive(Debug)]
pub(crate) struct Api {
    connection: Connection,
}

impl Api {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self { connection: Connection::new(target, READ_TIMEOUT) }
    }

    /// Reads a record; `None` when the server says, by any 4xx, that there is none.
    pub(crate) async fn find<T: DeserializeOwned>(&mut self, path: &str) -> Result<Option<T>> {
        let (status, body) = self.call(Method::Get, path, Repeat::Freely).await?;
        match status {
            400..=499 => Ok(None),
            _ => parse(Method::Get, path, &body).map(Some),
        }
    }

    /// Changes something and reads the answer.
    pub(crate) async fn create<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        let body = self.post(path, Repeat::Freely).await?;
        parse(Method::Post, path, &body)
    }

    /// Changes something.
    pub(crate) async fn post(&mut self, path: &str, repeat: Repeat) -> Result<Vec<u8>> {
        let (status, body) = self.call(Method::Post, path, repeat).await?;
        match status {
            200..=299 => Ok(body),
            _ => Err(refused(Method::Post, path, status, &body)),
        }
    }

    /// One call whatever its answer, without repeating it.
    pub(crate) async fn once(&mut self, method: Method, path: &str) -> Result<(u16, Vec<u8>)> {
        self.connection
            .ensure_open()
            .await
            .map_err(|source| Error::Unreachable { url: self.connection.target().url().to_owned(), source })?;
        self.connection.set_timeout(match method {
            Method::Get => READ_TIMEOUT,
            Method::Post => CHANGE_TIMEOUT,
        });
        let write_path = |request: &mut Vec<u8>| request.extend_from_slice(path.as_bytes());
        match self.connection.exchange(method, write_path).await {
            Ok(answer) => Ok((answer.status, answer.body.to_vec())),
            Err(failure) => Err(failed(method, path, &failure)),
        }
    }

    /// Repeats a call until its answer is a 2xx, or a 4xx that will not change by waiting.
    async fn call(&mut self, method: Method, path: &str, repeat: Repeat) -> Result<(u16, Vec<u8>)> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let result = self.once(method, path).await;
            let may_repeat = match &result {
                Ok((200..=299, _)) => return result,
                // A conflict with checkouts under way, or too many requests.
                Ok((409 | 425 | 429, _)) | Err(Error::Unreachable { .. }) => true,
                Ok((400..=499, _)) => return result,
                Ok(_) | Err(_) => repeat == Repeat::Freely,
            };
            if !may_repeat || Instant::now() >= give_up {
                return match result {
                    Ok((status, body)) if !(400..=499).contains(&status) => Err(refused(method, path, status, &body)),
                    other => other,
                };
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn parse<T: DeserializeOwned>(method: Method, path: &str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Error::Api {
        request: format!("{method} {path}"),
        reason: format!("the answer is not as expected ({error}): {}", quote(body)),
    })
}

fn refused(method: Method, path: &str, status: u16, body: &[u8]) -> Error {
    Error::Api { request: format!("{method} {path}"), reason: format!("{status} {}", quote(body)) }
}

fn failed(method: Method, path: &str, failure: &Failure) -> Error {
    Error::Api { request: format!("{method} {path}"), reason: failure.to_string() }
}

/// Whether an id from the server can go into a request line as it is.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=256).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
}

/// The member by which a problem blames an item.
#[derive(Deserialize)]
struct Blame {
    item_id: SmolStr,
}

/// The item that a refusal blames, if it says.
pub(crate) fn blamed_item(body: &[u8]) -> Option<SmolStr> {
    let blame: Blame = serde_json::from_slice(body).ok()?;
    is_id(&blame.item_id).then_some(blame.item_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_that_fit_a_path_are_used() {
        assert!(is_id("a3b8e1c0-5f4e-4f7e-9a55-0d8f5e3f2b11"));
        for id in ["", "a/b", "a b", "a\r\nb", "é", "a?b", &"a".repeat(257)] {
            assert!(!is_id(id), "{id:?}");
        }
    }

    #[test]
    fn a_problem_that_blames_an_item_names_it() {
        assert_eq!(blamed_item(br#"{"type":"/problems/out-of-stock","item_id":"7"}"#), Some("7".into()));
        for body in ["", "{}", r#"{"item_id":7}"#, r#"{"item_id":"a/b"}"#] {
            assert_eq!(blamed_item(body.as_bytes()), None, "{body}");
        }
    }
}
