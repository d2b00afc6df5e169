//! The chart `charts/sagamart`, rendered by helm.

use crate::{
    object::{self, Object},
    tools,
};

/// Where it is.
pub const PATH: &str = "charts/sagamart";

/// Values that reach every branch of the templates between them: a name for each, and arguments of helm.
#[must_use]
pub fn variants() -> Vec<(String, Vec<&'static str>)> {
    let variants: [&[&str]; 9] = [
        &[],
        &[
            "expose.httpRoute.idempotencyKey=envoy",
            "autoscaling.enabled=true",
            "store.redis.durability=replicated",
            "store.redis.replicas=2",
        ],
        &[
            "expose.kind=ingress",
            "expose.ingress.className=traefik",
            "expose.hostnames={shop.example.com}",
            "expose.ingress.tlsSecret=shop-tls",
            "observe.replicas=1",
        ],
        &[
            "expose.kind=none",
            "replicas=1",
            "image.registry=registry.example.com/shop/",
            "image.pullSecrets={pull}",
            "observe.enabled=false",
        ],
        &[
            "access.tokensSecret.name=shop-tokens",
            "access.tokensSecret.key=tokens",
            "access.publicBulk=true",
            "monitoring.enabled=true",
            "monitoring.tokenSecret.name=scrape",
            "monitoring.tokenSecret.key=token",
        ],
        &[
            "store.redis.order.url=",
            "store.redis.order.urlSecret.name=order-url",
            "store.redis.order.urlSecret.key=url",
        ],
        &["peers.existingSecret=known-to-all", "peers.key=words"],
        &[
            "store.mode=embedded",
            "expose.kind=ingress",
            "monitoring.enabled=true",
            "monitoring.labels.release=prometheus",
            "monitoring.rules.enabled=true",
            "monitoring.dashboard.enabled=true",
        ],
        &[
            "store.mode=embedded",
            "store.embedded.storageClass=fast",
            "expose.hostnames={a.example.com,b.example.com}",
            "networkPolicy.enabled=false",
            "observe.enabled=false",
        ],
    ];
    variants.into_iter().map(|values| (format!("{PATH} --set {}", values.join(" --set ")), values.to_vec())).collect()
}

/// The objects of the release `shop` in the namespace `market`.
///
/// # Panics
/// helm refuses.
#[must_use]
pub fn rendered(values: &[&str]) -> Vec<Object> {
    object::parse(&tools::output(&mut template(values)))
}

/// helm's command for that.
#[must_use]
pub fn template(values: &[&str]) -> std::process::Command {
    let mut command = tools::helm();
    command.args(["template", "shop", PATH, "--namespace", "market"]);
    let says = values.iter().any(|value| value.starts_with("access."));
    // One of the two has to be said.
    for value in values.iter().copied().chain((!says).then_some("access.insecure=true")) {
        command.args(["--set", value]);
    }
    command
}
