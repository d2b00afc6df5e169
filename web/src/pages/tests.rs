use super::*;

fn of_host(host: &str, proto: Option<&str>) -> String {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
    if let Some(proto) = proto {
        headers.insert("x-forwarded-proto", proto.parse().unwrap());
    }
    base(&headers)
}

#[test]
fn what_is_pasted_into_a_shell_names_the_host_that_was_asked_and_nothing_else() {
    assert_eq!(of_host("shop.example:8443", Some("https")), "https://shop.example:8443");
    assert_eq!(of_host("[::1]:8000", Some("gopher")), "http://[::1]:8000");
    assert_eq!(base(&HeaderMap::new()), BASE);
    for host in ["a;reboot", "$(reboot)", "a&b", "a'b", "a b", "<script>", "é"] {
        assert_eq!(of_host(host, None), BASE, "{host}");
    }
}
