//! What operators and tools see: health, documents, metrics, logs.

use std::collections::{BTreeMap, BTreeSet};

use sagamart_black_box::{Answer, Fixture, Outcome, Settings, exposition::Exposition, raw};
use serde_json::Value;

/// Every route of the shop: method, path as OpenAPI writes it, and the statuses besides 200 that it documents.
const ROUTES: [(&str, &str, &[&str]); 15] = [
    ("post", "/orders/create/{user_id}", &["400", "404", "422"]),
    ("get", "/orders/find/{order_id}", &["400", "404"]),
    ("post", "/orders/addItem/{order_id}/{item_id}/{quantity}", &["400", "404", "409", "422"]),
    ("post", "/orders/checkout/{order_id}", &["400", "402", "404", "409", "422", "504"]),
    ("post", "/orders/batch_init/{n}/{n_items}/{n_users}/{item_price}", &["400", "422"]),
    ("post", "/stock/item/create/{price}", &["400", "422"]),
    ("get", "/stock/find/{item_id}", &["400", "404"]),
    ("post", "/stock/add/{item_id}/{amount}", &["400", "404", "422"]),
    ("post", "/stock/subtract/{item_id}/{amount}", &["400", "404", "409", "422"]),
    ("post", "/stock/batch_init/{n}/{starting_stock}/{item_price}", &["400", "422"]),
    ("post", "/payment/create_user", &["400", "422"]),
    ("get", "/payment/find_user/{user_id}", &["400", "404"]),
    ("post", "/payment/add_funds/{user_id}/{amount}", &["400", "404", "422"]),
    ("post", "/payment/pay/{user_id}/{amount}", &["400", "402", "404", "409", "422"]),
    ("post", "/payment/batch_init/{n}/{starting_money}", &["400", "422"]),
];

async fn document(fixture: &Fixture) -> Value {
    fixture.shop.client.get("/openapi.json").await.json()
}

/// Follows `$ref`s within the document.
fn resolved<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    while let Some(reference) = value.get("$ref") {
        let pointer =
            reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference inside the document");
        value = document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"));
    }
    value
}

#[tokio::test]
async fn the_openapi_document_is_complete() {
    let fixture = Fixture::new().await;
    let document = document(&fixture).await;
    let version = document.get("openapi").and_then(Value::as_str).expect("a version");
    assert!(version.starts_with("3.1."), "{version}");
    for pointer in ["/info/title", "/info/version"] {
        assert!(document.pointer(pointer).is_some_and(Value::is_string), "{pointer}");
    }
    let paths = document.get("paths").and_then(Value::as_object).expect("paths");
    let mut operations = BTreeSet::new();
    for (method, path, statuses) in ROUTES {
        let operation = paths.get(path).and_then(|path| path.get(method));
        let operation = operation.unwrap_or_else(|| panic!("{method} {path} is not documented"));
        let id = operation.get("operationId").and_then(Value::as_str).expect("an id");
        assert!(operations.insert(id), "{id} is the id of two operations");
        check_parameters(&document, method, path, operation);
        check_responses(&document, &format!("{method} {path}"), operation, statuses);
    }
    for path in ["/livez", "/readyz", "/openapi.json"] {
        assert!(paths.get(path).is_some_and(|path| path.get("get").is_some()), "{path}");
    }
}

fn check_parameters(document: &Value, method: &str, path: &str, operation: &Value) {
    let parameters = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
    let named = |place: &str| -> BTreeMap<String, Value> {
        let resolved = parameters.iter().map(|parameter| resolved(document, parameter));
        let placed = resolved.filter(|parameter| parameter.get("in").is_some_and(|found| found == place));
        let name = |parameter: &Value| parameter.get("name").and_then(Value::as_str).expect("a name").to_owned();
        placed.map(|parameter| (name(parameter), parameter.clone())).collect()
    };
    let in_path = named("path");
    let wanted: BTreeSet<String> = path.split(['{', '}']).skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(in_path.keys().cloned().collect::<BTreeSet<_>>(), wanted, "{method} {path}");
    for (name, parameter) in &in_path {
        assert_eq!(parameter.get("required"), Some(&true.into()), "{path}: {name}");
        assert!(parameter.get("schema").is_some(), "{path}: {name}");
    }
    let keys = named("header");
    let key = keys.get("Idempotency-Key");
    assert_eq!(key.is_some(), method == "post", "{method} {path}");
    assert!(key.is_none_or(|key| key.get("required") != Some(&true.into())), "{path}: a key is optional");
}

