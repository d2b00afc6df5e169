use super::*;

fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
}

#[test]
fn a_host_is_there_once_and_a_host() {
    let status = |version, hosts: &[&str]| check_host(version, &headers(header::HOST, hosts)).is_ok();
    for good in ["shop", "shop:8000", "10.0.0.1:80", "[2001:db8::1]:80", "", "a_b.example"] {
        assert!(status(Version::HTTP_11, &[good]) && status(Version::HTTP_10, &[good]), "{good}");
    }
    for bad in ["user@shop", "a/b", "a b", "a?b", "a#b", "a\\b", "a\"b", "a<b"] {
        assert!(!status(Version::HTTP_11, &[bad]) && !status(Version::HTTP_10, &[bad]), "{bad}");
    }
    assert!(!status(Version::HTTP_11, &[]));
    assert!(status(Version::HTTP_10, &[]));
    assert!(!status(Version::HTTP_11, &["shop", "shop"]) && !status(Version::HTTP_10, &["shop", "shop"]));
}

#[test]
fn chunked_alone_is_understood() {
    let is_known = |codings: &[&str]| check_coding(&headers(header::TRANSFER_ENCODING, codings)).is_ok();
    assert!(is_known(&[]) && is_known(&["chunked"]) && is_known(&["Chunked "]));
    for codings in [&["gzip, chunked"][..], &["gzip", "chunked"], &["identity, chunked"], &["chunked, chunked"]] {
        assert!(!is_known(codings), "{codings:?}");
    }
}
