//! A Python with the programs of others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Where the programs are. They are installed when the list of them has changed, by pip alone and exactly as listed.
///
/// # Panics
/// They cannot be installed.
pub(crate) fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/requirements.txt");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
        let (mark, programs) = (folder.join("installed.txt"), folder.join("bin"));
        let wanted = fs::read_to_string(&list).unwrap();
        if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
            return programs;
        }
        done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let mut install = Command::new(programs.join("python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
        done(install.arg(&list));
        fs::write(mark, wanted).unwrap();
        programs
    })
}

fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}\n(Python 3 with venv is needed: python3-venv on Debian)");
}