fn check_responses(document: &Value, operation_name: &str, operation: &Value, statuses: &[&str]) {
    let responses = operation.get("responses").and_then(Value::as_object).expect("responses");
    assert!(responses.contains_key("200"), "{operation_name}");
    for status in statuses {
        let ranges = [(*status).to_owned(), format!("{}XX", status.get(..1).unwrap_or_default()), "default".to_owned()];
        let response = ranges.iter().find_map(|range| responses.get(range));
        let response = resolved(document, response.unwrap_or_else(|| panic!("{operation_name}: no {status}")));
        let schema = response.pointer("/content/application~1problem+json/schema");
        let schema = resolved(document, schema.unwrap_or_else(|| panic!("{operation_name}: {status} has no problem")));
        for member in ["type", "title", "status", "detail"] {
            let found = schema.pointer(&format!("/properties/{member}")).is_some();
            assert!(found, "{operation_name}: {status} has no `{member}`");
        }
    }
}

#[tokio::test]
async fn every_problem_type_leads_to_its_explanation() {
    let fixture = Fixture::new().await;
    let client = &fixture.shop.client;
    let user = fixture.shop.create_user().await;
    let answers: [Answer; 4] = [
        client.get("/orders/find/nobody").await,
        client.post("/stock/add/x/y").await,
        client.post(&format!("/payment/pay/{user}/1")).await,
        client.get("/nowhere").await,
    ];
    for answer in answers {
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let kind = body.get("type").and_then(Value::as_str).expect("a type");
        let page = client.get(kind).await;
        assert_eq!(page.status, 200, "{kind}");
        let title = body.get("title").and_then(Value::as_str).expect("a title");
        assert!(page.text().contains(title), "{}", page.text());
    }
}

#[tokio::test]
async fn every_kind_of_problem_is_listed_once() {
    let fixture = Fixture::new().await;
    let list: Vec<Value> = fixture.shop.client.get("/problems").await.json();
    let mut types: Vec<_> = list.iter().filter_map(|kind| kind.get("type")?.as_str()).collect();
    assert!(types.len() > 10, "{list:?}");
    types.sort_unstable();
    let listed = types.len();
    types.dedup();
    assert_eq!(types.len(), listed, "{list:?}");
}

#[tokio::test]
async fn health_is_told_apart_from_readiness() {
    let fixture = Fixture::new().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(fixture.shop.client.get(path).await.status, 200, "{path}");
    }
}

/// The families that dashboards are built on, with their types.
const FAMILIES: [(&str, &str); 22] = [
    ("sagamart_sagas_total", "counter"),
    ("sagamart_saga_duration_seconds", "histogram"),
    ("sagamart_sagas_in_flight", "gauge"),
    ("sagamart_sagas_stuck", "gauge"),
    ("sagamart_sagas_held", "gauge"),
    ("sagamart_steps_noted_total", "counter"),
    ("sagamart_log_lag_events", "gauge"),
    ("sagamart_log_retained_events", "gauge"),
    ("sagamart_requests_waiting", "gauge"),
    ("sagamart_commit_duration_seconds", "histogram"),
    ("sagamart_flush_duration_seconds", "histogram"),
    ("sagamart_http_requests_total", "counter"),
    ("sagamart_http_request_duration_seconds", "histogram"),
    ("sagamart_http_requests_in_flight", "gauge"),
    ("sagamart_partition_owned", "gauge"),
    ("sagamart_sagas_parked", "gauge"),
    ("sagamart_sagas_held_seconds", "gauge"),
    ("sagamart_ready", "gauge"),
    ("sagamart_store_has_room", "gauge"),
    ("process_cpu_seconds_total", "counter"),
    ("process_open_fds", "gauge"),
    ("process_resident_memory_bytes", "gauge"),
];

