//! The server under test: its address and how requests name it.

use std::{env, fmt, fs, net::SocketAddr};

use axum::http::Uri;

use super::stream::Encryption;
use crate::Error;

/// A server reached over HTTP/1.1, resolved once so that no request waits for a name server.
#[derive(Clone, Debug)]
pub struct Target {
    url: String,
    /// The value of the `host` header.
    authority: String,
    /// What comes before `/orders` in every path; empty for a server at the root.
    prefix: String,
    addresses: Vec<SocketAddr>,
    encryption: Option<Encryption>,
    /// What says who asks: a header with its end, or nothing.
    authorization: String,
}

impl Target {
    /// Reads a base URL such as `http://127.0.0.1:8000` or `http://shop.example/api` and resolves its host.
    ///
    /// # Errors
    /// [`Error::Url`] when it is neither an `http://` nor an `https://` URL, or its host has no address.
    pub async fn resolve(url: &str) -> Result<Self, Error> {
        let invalid = |reason: &dyn fmt::Display| Error::Url { url: url.to_owned(), reason: reason.to_string() };
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        let is_encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid(&"it begins with neither http:// nor https://")),
        };
        if uri.query().is_some() {
            return Err(invalid(&"a base URL has no query"));
        }
        let authority = uri.authority().ok_or_else(|| invalid(&"it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid(&"user information is not supported"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        let encryption =
            if is_encrypted { Some(Encryption::of_host(host).map_err(|reason| invalid(&reason))?) } else { None };
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((host, port)).await.map_err(|error| invalid(&error))?.collect();
        if addresses.is_empty() {
            return Err(invalid(&"the host has no address"));
        }
        let authorization = authorization().map_err(|reason| invalid(&reason))?;
        Ok(Self {
            authorization,
            url: url.trim_end_matches('/').to_owned(),
            authority: authority.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            addresses,
            encryption,
        })
    }

    #[cfg(test)]
    pub(crate) fn unresolved() -> Self {
        Self {
            url: "http://nowhere".to_owned(),
            authority: "nowhere".to_owned(),
            prefix: String::new(),
            addresses: Vec::new(),
            encryption: None,
            authorization: String::new(),
        }
    }

    /// The base URL as given, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn encryption(&self) -> Option<&Encryption> {
        self.encryption.as_ref()
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Writes the bytes of a request without a body for the path that `path` appends.
    pub(crate) fn write_request(&self, method: Method, path: impl FnOnce(&mut Vec<u8>), request: &mut Vec<u8>) {
        request.clear();
        request.extend_from_slice(match method {
            Method::Get => b"GET ",
            Method::Post => b"POST ",
        });
        request.extend_from_slice(self.prefix.as_bytes());
        path(request);
        request.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        request.extend_from_slice(self.authority.as_bytes());
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(self.authorization.as_bytes());
        request.extend_from_slice(match method {
            Method::Get => b"\r\n",
            // Some servers answer 411 to a POST that does not say it has no body.
            Method::Post => b"content-length: 0\r\n\r\n",
        });
    }
}

/// What the environment says of who asks, where a server wants to know: `SAGAMART_TOKEN_FILE` names a file with a token.
fn authorization() -> Result<String, String> {
    let Some(file) = env::var_os("SAGAMART_TOKEN_FILE").filter(|file| !file.is_empty()) else {
        return Ok(String::new());
    };
    let text = fs::read_to_string(&file).map_err(|error| format!("SAGAMART_TOKEN_FILE: {error}"))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("SAGAMART_TOKEN_FILE: there is no token in it".to_owned());
    }
    Ok(format!("authorization: Bearer {token}\r\n"))
}

/// The methods of the shop's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Changes.
    Post,
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
        })
    }
}
