//! What a package of the program brings along: completions for shells, and manual pages.

use std::{fs, path::Path, process::Command};

use sagamart_black_box::binary;

/// What the program says, which has to succeed.
fn said(arguments: &[&str]) -> String {
    let output = Command::new(binary::path()).args(arguments).output().expect("the binary runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The commands that the program names where it is asked for help.
fn commands() -> Vec<String> {
    let help = said(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What is indented further is the rest of a description.
    let first = listed.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names = first.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

/// Commands that the program has and does not name.
const HIDDEN: [&str; 3] = ["bare-server", "completions", "manual"];

#[test]
fn bash_completes_commands_and_their_options() {
    let folder = tempfile::tempdir().expect("a directory");
    let script = folder.path().join("sagamart.bash");
    fs::write(&script, said(&["completions", "bash"])).expect("a file");
    let completed = |words: &[&str]| {
        let ask = r#"source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            _sagamart sagamart "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; echo "${COMPREPLY[@]}""#;
        let output = Command::new("bash").args(["-c", ask]).arg(&script).args(words).output().expect("bash runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["sagamart", "ser"]), ["serve"]);
    assert_eq!(completed(&["sagamart", "serve", "--drain-t"]), ["--drain-timeout"]);
    assert_eq!(completed(&["sagamart", "repair", "accept"]), ["accept-loss"]);
    let offered = completed(&["sagamart", ""]);
    for command in commands() {
        assert!(offered.contains(&command), "{command}: {offered:?}");
    }
    for hidden in HIDDEN {
        assert!(!offered.iter().any(|word| word == hidden), "{hidden}: {offered:?}");
    }
}

#[test]
fn there_are_completions_for_zsh_and_fish_with_every_command() {
    for (shell, mark) in [("zsh", "#compdef sagamart"), ("fish", "complete -c sagamart")] {
        let script = said(&["completions", shell]);
        assert!(script.lines().any(|line| line.starts_with(mark)), "{shell}: {script}");
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
        assert!(script.contains("drain-timeout") && !script.contains("bare-server"), "{shell}");
    }
}

#[test]
fn an_unknown_shell_is_refused_with_those_that_are_known() {
    let output = Command::new(binary::path()).args(["completions", "csh"]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bash"), "{output:?}");
}

#[test]
fn every_command_has_a_manual_page_that_names_its_options() {
    let folder = tempfile::tempdir().expect("a directory");
    let directory = folder.path().join("share/man/man1");
    said(&["manual", directory.to_str().expect("text")]);
    let page = |name: &str| {
        fs::read_to_string(directory.join(format!("{name}.1"))).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(page("sagamart").contains("sagamart\\-serve(1)"));
    for command in commands() {
        let page = page(&format!("sagamart-{command}"));
        assert!(page.contains(".TH ") && page.contains(".SH SYNOPSIS"), "{command}: {page}");
    }
    for option in ["listen", "store", "drain\\-timeout", "partitions"] {
        assert!(page("sagamart-serve").contains(&format!("\\-\\-{option}")), "{option}");
    }
    for hidden in HIDDEN {
        assert!(!directory.join(format!("sagamart-{hidden}.1")).exists(), "{hidden}");
    }
}

#[test]
fn where_pages_cannot_be_written_is_said() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("file");
    fs::write(&file, "in the way").expect("a file");
    for directory in [file.clone(), file.join("below"), Path::new("/proc/none").to_owned()] {
        let output = Command::new(binary::path()).arg("manual").arg(&directory).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(directory.to_str().expect("text")), "{said}");
    }
}
