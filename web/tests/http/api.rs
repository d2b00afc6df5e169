//! What handlers built on this crate answer.

use std::time::Duration;

use serde_json::json;
use web::{Dialect, Readiness, server::Settings};

use crate::{client::Server, toy::site_in};

#[tokio::test]
async fn a_request_that_fits_is_answered() {
    let server = Server::start().await;
    let reply = server.ask("POST /toy/add/tea/4").await;
    assert_eq!((reply.status, reply.json()), (200, json!({"id": "tea", "level": 4})));
    assert_eq!(server.ask("GET /toy/find/tea").await.json(), json!({"id": "tea", "level": 4}));
}

#[tokio::test]
async fn a_problem_of_the_service_carries_its_members_and_changes_nothing() {
    let server = Server::start().await;
    assert_eq!(server.ask("POST /toy/add/tea/8").await.status, 200);
    let reply = server.ask("POST /toy/add/tea/3").await;
    assert_eq!((reply.status, reply.problem()), (409, "cup-full".to_owned()));
    assert_eq!(reply.json()["level"], 8);
    assert_eq!(server.ask("GET /toy/find/tea").await.json()["level"], 8);
    let reply = server.ask("POST /toy/add/gin/1").await;
    assert_eq!((reply.status, reply.problem()), (404, "not-found".to_owned()));
    assert_eq!(reply.json()["id"], "gin");
}

#[tokio::test]
async fn what_a_type_refuses_is_a_400_that_names_the_parameter_and_says_why() {
    let server = Server::start().await;
    let reply = server.ask("POST /toy/add/tea/11").await;
    assert_eq!((reply.status, reply.problem()), (400, "malformed".to_owned()));
    let body = reply.json();
    assert_eq!(body["parameter"], "amount");
    assert_eq!(body["detail"], "amount: an amount is a whole number from 1 to 10");

    let reply = server.ask("GET /toy/wait/soon").await;
    assert_eq!((reply.status, reply.problem()), (400, "malformed".to_owned()));
}

#[tokio::test]
async fn bad_input_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let amounts = [
        "-1",
        "+5",
        "05",
        "1_0",
        "1e3",
        "5.0",
        "%205",
        "5%20",
        "%D9%A5",
        "٥",
        "NaN",
        "0x10",
        "9007199254740992",
        "9223372036854775808",
        "18446744073709551616",
        "%00",
        "5%00",
        "%0a",
        "5%0a",
        "%ff",
        "%C3%28",
        "%",
        "%zz",
        "0",
        "..",
        "%2e%2e",
        "5%2f",
        "5;",
        "5?x",
        "a}{b",
        "'%3B--",
        "%22",
        "5%23",
    ];
    let long = "9".repeat(400);
    for amount in amounts.into_iter().chain([long.as_str()]) {
        let reply = server.ask(&format!("POST /toy/add/tea/{amount}")).await;
        if amount == "5?x" {
            // A query is no part of the path; nothing reads it.
            assert_eq!((reply.status, reply.json()["level"].as_u64()), (200, Some(5)));
            continue;
        }
        assert_eq!((reply.status, reply.problem()), (400, "malformed".to_owned()), "{amount}");
    }
    let ids = ["TEA", "%00", "tea%00", "..", "%2e%2e", "te%2fa", "a}{b", "';--", "teateatea", "٥", "tea%0a", "%20tea"];
    for id in ids {
        let reply = server.ask(&format!("POST /toy/add/{id}/1")).await;
        assert_eq!((reply.status, reply.problem()), (400, "malformed".to_owned()), "{id}");
        assert_eq!(reply.json()["parameter"], "id", "{id}");
    }
    let reply = server.ask("POST /toy/add/te%ffa/1").await;
    assert_eq!((reply.status, reply.problem()), (400, "malformed".to_owned()));
    assert_eq!(server.ask("GET /toy/find/tea").await.json()["level"], 5);
}

#[tokio::test]
async fn paths_are_matched_as_they_are() {
    let server = Server::start().await;
    let paths = [
        "/toy",
        "/toy/",
        "/toy/find",
        "/toy/find/",
        "//toy/find/tea",
        "/toy//find/tea",
        "/toy/find//tea",
        "/toy/find/tea/",
        "/toy/./find/tea",
        "/x/../toy/find/tea",
        "/toy/find/../find/tea",
        "/Toy/find/tea",
        "/toy/%66ind/tea",
        "/toy%2ffind/tea",
        "/toy\\find\\tea",
        "/toy/find/te/a",
    ];
    for path in paths {
        let reply = server.ask(&format!("GET {path}")).await;
        assert_eq!((reply.status, reply.problem()), (404, "no-such-route".to_owned()), "{path}");
    }
    let reply = server.ask("GET /toy/find/%74%65%61").await;
    assert_eq!(reply.status, 200, "a percent-encoded value is the value");
}

#[tokio::test]
async fn another_method_is_a_405_that_lists_the_right_ones() {
    let server = Server::start().await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let reply = server.ask(&format!("{method} /toy/add/tea/1")).await;
        assert_eq!((reply.status, reply.problem()), (405, "method-not-allowed".to_owned()), "{method}");
        assert_eq!(reply.header("allow"), Some("POST"), "{method}");
    }
    let reply = server.ask("POST /toy/find/tea").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD")));
    let reply = server.ask("POST /livez").await;
    assert_eq!((reply.status, reply.problem()), (405, "method-not-allowed".to_owned()));
}

