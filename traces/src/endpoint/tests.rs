use super::*;

#[test]
fn an_endpoint_is_below_its_base() {
    for (address, authority, path) in [
        ("http://127.0.0.1:4318", "127.0.0.1:4318", "/v1/traces"),
        ("http://collector/", "collector:80", "/v1/traces"),
        ("http://[::1]:4318/otlp/", "[::1]:4318", "/otlp/v1/traces"),
    ] {
        let endpoint = Endpoint::new(address, None).expect(address);
        assert_eq!((endpoint.authority.as_str(), endpoint.path.as_str()), (authority, path), "{address}");
    }
}

#[test]
fn what_is_none_is_an_error_that_says_so() {
    for address in ["", "127.0.0.1:4318", "ftp://a", "http://", "http://user:secret@a", "http://a?b=c", "a b"] {
        let error = Endpoint::new(address, None).expect_err(address).to_string();
        assert!(error.contains("such as http://127.0.0.1:4318"), "{error}");
    }
    assert_eq!(Endpoint::new("https://a", None).err(), Some(Error::Encrypted("https://a".to_owned())));
}

#[test]
fn headers_are_read_as_exporters_read_them_and_not_shown() {
    let endpoint = Endpoint::new("http://a", Some(" api-key = k%20e,x=1,")).expect("headers");
    assert_eq!(endpoint.headers.get("api-key").expect("it is there"), "k e");
    assert!(!format!("{endpoint:?}").contains("k e"), "{endpoint:?}");
    for bad in ["a", "a b=c", "a=%0a", "=x"] {
        assert_eq!(Endpoint::new("http://a", Some(bad)).err(), Some(Error::Headers), "{bad}");
    }
}
