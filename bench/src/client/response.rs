//! Reading one HTTP/1.x answer from the bytes received so far.
//!
//! Only what a client without pipelining, trailers or upgrades needs; the header syntax itself is `httparse`'s.

/// Answers with more header fields are refused as malformed.
const HEADER_COUNT_MAX: usize = 64;
/// A head longer than this is refused, so that a broken server cannot make the client buffer without end.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The same for bodies: the longest the shop's API has is an order of a hundred lines, a few kilobytes.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The bytes are not an HTTP/1.x answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed HTTP answer: {0}")]
pub struct Malformed(pub(super) &'static str);

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// What the status line and the header fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Where the body starts.
    pub(super) length: usize,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
}

/// Parses the head; `None` when it is not complete yet.
pub(super) fn parse_head(received: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(received) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if received.len() > HEAD_BYTES_MAX => {
            return Err(Malformed("the head is too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Malformed("the head cannot be parsed")),
    };
    let status = response.code.ok_or(Malformed("no status"))?;
    let mut keep_alive = response.version == Some(1);
    let mut content_length = None;
    let mut chunked = false;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let value = parse_length(header.value)?;
            if content_length.is_some_and(|other| other != value) {
                return Err(Malformed("two different content lengths"));
            }
            content_length = Some(value);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed("an unknown transfer encoding"));
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("connection") {
            for option in header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    keep_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    keep_alive = true;
                }
            }
        }
    }
    let framing = match (status, chunked, content_length) {
        (100..=199 | 204 | 304, _, _) => Framing::Length(0),
        (_, true, _) => Framing::Chunked,
        (_, false, Some(length)) => Framing::Length(length),
        (_, false, None) => Framing::UntilClose,
    };
    Ok(Some(Head { status, length, framing, keep_alive: keep_alive && framing != Framing::UntilClose }))
}

fn parse_length(value: &[u8]) -> Result<usize, Malformed> {
    std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|length| *length <= BODY_BYTES_MAX)
        .ok_or(Malformed("an unusable content length"))
}

/// Takes a chunked body apart, a chunk at a time, as its bytes come in.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// How many of the bytes after the head have been decoded.
    consumed: usize,
}

impl Chunks {
    /// Decodes the complete chunks in `encoded` (all that was received after the head) that it has not decoded yet and
    /// appends them to `body`. Returns the length of the encoded body once its last chunk and its end have come.
    pub(super) fn decode(&mut self, encoded: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>, Malformed> {
        loop {
            let rest = encoded.get(self.consumed..).unwrap_or_default();
            let (size_length, size) = match httparse::parse_chunk_size(rest) {
                Ok(httparse::Status::Complete((length, size))) => (length, size),
                Ok(httparse::Status::Partial) => return Ok(None),
                Err(_) => return Err(Malformed("a chunk has no size")),
            };
            let size = usize::try_from(size)
                .ok()
                .filter(|size| body.len().saturating_add(*size) <= BODY_BYTES_MAX)
                .ok_or(Malformed("the body is too long"))?;
            if size == 0 {
                return self.end_of_trailers(rest.get(size_length..).unwrap_or_default(), size_length);
            }
            let data_end = size_length + size;
            let (Some(data), Some(end)) = (rest.get(size_length..data_end), rest.get(data_end..data_end + 2)) else {
                return Ok(None);
            };
            if end != b"\r\n" {
                return Err(Malformed("a chunk does not end where it says"));
            }
            body.extend_from_slice(data);
            self.consumed += data_end + 2;
        }
    }

    /// Skips the trailer fields after the last chunk, up to the empty line that ends the body.
    fn end_of_trailers(&self, mut rest: &[u8], size_length: usize) -> Result<Option<usize>, Malformed> {
        let mut length = self.consumed + size_length;
        while let Some(line_length) = rest.windows(2).position(|pair| pair == b"\r\n") {
            length += line_length + 2;
            if line_length == 0 {
                return Ok(Some(length));
            }
            rest = rest.get(line_length + 2..).unwrap_or_default();
        }
        if rest.len() > HEAD_BYTES_MAX {
            return Err(Malformed("the trailers are too long"));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse_head(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_head_is_complete_only_after_its_empty_line() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(parse_head(&whole.as_bytes()[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(
            head(whole),
            Head { status: 200, length: whole.len(), framing: Framing::Length(2), keep_alive: true }
        );
    }

    #[test]
    fn keep_alive_follows_the_version_and_the_connection_header() {
        assert!(!head("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n").keep_alive);
        assert!(head("HTTP/1.0 200 OK\r\ncontent-length: 2\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
        assert!(!head("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: foo, close\r\n\r\n").keep_alive);
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let head = head("HTTP/1.1 500 Oops\r\n\r\n");
        assert_eq!(head.framing, Framing::UntilClose);
        assert!(!head.keep_alive);
    }

    #[test]
    fn a_status_without_body_has_none_whatever_the_headers_say() {
        assert_eq!(head("HTTP/1.1 204 No Content\r\n\r\n").framing, Framing::Length(0));
    }

    #[test]
    fn chunked_wins_over_a_content_length() {
        let head = head("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(head.framing, Framing::Chunked);
    }

    #[test]
    fn broken_heads_are_malformed() {
        for broken in [
            "SMTP ready\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        ] {
            assert!(parse_head(broken.as_bytes()).is_err(), "{broken:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(HEAD_BYTES_MAX));
        assert!(parse_head(endless.as_bytes()).is_err());
    }

    #[test]
    fn chunks_are_decoded_wherever_the_bytes_are_cut() {
        let encoded = b"4\r\nsaga\r\n3;extension=1\r\n of\r\n0\r\ntrailer: 1\r\n\r\nnext";
        let encoded_length = encoded.len() - "next".len();
        for cut in 0..encoded_length {
            let mut chunks = Chunks::default();
            let mut body = Vec::new();
            assert_eq!(chunks.decode(&encoded[..cut], &mut body), Ok(None), "cut at {cut}");
            assert_eq!(chunks.decode(encoded, &mut body), Ok(Some(encoded_length)), "cut at {cut}");
            assert_eq!(body, b"saga of");
        }
    }

    #[test]
    fn broken_chunks_are_malformed() {
        for broken in ["zz\r\n", "2\r\nabc\r\n", "fffffffff\r\n"] {
            let decoded = Chunks::default().decode(broken.as_bytes(), &mut Vec::new());
            assert!(decoded.is_err(), "{broken:?}");
        }
    }
}
