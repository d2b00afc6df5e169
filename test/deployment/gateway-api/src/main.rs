//! Reads a JSON array of Kubernetes objects and holds those of the Gateway API against its published types.
//!
//! An object passes when it can be read as its type and writes back as what it was: a misspelt or misplaced field would be
//! dropped on the way, a wrong type or an unknown choice would not be read at all.

use std::process::ExitCode;

use gateway_api::experimental::{gatewayclasses::GatewayClass, gateways::Gateway, httproutes::HTTPRoute};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

const GROUP: &str = "gateway.networking.k8s.io/v1";

fn main() -> ExitCode {
    let objects: Vec<Value> = match serde_json::from_reader(std::io::stdin().lock()) {
        Ok(objects) => objects,
        Err(error) => {
            eprintln!("standard input is not a JSON array: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut checked = 0_usize;
    let mut findings = Vec::new();
    for object in &objects {
        if text(object, "/apiVersion").starts_with("gateway.networking.k8s.io/") {
            checked += 1;
            findings.extend(check(object).err());
        }
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    println!("{checked}");
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(object: &Value) -> Result<(), String> {
    let (version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let outcome = match (version, kind) {
        (GROUP, "GatewayClass") => round_trip::<GatewayClass>(object),
        (GROUP, "Gateway") => round_trip::<Gateway>(object),
        (GROUP, "HTTPRoute") => round_trip::<HTTPRoute>(object),
        _ => Err("no published type of that name and version".to_owned()),
    };
    outcome.map_err(|why| format!("{version} {kind} {}: {why}", text(object, "/metadata/name")))
}

fn round_trip<T: Serialize + DeserializeOwned>(object: &Value) -> Result<(), String> {
    let typed: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let back = serde_json::to_value(typed).map_err(|error| error.to_string())?;
    lost(object, &back, String::new()).map_or(Ok(()), Err)
}

/// The first part of `before` that `after` does not have.
fn lost(before: &Value, after: &Value, path: String) -> Option<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            let found = after.get(key).unwrap_or(&Value::Null);
            lost(value, found, path)
        }),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => before
            .iter()
            .zip(after)
            .enumerate()
            .find_map(|(index, (before, after))| lost(before, after, format!("{path}[{index}]"))),
        _ => (before != after).then(|| format!("{path} is no field of the type, or not of its form")),
    }
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}
