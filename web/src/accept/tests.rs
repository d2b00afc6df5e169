use super::*;

fn preferred_of(accept: &[&str], offers: &[&str]) -> usize {
    let headers = accept.iter().map(|value| (header::ACCEPT, value.parse().unwrap())).collect();
    preferred(&headers, offers)
}

#[test]
fn browsers_scrapers_and_commands_get_what_they_read_best() {
    let pages = ["application/json", "text/html"];
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
    assert_eq!(preferred_of(&[browser], &pages), 1);
    for other in [&[][..], &["*/*"], &["application/json"], &["application/json, text/html;q=0.9"], &["image/png"]] {
        assert_eq!(preferred_of(other, &pages), 0, "{other:?}");
    }
    let formats = ["text/plain", "application/openmetrics-text"];
    let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                      application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    assert_eq!(preferred_of(&[prometheus], &formats), 1);
    assert_eq!(preferred_of(&["application/openmetrics-text; version=1.0.0"], &formats), 1);
    assert_eq!(preferred_of(&["text/plain;version=0.0.4;q=1,*/*;q=0.1"], &formats), 0);
}

#[test]
fn the_closest_range_counts_in_whatever_line_and_case_it_stands() {
    let offers = ["application/json", "text/html"];
    assert_eq!(preferred_of(&["TEXT/*", "application/*;q=0.2"], &offers), 1);
    assert_eq!(preferred_of(&["text/html;q=0, text/*, application/json;q=0.1"], &offers), 0);
    assert_eq!(preferred_of(&["text/html;q=0.5", "*/*;Q=0.7"], &offers), 0);
    for nonsense in ["", ";;", "q=1", "text/html;q=x", ",,,", "*"] {
        assert_eq!(preferred_of(&[nonsense], &offers), 0, "{nonsense}");
    }
}
