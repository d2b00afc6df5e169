//! Kubernetes objects, as they would be sent to a cluster.

use serde_json::Value;

use crate::tools;

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(
    /// As JSON.
    pub Value,
);

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

    /// Whether a selector (a map of labels) chooses its pods.
    #[must_use]
    pub fn pods_match(&self, labels: &Value) -> bool {
        let pods = self.at("/spec/template/metadata/labels");
        labels
            .as_object()
            .is_some_and(|labels| !labels.is_empty() && labels.iter().all(|(key, value)| pods.get(key) == Some(value)))
    }
}
