//! The files agree with each other and with the program.

use std::{collections::BTreeSet, process::Command};

use sagamart_black_box::binary;

use crate::{
    docker::run,
    project::{BASE, HIGHLY_AVAILABLE, PARTS, text},
};

/// Every name of an environment variable of the program's in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with("SAGAMART_")).collect()
}

#[test]
fn every_variable_that_the_files_set_is_one_that_the_service_knows() {
    let shared = [BASE, HIGHLY_AVAILABLE, "gateway/nginx.conf"].map(text).concat();
    for (service, command) in PARTS {
        let help = run(Command::new(binary::path()).args([command, "--help"]));
        let known = variables(&help);
        let set = format!("{shared}{}", text(format!("env/{service}_redis.env")));
        // A service has no use for its own address.
        let own = format!("SAGAMART_PEER_{}", service.to_uppercase());
        let unknown: Vec<_> =
            variables(&set).difference(&known).filter(|name| **name != own && !name.ends_with('_')).copied().collect();
        assert!(unknown.is_empty(), "`sagamart {service}` knows nothing of {unknown:?}");
    }
}

#[test]
fn each_service_has_its_own_database_and_password() {
    let settings = PARTS.map(|(service, _)| (service, text(format!("env/{service}_redis.env"))));
    let mut passwords = BTreeSet::new();
    for (service, settings) in &settings {
        assert!(settings.contains(&format!("SAGAMART_STORE=redis://{service}-db:6379\n")), "{settings}");
        let password = settings.lines().find_map(|line| line.strip_prefix("SAGAMART_STORE_PASSWORD_FILE="));
        assert_eq!(password, Some(format!("/secrets/{service}/password").as_str()), "{settings}");
        assert!(!settings.contains("PASSWORD="), "a password is in the tree: {settings}");
        passwords.insert(password);
    }
    assert_eq!(passwords.len(), PARTS.len());
}

#[test]
fn the_dockerfiles_differ_in_the_name_of_the_service_alone_and_in_size() {
    let order = text("order/Dockerfile");
    let mut sizes = BTreeSet::new();
    for (service, command) in PARTS {
        let written = text(format!("{service}/Dockerfile"));
        sizes.insert(written.len());
        let entrypoint = format!("ENTRYPOINT [\"sagamart\", \"{command}\"]\n");
        let head =
            order.rsplit_once("ENTRYPOINT").map(|(head, _)| head.replace("order", service)).expect("an entrypoint");
        assert!(written.ends_with(&format!("{head}{entrypoint}")), "run `cargo xtask render-manifests`");
    }
    // BuildKit takes files of one name, size and time for one file, and a checkout gives them one time: stock would run order's image.
    assert_eq!(sizes.len(), PARTS.len());
}

#[test]
fn every_image_that_the_files_name_is_one_that_the_script_makes() {
    let script = text("test/compose/images.sh");
    let files = [BASE, HIGHLY_AVAILABLE].map(text).concat();
    let run_images = files.lines().filter_map(|line| line.trim().strip_prefix("image: "));
    let dockerfile = text("order/Dockerfile");
    let built_from = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    let named: BTreeSet<_> = run_images.chain(built_from).collect();
    // Grafana is no package of Debian's: docs/compose.md says that its container is not run.
    let is_foreign = |name: &&&str| {
        !["sagamart/", "grafana/"].iter().any(|own| name.starts_with(own)) && !matches!(**name, "scratch" | "${BINARY}")
    };
    let foreign = named.iter().filter(is_foreign);
    let mut count = 0;
    for image in foreign {
        assert!(script.lines().any(|line| line.split_once('=').is_some_and(|(_, made)| made == *image)), "{image}");
        count += 1;
    }
    assert_eq!(count, 5, "the database's, the gateway's, Prometheus', and the two of the Dockerfiles: {named:?}");
}
