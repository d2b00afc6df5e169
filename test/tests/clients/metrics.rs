//! The metrics, read by the parsers of Prometheus' own client library.

use std::process::Command;

use sagamart_black_box::{Fixture, Outcome};
use serde_json::Value;

use crate::python;

/// Prints each family's name as the parser has it, its type, the sum of its samples, and the traces that they have as exemplars.
const READ: &str = "
import json, sys, urllib.request
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
url, accept = sys.argv[1:]
answer = urllib.request.urlopen(urllib.request.Request(url, headers={'Accept': accept} if accept else {}))
text, kind = answer.read().decode(), answer.headers['Content-Type']
reader = openmetrics if kind.startswith('application/openmetrics-text') else parser
families = reader.text_string_to_metric_families(text)
traces = lambda f: [s.exemplar.labels['trace_id'] for s in f.samples if s.exemplar]
print(json.dumps({f.name: [f.type, f.documentation, len(f.samples), sum(s.value for s in f.samples), traces(f)] for f in families}))
";

async fn read(fixture: &Fixture, accept: &str) -> Value {
    let mut command = Command::new(python::programs().join("python"));
    command.args(["-c", READ, &format!("http://{}/metrics", fixture.server().operators().address()), accept]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn both_formats_are_read_by_their_own_parsers_with_types_and_help() {
    let fixture = Fixture::new().await;
    let shop = &fixture.shop;
    let (user, item) = (shop.user_with(10).await, shop.item_with(1, 10).await);
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    let order = shop.order_of(&user, &[(&item, 20)]).await;
    let refused = shop.client.post(&format!("/orders/checkout/{order}")).await;
    let trace = refused.header("traceparent").and_then(|parent| parent.get(3..35)).unwrap();
    for accept in ["", "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"] {
        let families = read(&fixture, accept).await;
        let families = families.as_object().unwrap();
        assert!(families.len() > 15, "{families:?}");
        for (name, family) in families {
            assert!(
                ["counter", "gauge", "histogram"].iter().any(|kind| family[0] == *kind),
                "{accept}: {name}: {family}"
            );
            assert!(family[1].as_str().is_some_and(|help| !help.is_empty()), "{accept}: {name}: {family}");
        }
        assert_eq!(families["sagamart_sagas"][0], "counter", "{accept}");
        assert_eq!(families["sagamart_sagas"][3], 2.0, "{accept}: two checkouts");
        let traces = families["sagamart_saga_duration_seconds"][4].as_array().unwrap();
        let is_named = traces.iter().any(|named| named == trace);
        assert_eq!(is_named, accept.starts_with("application/openmetrics-text"), "{accept}: {traces:?}");
    }
}
