//! The OpenAPI document of the toy service, as served.

use serde_json::{Value, json};
use web::Readiness;

use crate::{client::Server, toy};

#[tokio::test]
async fn the_document_is_3_1_and_describes_the_process() {
    let server = Server::start().await;
    let reply = server.ask("GET /openapi.json").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["title"], "toy");
    assert_eq!(document["info"]["version"], "1.2.3");
    assert_eq!(document["info"]["license"]["identifier"], "MIT OR Apache-2.0");
    assert_eq!(document["servers"], json!([{"url": "/"}]));
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    assert_eq!(tags, ["toy", "operations"]);
    let (_, built) = toy::site(Readiness::new());
    assert_eq!(document, serde_json::to_value(built).unwrap(), "what is served is what was built");
}

fn document() -> Value {
    let (_, document) = toy::site(Readiness::new());
    serde_json::to_value(document).unwrap()
}

/// Every operation as path, method and description.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    methods.collect()
}

#[test]
fn every_route_is_there_with_a_summary_a_tag_and_its_parameters() {
    let document = document();
    let mut routes: Vec<_> = operations(&document).iter().map(|(path, method, _)| format!("{method} {path}")).collect();
    routes.sort_unstable();
    let expected = [
        "get /",
        "get /livez",
        "get /metrics",
        "get /openapi.json",
        "get /problems",
        "get /problems/{slug}",
        "get /readyz",
        "get /toy/find/{id}",
        "get /toy/wait/{ms}",
        "post /toy/add/{id}/{amount}",
    ];
    assert_eq!(routes, expected);
    for (path, method, operation) in operations(&document) {
        assert!(operation["summary"].is_string(), "{method} {path}");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{method} {path}");
        assert!(operation["operationId"].is_string(), "{method} {path}");
        let in_path = |name: &str| {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            parameters.filter(|parameter| parameter["in"] == "path" && parameter["name"] == name).count()
        };
        for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            assert_eq!(in_path(part), 1, "{method} {path}: {part}");
        }
    }
}

#[test]
fn every_post_takes_the_idempotency_key_and_says_what_becomes_of_a_reused_one() {
    let document = document();
    let mut posts = 0;
    for (path, _, operation) in operations(&document).into_iter().filter(|(_, method, _)| *method == "post") {
        let parameters = operation["parameters"].as_array().unwrap();
        let header = parameters.iter().find(|parameter| parameter["in"] == "header").expect(path);
        assert_eq!(header["name"], "Idempotency-Key");
        assert_eq!(header["required"], false);
        assert_eq!(header["schema"]["type"], "string");
        assert!(operation["responses"]["422"].is_object(), "{path}");
        posts += 1;
    }
    assert_eq!(posts, 1);
}

#[test]
fn every_failure_of_every_route_is_a_problem() {
    let document = document();
    let mut failures = 0;
    for (path, method, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.starts_with('2') || (path == "/readyz" && status == "503") {
                continue;
            }
            let response = match response["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).expect(reference),
                None => response,
            };
            let schema = &response["content"]["application/problem+json"]["schema"];
            assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{method} {path} {status}");
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} {status}");
            failures += 1;
        }
    }
    assert!(failures > 10, "{failures}");
    let add = &document["paths"]["/toy/add/{id}/{amount}"]["post"]["responses"];
    let statuses: Vec<_> = add.as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["200", "400", "404", "405", "408", "409", "413", "414", "422", "431", "500", "501", "503"]);
    assert_eq!(add["503"]["headers"]["Retry-After"]["schema"]["type"], "integer");
    let required = &document["components"]["schemas"]["Problem"]["required"];
    assert_eq!(required, &json!(["type", "title", "status", "detail"]));
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(elements) => elements.iter().for_each(|element| references(element, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
#[should_panic(expected = "every route is documented")]
fn a_route_that_is_not_documented_is_found() {
    let routes = toy::Toy::new().router().route("/toy/secret", axum::routing::get(async || "tea"));
    drop(toy::bare_site(web::Dialect::Own, Readiness::new()).router(routes));
}

#[test]
#[should_panic(expected = "every route is documented")]
fn a_route_that_is_documented_only_is_found() {
    let mut routes = toy::Toy::new().router();
    let secret = routes.get_openapi().paths.paths["/toy/find/{id}"].clone();
    routes.get_openapi_mut().paths.paths.insert("/toy/secret".to_owned(), secret);
    drop(toy::bare_site(web::Dialect::Own, Readiness::new()).router(routes));
}
