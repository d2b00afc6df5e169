use utoipa_axum::router::OpenApiRouter;

use super::{About, finish};

#[test]
fn a_router_without_a_site_is_described_too() {
    let about =
        About { name: "alone", version: "0.0.1", description: "One service by itself.", tags: vec![("cups", "Cups.")] };
    let (_, document) = finish(OpenApiRouter::new(), &about);
    assert_eq!(document.info.title, "alone");
    assert!(document.components.unwrap().schemas.contains_key("Problem"));
}
