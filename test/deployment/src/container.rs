//! A container, and what it gives the binary in it.

use serde_json::Value;

use crate::object::Object;

/// A container of a workload's pods.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    /// The Deployment or `StatefulSet`.
    pub workload: &'a Object,
    /// The container as it stands there.
    pub value: &'a Value,
}

impl Object {
    /// The containers of its pods.
    #[must_use]
    pub fn containers(&self) -> Vec<Container<'_>> {
        self.list("/spec/template/spec/containers").iter().map(|value| Container { workload: self, value }).collect()
    }
}

impl<'a> Container<'a> {
    /// What is at a JSON pointer; null where nothing is.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &'a Value {
        self.value.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The text there; empty where none is.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &'a str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// The number there.
    ///
    /// # Panics
    /// None is there.
    #[must_use]
    pub fn number(&self, pointer: &str) -> u64 {
        self.at(pointer).as_u64().unwrap_or_else(|| panic!("{self}: no number at {pointer}"))
    }

    /// Whether it runs the shop's binary.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.words("/command") == ["sagamart"]
    }

    /// The list of texts there.
    #[must_use]
    pub fn words(&self, pointer: &str) -> Vec<&'a str> {
        self.at(pointer).as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The subcommand of the binary.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn subcommand(&self) -> &'a str {
        self.words("/args").first().copied().unwrap_or_else(|| panic!("{self}: no subcommand"))
    }

    /// Names of its environment variables.
    #[must_use]
    pub fn variables(&self) -> Vec<&'a str> {
        self.at("/env").as_array().into_iter().flatten().filter_map(|entry| entry.get("name")?.as_str()).collect()
    }

    /// An environment variable's entry.
    #[must_use]
    pub fn variable_entry(&self, name: &str) -> Option<&'a Value> {
        self.at("/env").as_array()?.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))
    }

    /// An environment variable's value, as it stands.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn variable(&self, name: &str) -> &'a str {
        let value = self.variable_entry(name).and_then(|entry| entry.get("value")?.as_str());
        value.unwrap_or_else(|| panic!("{self}: no value for {name}"))
    }

    /// The port behind a name.
    ///
    /// # Panics
    /// No port has it.
    #[must_use]
    pub fn port(&self, name: &str) -> u64 {
        let ports = self.at("/ports").as_array().into_iter().flatten();
        let port = ports
            .filter(|port| port.get("name").and_then(Value::as_str) == Some(name))
            .find_map(|port| port.get("containerPort")?.as_u64());
        port.unwrap_or_else(|| panic!("{self}: no port {name}"))
    }
}

impl std::fmt::Display for Container<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}/{}", self.workload.kind(), self.workload.name(), self.text("/name"))
    }
}
