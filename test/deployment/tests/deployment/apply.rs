//! `kubectl apply -f k8s/` and the commands that remove again, as documented, by the real kubectl: with a server that only tells which kinds
//! there are, and that none of the objects exists yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
};

use sagamart_deployment_tests::{Object, rendered, tools};
use serde_json::{Value, json};

/// Answers discovery for the kinds of these objects, has the Secrets `there`, and answers `404` to everything else. Ends with the test's
/// process.
pub(crate) fn server_for(objects: &[Object], there: &[Value]) -> String {
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in objects {
        kinds.entry(object.text("/apiVersion").to_owned()).or_default().insert(object.kind().to_owned());
    }
    let known = Known { kinds, there: there.to_vec() };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let known = known.clone();
            thread::spawn(move || serve(&stream, &known));
        }
    });
    format!("http://{address}")
}

/// What a server tells.
#[derive(Clone)]
struct Known {
    kinds: BTreeMap<String, BTreeSet<String>>,
    there: Vec<Value>,
}

impl Known {
    fn at(&self, path: &str) -> Option<Value> {
        let is_at = |secret: &&Value| {
            let text = |pointer: &str| secret.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
            path == format!("/api/v1/namespaces/{namespace}/secrets/{name}")
        };
        self.there.iter().find(is_at).cloned().or_else(|| discovery(path, &self.kinds))
    }
}

fn serve(stream: &TcpStream, known: &Known) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        // Requests here have no body: the head ends with an empty line.
        let _ = lines.by_ref().find(String::is_empty);
        let path = request.split([' ', '?']).nth(1).unwrap_or_default();
        let body = known.at(path);
        let (status, body) = body.map_or_else(|| ("404 Not Found", not_found()), |body| ("200 OK", body));
        let (body, mut stream) = (body.to_string(), stream);
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

fn not_found() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
}

fn discovery(path: &str, kinds: &BTreeMap<String, BTreeSet<String>>) -> Option<Value> {
    match path {
        "/version" => Some(json!({"major": "1", "minor": "37", "gitVersion": "v1.37.1"})),
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => {
            let groups: Vec<Value> = kinds
                .keys()
                .filter_map(|group_version| {
                    let (name, version) = group_version.split_once('/')?;
                    let version = json!({"groupVersion": group_version, "version": version});
                    Some(json!({"name": name, "versions": [version], "preferredVersion": version}))
                })
                .collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        _ => {
            let group_version = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/"))?;
            let resources: Vec<Value> = kinds.get(group_version)?.iter().map(|kind| resource(kind)).collect();
            Some(
                json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}),
            )
        }
    }
}

fn resource(kind: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = match singular.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if singular.ends_with('s') => format!("{singular}es"),
        None => format!("{singular}s"),
    };
    let namespaced = !matches!(kind, "Namespace" | "GatewayClass");
    let verbs = ["create", "delete", "get", "list", "patch", "update"];
    json!({"name": plural, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": verbs})
}

/// What kubectl says that it would do, one line per object.
fn kubectl(server: &str, arguments: &[&str]) -> Vec<String> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut command: Command = tools::kubectl();
    command.args(arguments).args(["--dry-run=client", "--server", server]).env("HOME", home.path());
    tools::output(&mut command).lines().map(str::to_owned).collect()
}

#[test]
fn kubectl_applies_the_plain_folder_as_it_stands_beginning_with_the_namespace() {
    let objects = rendered::plain();
    let said = kubectl(&server_for(&objects, &[]), &["apply", "-f", "k8s/", "--validate=false"]);
    assert_eq!(said.len(), objects.len(), "{said:#?}");
    assert_eq!(said.first().map(String::as_str), Some("namespace/sagamart created (dry run)"), "{said:#?}");
    for name in [
        "deployment.apps/order",
        "deployment.apps/observer",
        "service/stock-internal",
        "ingress.networking.k8s.io/sagamart",
    ] {
        assert!(said.contains(&format!("{name} created (dry run)")), "{said:#?}");
    }
}

#[test]
fn overlays_are_applied_whole() {
    for name in ["cluster", "embedded"] {
        let objects = rendered::overlay(name);
        let said =
            kubectl(&server_for(&objects, &[]), &["apply", "-k", &format!("k8s/overlays/{name}"), "--validate=false"]);
        assert_eq!(said.len(), objects.len(), "{name}: {said:#?}");
    }
}

/// Deleting the namespace would take databases, volumes and passwords along.
#[test]
fn what_the_documents_say_removes_the_shop_and_spares_the_namespace() {
    let text = tools::text("docs/deploying.md");
    for (command, objects) in [
        ("delete -f k8s/ -l app.kubernetes.io/part-of=sagamart", rendered::plain()),
        ("delete -k k8s/overlays/cluster -l app.kubernetes.io/part-of=sagamart", rendered::overlay("cluster")),
    ] {
        assert!(text.contains(&format!("kubectl {command}")), "docs/deploying.md does not say `{command}`");
        let arguments: Vec<&str> = command.split(' ').collect();
        let said = kubectl(&server_for(&objects, &[]), &arguments);
        assert!(!said.iter().any(|line| line.starts_with("namespace ")), "{command}: {said:#?}");
        assert_eq!(said.len(), objects.len() - 1, "{command}: all else is removed, not {said:#?}");
    }
}