async fn scraped(fixture: &Fixture) -> Exposition {
    let answer = fixture.server().operators().get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer:?}");
    Exposition::parse(&answer.text())
}

#[tokio::test]
async fn metrics_are_well_formed_and_count_what_happened() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let shop = &fixture.shop;
    let (rich, poor) = (shop.user_with(100).await, shop.create_user().await);
    let (item, rare) = (shop.item_with(1, 10).await, shop.create_item(1).await);
    for _ in 0..3 {
        let order = shop.order_of(&rich, &[(&item, 1)]).await;
        assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    }
    let order = shop.order_of(&poor, &[(&item, 1)]).await;
    assert_eq!(shop.checkout(&order).await.slug(), "not-enough-credit");
    for _ in 0..2 {
        let order = shop.order_of(&rich, &[(&rare, 1)]).await;
        assert_eq!(shop.checkout(&order).await.slug(), "out-of-stock");
    }
    // Gauges are set at the engine's next tick, some milliseconds after the answer.
    let mut metrics = scraped(&fixture).await;
    for _ in 0..500 {
        // Of each partition by itself, and of the observer after all others.
        let is_still =
            ["in_flight", "held"].iter().all(|which| metrics.sum(&format!("sagamart_sagas_{which}"), &[]) == Some(0.0));
        if is_still && metrics.sum("sagamart_partition_owned", &[]) == Some(7.0) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        metrics = scraped(&fixture).await;
    }
    for (family, kind) in FAMILIES {
        assert_eq!(metrics.families.get(family).map(String::as_str), Some(kind), "{family}");
    }
    for sample in &metrics.samples {
        let family = metrics.family(sample).unwrap_or_else(|| panic!("{} has no type", sample.name));
        assert!(metrics.helped.iter().any(|helped| helped == family), "{family} has no help");
        assert!(["sagamart_", "process_"].iter().any(|prefix| family.starts_with(prefix)), "{family}");
        let counter = metrics.families.get(family).is_some_and(|kind| kind == "counter");
        assert!(!counter || sample.name.ends_with("_total"), "{}", sample.name);
    }
    let sagas = |outcome| metrics.sum("sagamart_sagas_total", &[("outcome", outcome)]);
    assert_eq!(
        (sagas("completed"), sagas("not_enough_credit"), sagas("out_of_stock")),
        (Some(3.0), Some(1.0), Some(2.0))
    );
    assert_eq!(metrics.sum("sagamart_saga_duration_seconds_count", &[]), Some(6.0));
    let released = metrics.sum("sagamart_steps_noted_total", &[("service", "stock"), ("note", "released")]);
    assert_eq!(released, Some(1.0), "the one that could not be paid was compensated");
    assert_eq!(metrics.sum("sagamart_sagas_in_flight", &[]), Some(0.0));
    assert_eq!(metrics.sum("sagamart_sagas_stuck", &[]), Some(0.0));
    assert_eq!(metrics.sum("sagamart_sagas_held", &[]), Some(0.0));
    assert_eq!(metrics.sum("sagamart_partition_owned", &[]), Some(7.0), "two of each service, and the observer's");
    assert_eq!(sagas("timeout"), Some(0.0), "what rises from nothing shows as no rise");
    assert_eq!(
        (metrics.sum("sagamart_ready", &[]), metrics.sum("sagamart_store_has_room", &[])),
        (Some(1.0), Some(1.0))
    );
    let vitals = |name| metrics.sum(name, &[]).unwrap_or_default();
    assert!(vitals("process_open_fds") > 5.0 && vitals("process_open_fds") < vitals("process_max_fds"));
    assert!(vitals("process_resident_memory_bytes") > 1e6 && vitals("process_cpu_seconds_total") > 0.0);
    assert!(metrics.sum("sagamart_flush_duration_seconds_count", &[]).is_some_and(|flushes| flushes > 0.0));
    let checkouts = [("route", "/orders/checkout/{order_id}"), ("method", "POST")];
    assert_eq!(metrics.sum("sagamart_http_requests_total", &checkouts), Some(6.0));
    let refused = [("route", "/orders/checkout/{order_id}"), ("status", "409")];
    assert_eq!(metrics.sum("sagamart_http_requests_total", &refused), Some(2.0));
}