#[tokio::test]
async fn a_repeated_key_gets_the_same_reply_and_another_request_with_it_a_422() {
    let server = Server::start().await;
    for _ in 0..3 {
        let reply = server.ask("POST /toy/add/tea/4\nIdempotency-Key: \"key-1\"").await;
        assert_eq!((reply.status, &reply.json()["level"]), (200, &json!(4)));
    }
    assert_eq!(server.ask("POST /toy/add/tea/4\nIdempotency-Key: key-1").await.json()["level"], 4);
    let reply = server.ask("POST /toy/add/tea/5\nIdempotency-Key: key-1").await;
    assert_eq!((reply.status, reply.problem()), (422, "idempotency-key-reused".to_owned()));
    assert_eq!(server.ask("POST /toy/add/tea/4\nIdempotency-Key: key-2").await.json()["level"], 8);
}

#[tokio::test]
async fn a_key_that_is_none_is_a_400() {
    let server = Server::start().await;
    for headers in ["Idempotency-Key: \"a", "Idempotency-Key:", "Idempotency-Key: a\nIdempotency-Key: a"] {
        let reply = server.ask(&format!("POST /toy/add/tea/1\n{headers}")).await;
        assert_eq!((reply.status, reply.problem()), (400, "malformed".to_owned()), "{headers}");
        assert_eq!(reply.json()["header"], "Idempotency-Key");
    }
    assert_eq!(server.ask("GET /toy/find/tea").await.json()["level"], 0);
}

#[tokio::test]
async fn every_kind_of_problem_is_explained_under_its_type() {
    let server = Server::start().await;
    let list = server.ask("GET /problems").await;
    assert_eq!(list.header("vary"), Some("accept"));
    let list = list.json();
    let kinds: Vec<&str> = list.as_array().unwrap().iter().map(|kind| kind["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"/problems/cup-full") && kinds.contains(&"/problems/malformed"), "{kinds:?}");
    for kind in kinds {
        let explained = server.ask(&format!("GET {kind}")).await;
        assert_eq!((explained.status, explained.header("content-type")), (200, Some("application/json")), "{kind}");
        assert_eq!(explained.json()["type"], kind);
    }
    let explained = server.ask("GET /problems/cup-full").await.json();
    assert!(explained["explanation"].as_str().unwrap().contains("Nothing was poured"));
    assert_eq!(server.ask("GET /problems/none").await.problem(), "not-found");
}

#[tokio::test]
async fn browsers_get_pages_whose_links_lead_somewhere() {
    let server = Server::start().await;
    let mut to_see = vec!["/".to_owned()];
    let mut seen = Vec::new();
    while let Some(path) = to_see.pop() {
        let reply = server.ask(&format!("GET {path}\nAccept: text/html,*/*;q=0.8")).await;
        assert_eq!(reply.status, 200, "{path}");
        if reply.header("content-type") == Some("text/html; charset=utf-8") {
            let policy = reply.header("content-security-policy").expect("a policy");
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
            let links = reply.text().split(" href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            let new: Vec<_> = links.filter(|link| link.starts_with('/')).map(str::to_owned).collect();
            to_see.extend(new.into_iter().filter(|link| !seen.contains(link)));
        }
        seen.push(path);
    }
    for path in ["/openapi.json", "/readyz", "/livez", "/metrics", "/problems", "/problems/cup-full"] {
        assert!(seen.iter().any(|page| page == path), "{path} is reached from /: {seen:?}");
    }
    let page = server.ask("GET /\nAccept: text/html").await;
    assert!(page.text().contains("curl http://localhost/toy/find/tea"), "the example says where the page is");
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let server = Server::start().await;
    server.ask("GET /livez").await;
    let older = server.ask("GET /metrics").await;
    assert_eq!(older.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(older.text().contains("# TYPE sagamart_http_requests_total counter\n"), "{}", older.text());
    assert!(!older.text().contains("# EOF") && !older.text().contains("# UNIT"));
    let newer = server.ask("GET /metrics\nAccept: application/openmetrics-text; version=1.0.0").await;
    assert_eq!(newer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(newer.text().contains("# TYPE sagamart_http_requests counter\n") && newer.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn in_the_templates_dialect_a_refusal_is_a_400_with_the_same_body_and_nothing_else_changes() {
    let readiness = Readiness::new();
    let (router, document) = site_in(Dialect::Template, readiness.clone());
    let server = Server::start_router(router, readiness, Settings::default(), Duration::ZERO).await;
    let missing = server.ask("POST /toy/add/gin/1").await;
    assert_eq!((missing.status, missing.problem()), (400, "not-found".to_owned()));
    assert_eq!(missing.json()["id"], "gin");
    assert_eq!(server.ask("POST //toy//add/tea/8").await.json()["level"], 8);
    let full = server.ask("POST /toy/add/tea/8").await;
    assert_eq!((full.status, full.problem()), (400, "cup-full".to_owned()));
    assert_eq!(full.json()["level"], 8);
    for (request, status, kind) in [
        ("GET /toy/none", 404, "no-such-route"),
        ("GET /problems/none", 404, "not-found"),
        ("GET /toy/add/tea/1", 405, "method-not-allowed"),
        ("POST /toy/add/TEA/1", 400, "malformed"),
    ] {
        let reply = server.ask(request).await;
        assert_eq!((reply.status, reply.problem()), (status, kind.to_owned()), "{request}");
    }
    assert_eq!(server.ask("POST //toy/add/tea/1\nIdempotency-Key: k").await.json()["level"], 9);
    assert_eq!(server.ask("POST /toy/add/tea/1\nIdempotency-Key: k").await.json()["level"], 9, "the same request");
    let document = serde_json::to_value(document).unwrap();
    let add = document["paths"]["/toy/add/{id}/{amount}"]["post"]["responses"].as_object().unwrap();
    assert!(add.contains_key("400") && !add.contains_key("404") && !add.contains_key("409"), "{add:?}");
}
