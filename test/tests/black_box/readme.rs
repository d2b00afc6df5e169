//! The README's first checkout, typed as it stands there.

use std::process::Stdio;

use sagamart_black_box::Fixture;
use tokio::process::Command;

const README: &str = include_str!("../../../README.md");

/// What the page at `/` suggests.
const ON_THE_PAGE: &str = include_str!("../../../sagamart/src/first-checkout.sh");

/// The scripts of the section on a first checkout.
fn scripts() -> Vec<&'static str> {
    let (_, section) = README.split_once("## A first checkout\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("another section");
    section.split("```sh\n").skip(1).map(|script| script.split_once("```").expect("its end").0).collect()
}

/// What the comments of a script say that its commands print.
fn announced(script: &str) -> Vec<&str> {
    let printing = script.lines().filter(|line| line.contains("; echo"));
    printing.filter_map(|line| line.split_once(" # ")).map(|(_, comment)| comment.trim()).collect()
}

async fn typed(script: &str) -> Vec<String> {
    let mut shell = Command::new("sh");
    shell.args(["-euc", script]).stderr(Stdio::inherit());
    let output = shell.output().await.expect("a shell and curl");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_first_checkout_prints_what_its_comments_say() {
    let fixture = Fixture::new().await;
    let base = format!("http://{}", fixture.server().address());
    let [first, refused] = scripts().try_into().expect("two scripts: one that is paid, one that is refused");
    let printed = typed(&[first, refused].concat().replace("http://127.0.0.1:8000", &base)).await;
    let expected = announced(first);
    assert_eq!(printed.len(), expected.len() + 2, "{printed:?}");
    for (line, expected) in printed.iter().zip(&expected) {
        // An id stands as dots.
        let same = match expected.split_once('…') {
            None => line == expected,
            Some((before, after)) => line.starts_with(before) && line.ends_with(after),
        };
        assert!(same, "{line} instead of {expected}");
    }
    let refusal = printed.last().expect("a line");
    assert!(
        refusal.starts_with(r#"{"type":"/problems/out-of-stock","title":"Not enough units in stock","status":409,"#)
    );
}

#[test]
fn the_page_suggests_what_the_readme_does() {
    assert_eq!(scripts().first(), Some(&ON_THE_PAGE));
}
