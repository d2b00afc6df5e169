//! Kubernetes objects, as they would be sent to a cluster.

use std::sync::LazyLock;

use serde_json::Value;

use crate::{container::Container, tools};

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(
    /// As JSON.
    pub Value,
);

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
    all.extend(crate::chart::variants().into_iter().map(|(name, values)| (name, crate::chart::rendered(&values))));
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
    parse(&overlay_text(name))
}

/// The same as text.
///
/// # Panics
/// As [`overlay`].
#[must_use]
pub fn overlay_text(name: &str) -> String {
    tools::output(tools::kubectl().arg("kustomize").arg(format!("k8s/overlays/{name}")))
}

/// The objects of a YAML text.
#[must_use]
pub fn parse(yaml: &str) -> Vec<Object> {
    tools::yaml(yaml).into_iter().map(Object).collect()
}

/// Those of one kind.
pub fn of_kind<'a>(objects: &'a [Object], kind: &str) -> impl Iterator<Item = &'a Object> {
    objects.iter().filter(move |object| object.kind() == kind)
}

/// The one of this kind and name.
///
/// # Panics
/// There is none.
#[must_use]
pub fn named<'a>(objects: &'a [Object], kind: &str, name: &str) -> &'a Object {
    let found = of_kind(objects, kind).find(|object| object.name() == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

impl Object {
    /// `kind`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// What is at a JSON pointer; null where nothing is.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The text there; empty where none is.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// The list there; empty where none is.
    #[must_use]
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map_or(&[], Vec::as_slice)
    }

    /// Whether pods are made from it here.
    #[must_use]
    pub fn is_workload(&self) -> bool {
        matches!(self.kind(), "Deployment" | "StatefulSet")
    }

    /// The containers of its pods.
    #[must_use]
    pub fn containers(&self) -> Vec<Container<'_>> {
        self.list("/spec/template/spec/containers").iter().map(|value| Container { workload: self, value }).collect()
    }

    /// Whether a selector (a map of labels) chooses its pods.
    #[must_use]
    pub fn pods_match(&self, labels: &Value) -> bool {
        let pods = self.at("/spec/template/metadata/labels");
        labels
            .as_object()
            .is_some_and(|labels| !labels.is_empty() && labels.iter().all(|(key, value)| pods.get(key) == Some(value)))
    }
}