/// What the page at `/` asks people to paste, as a browser shows it.
fn example_of(page: &str) -> String {
    let example = page.split("<pre").nth(1).and_then(|rest| rest.split_once('>')?.1.split("</pre>").next());
    let plain = example.expect("an example").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    plain.replace("&amp;", "&")
}

#[tokio::test]
async fn the_first_page_has_a_checkout_that_works_when_it_is_pasted() {
    let fixture = Fixture::new().await;
    let address = fixture.server().address();
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
    let page = raw::exchange(address, request.as_bytes()).await.expect("a page").text();
    let example = example_of(&page);
    let mut shell = std::process::Command::new("bash");
    shell.arg("-euc").arg(&example);
    let output = tokio::task::spawn_blocking(move || shell.output()).await.expect("no panic").expect("bash runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{example}\n{output:?}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines.get(..4),
        Some(&["funds added", "stock added", "item added", "Checkout successful"][..]),
        "{said}"
    );
    assert_eq!(lines.get(4), Some(&"{\"stock\":8,\"price\":5}"), "{said}");
    assert!(lines.get(5).is_some_and(|user| user.ends_with("\"credit\":90}")), "{said}");
}

#[tokio::test]
async fn clients_cannot_make_the_metrics_grow() {
    let fixture = Fixture::new().await;
    let before = scraped(&fixture).await.samples.len();
    let address = fixture.server().address();
    for number in 0..300 {
        let path = format!("/nowhere/{number}/\"}} 1\\n");
        assert_eq!(raw::get(address, path.replace(' ', "%20").as_bytes()).await.status, 404);
        let request = format!("METHOD{number} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = raw::exchange(address, request.as_bytes()).await.expect("an answer");
        assert_eq!(answer.status, 405);
    }
    let after = scraped(&fixture).await.samples.len();
    assert!(after <= before + 60, "{before} samples became {after}");
}

/// Requests whose text tries to begin a log line of its own, to hide in one, or to drive a terminal.
const FORGERIES: [&str; 7] = [
    "/stock/find/x%0a%7B%22level%22:%22ERROR%22,%22forged%22:true%7D",
    "/stock/find/x%0d%0aERROR%20forged",
    "/orders/find/%1b%5b2J%1b%5b31mforged",
    "/payment/find_user/%E2%80%AEforged",
    "/payment/find_user/%E2%80%A8forged",
    "/forged%0aERROR%20forged",
    "/stock/find/%22,%22forged%22:%22",
];

#[tokio::test]
async fn no_request_can_forge_a_log_line() {
    for format in ["json", "human"] {
        let arguments = ["--log", format, "--log-filter", "debug"].map(str::to_owned).to_vec();
        let mut fixture = Fixture::with(Settings { arguments, ..Settings::default() }).await;
        let address = fixture.server().address();
        for forgery in FORGERIES {
            raw::get(address, forgery.as_bytes()).await;
            raw::post(address, forgery.as_bytes()).await;
            let headers = format!(
                "GET {forgery} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: \x1b[2J\tforged\r\nIdempotency-Key: \x1b\r\nConnection: close\r\n\r\n"
            );
            raw::exchange(address, headers.as_bytes()).await;
        }
        let exit = fixture.take_server().terminate().await;
        assert!(exit.stderr.lines().count() > 10, "there is something to forge: {}", exit.stderr);
        for line in exit.stderr.lines() {
            let plain = |letter: char| !letter.is_control() && !matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202e}');
            assert!(line.chars().all(plain), "{}", line.escape_debug());
            if format == "json" {
                let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(parsed.get("forged").is_none() && parsed.pointer("/fields/forged").is_none(), "{line}");
                assert!(parsed.get("level").is_some_and(Value::is_string), "{line}");
            } else {
                let first = line.chars().next();
                assert!(first.is_some_and(|digit| digit.is_ascii_digit()), "a line starts with its time: {line}");
            }
        }
    }
}
