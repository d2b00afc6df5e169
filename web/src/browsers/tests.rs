use super::*;

fn gate(listener: &str, hosts: &[&str], origins: &[&str]) -> Gate {
    let browsers = Browsers {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
        any_host: false,
    };
    browsers.at(listener.parse().unwrap())
}

fn request(method: &str, headers: &[(&str, &str)]) -> Request<()> {
    let request = Request::builder().method(method).uri("/orders/checkout/7");
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}

/// The kind of the refusal.
fn refusal(gate: &Gate, method: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
    gate.check(&request(method, headers)).err().map(|problem| problem.kind().slug())
}

#[test]
fn on_loopback_only_loopbacks_hosts_and_those_that_are_named_are_served() {
    let refused = |gate: &Gate, host: &str| refusal(gate, "GET", &[("host", host)]);
    for listener in ["127.0.0.1", "::1", "127.9.9.9", "::ffff:127.0.0.1"] {
        let local = gate(listener, &["Shop.Example", "192.0.2.1", "[2001:db8::1]"], &[]);
        for host in [
            "localhost",
            "localhost:8000",
            "LOCALHOST:8000",
            "localhost.:8000",
            "shop.localhost",
            "127.0.0.1:8000",
            "127.1.2.3",
            "[::1]:8000",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
            "shop.example:8000",
            "shop.example.",
            "192.0.2.1:8000",
            "[2001:DB8::1]:8000",
            "",
        ] {
            assert_eq!(refused(&local, host), None, "{host} at {listener}");
        }
        for host in [
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example:8000",
            "evil.shop.example",
            "192.0.2.2:8000",
            "[2001:db8::2]",
            "0.0.0.0:8000",
            "2130706433",
            "localhost:8000:evil",
            ":8000:",
        ] {
            assert_eq!(refused(&local, host), Some("host-not-served"), "{host} at {listener}");
        }
    }
    assert_eq!(refusal(&gate("127.0.0.1", &[], &[]), "GET", &[]), None, "no browser leaves it out");
    assert_eq!(refused(&gate("127.0.0.1", &["*"], &[]), "evil.example"), None);
}

#[test]
fn beyond_loopback_a_server_is_known_by_any_host_unless_some_are_named() {
    let refused = |gate: &Gate, host: &str| refusal(gate, "GET", &[("host", host)]);
    assert_eq!(refused(&gate("0.0.0.0", &[], &[]), "any.example"), None);
    let named = gate("0.0.0.0", &["shop.example"], &[]);
    for host in ["shop.example", "localhost:8000", "10.0.0.7:8000", "[2001:db8::7]:8000"] {
        assert_eq!(refused(&named, host), None, "{host}");
    }
    assert_eq!(refused(&named, "evil.example"), Some("host-not-served"));
    let behind = Browsers { any_host: true, ..named.browsers }.at("127.0.0.1".parse().unwrap());
    assert_eq!(refused(&behind, "evil.example"), None);
}

#[test]
fn an_absolute_target_takes_the_place_of_the_host_header() {
    let local = gate("127.0.0.1", &[], &[]);
    let absolute = Request::builder().uri("http://evil.example/").header("host", "localhost").body(()).unwrap();
    let problem = local.check(&absolute).expect_err("another host");
    assert_eq!(problem.kind().slug(), "host-not-served");
}

#[test]
fn what_a_page_of_another_origin_asks_is_refused() {
    let shop = gate("127.0.0.1", &[], &["https://App.example:443"]);
    let refused = |method: &str, headers: &[(&str, &str)]| {
        refusal(&shop, method, &[&[("host", "localhost:8000")], headers].concat())
    };
    let foreign = Some("cross-origin");
    for method in ["GET", "POST", "OPTIONS", "HEAD"] {
        for site in ["cross-site", "same-site", "", "Same-Origin"] {
            assert_eq!(refused(method, &[("sec-fetch-site", site)]), foreign, "{method} {site}");
            let another = [("sec-fetch-site", site), ("origin", "https://evil.example")];
            assert_eq!(refused(method, &another), foreign, "{method} {site}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(refused(method, &[("sec-fetch-site", site)]), None, "{method} {site}");
        }
        for origin in ["null", "http://localhost:3000", "http://evil.example", "http://localhost", "", "localhost:8000"]
        {
            assert_eq!(refused(method, &[("origin", origin)]), foreign, "{method} {origin}");
        }
        assert_eq!(refused(method, &[("origin", "http://LocalHost:8000")]), None, "{method}");
        assert_eq!(refused(method, &[]), None, "{method}: who is no browser");
        let named = [("sec-fetch-site", "cross-site"), ("origin", "https://app.example")];
        assert_eq!(refused(method, &named), None, "{method}: an origin that is named");
        assert_eq!(refused(method, &[("origin", "https://app.example")]), None, "{method}");
    }
}

#[test]
fn a_link_may_be_followed_and_a_frame_may_not() {
    let shop = gate("127.0.0.1", &[], &[]);
    let asked = |method: &str, mode: &str, dest: &str| {
        let headers = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        refusal(&shop, method, &headers)
    };
    assert_eq!(asked("GET", "navigate", "document"), None);
    for (method, mode, dest) in [
        ("POST", "navigate", "document"),
        ("GET", "navigate", "iframe"),
        ("GET", "navigate", "object"),
        ("GET", "no-cors", "image"),
        ("GET", "cors", "empty"),
    ] {
        assert_eq!(asked(method, mode, dest), Some("cross-origin"), "{method} {mode} {dest}");
    }
}

#[test]
fn hosts_and_origins_are_written_as_browsers_do() {
    for (text, origin) in [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ] {
        assert_eq!(text.parse::<Origin>().map(|origin| origin.to_string()), Ok(origin.to_owned()), "{text}");
    }
    for text in ["", "*", "null", "app.example", "https://", "ftp://app.example", "https://app.example/", "https://a b"]
    {
        assert!(text.parse::<Origin>().is_err_and(|error| error.contains("https://app.example")), "{text}");
    }
    for text in ["", "http://shop.example", "shop.example:80", "shop.example/", "[::1", "a b", "*.example"] {
        assert!(text.parse::<AllowedHost>().is_err_and(|error| error.contains("shop.example")), "{text}");
    }
}
