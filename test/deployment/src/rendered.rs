//! What this repository's manifests and chart render to.

use std::sync::LazyLock;

use serde_json::Value;

use crate::{
    chart,
    object::{self, Object},
    tools,
};

/// Every way in which this repository renders its manifests: how to call it, and its objects.
///
/// # Panics
/// One cannot be rendered.
#[must_use]
pub fn all_rendered() -> &'static [(String, Vec<Object>)] {
    static ALL: LazyLock<Vec<(String, Vec<Object>)>> = LazyLock::new(render_all);
    &ALL
}

fn render_all() -> Vec<(String, Vec<Object>)> {
    let overlays = ["minikube", "cluster", "embedded"].map(|name| (format!("k8s/overlays/{name}"), overlay(name)));
    let mut all = vec![("k8s/".to_owned(), plain())];
    all.extend(overlays);
    all.extend(chart::variants().into_iter().map(|(name, values)| (name, chart::rendered(&values))));
    all
}

/// What `kubectl apply -f k8s/` reads: kubectl's own choice of files in that folder.
///
/// # Panics
/// kubectl refuses one of them.
#[must_use]
pub fn plain() -> Vec<Object> {
    let mut command = tools::kubectl();
    command.args([
        "annotate",
        "--local",
        "--recursive=false",
        "--filename",
        "k8s/",
        "--output",
        "json",
        "read-by=test",
    ]);
    let mut objects = Vec::new();
    for document in serde_json::Deserializer::from_str(&tools::output(&mut command)).into_iter::<Value>() {
        let mut document = document.expect("kubectl writes JSON");
        if let Some(metadata) = document.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            metadata.remove("annotations");
        }
        objects.push(Object(document));
    }
    objects
}

/// What `kubectl apply -k k8s/overlays/NAME` would send.
///
/// # Panics
/// There is no such overlay, or it is wrong.
#[must_use]
pub fn overlay(name: &str) -> Vec<Object> {
    object::parse(&overlay_text(name))
}

/// The same as text.
///
/// # Panics
/// As [`overlay`].
#[must_use]
pub fn overlay_text(name: &str) -> String {
    tools::output(tools::kubectl().arg("kustomize").arg(format!("k8s/overlays/{name}")))
}
