use super::*;

#[tokio::test]
async fn slashes_in_a_row_count_as_one_and_the_rest_stays() {
    for (path, expected) in [
        ("//orders/find/1", "/orders/find/1"),
        ("/orders///find//1//", "/orders/find/1/"),
        ("//orders/find/%2F%2F1?next=//2", "/orders/find/%2F%2F1?next=//2"),
        ("http://shop//orders", "http://shop/orders"),
        ("/orders/find/1", "/orders/find/1"),
    ] {
        let request = merged(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(request.uri().to_string(), expected);
    }
}
