//! What a release consists of: an archive with the program, linked statically, and all that a package of it needs.
//!
//! ```text
//! target/archives/sagamart-0.1.0-x86_64-unknown-linux-musl.tar.gz          and its SHA-256 sum in ….sha256
//!   sagamart-0.1.0-x86_64-unknown-linux-musl/sagamart
//!                                           /README.md, CHANGELOG.md, LICENSE-APACHE, LICENSE-MIT
//!                                           /completions/sagamart.bash, _sagamart, sagamart.fish
//!                                           /man/sagamart.1, …
//!                                           /sbom.cdx.json
//! ```
//!
//! The same sources give the same archive: it has no times, no users and one order of files.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    failure::{Failure, Result},
    process, sbom, system,
    workspace::Workspace,
};

/// Optimizing everything as a whole takes many minutes on two slow cores; this only ends what hangs.
const BUILD_TIMEOUT: Duration = Duration::from_secs(90 * 60);
const PACK_TIMEOUT: Duration = Duration::from_secs(60);

/// A program above this has got something that nobody wanted to ship.
const PROGRAM_BYTES_MAX: u64 = 15_000_000;

/// Files of the repository's root that go along.
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Shells, and what each calls the file with its completions.
const SHELLS: [(&str, &str); 3] = [("bash", "sagamart.bash"), ("zsh", "_sagamart"), ("fish", "sagamart.fish")];

/// Where what is linked statically gets its C library from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Libc {
    /// Made for it.
    Musl,
    /// Where Rust's library for musl cannot be had. Names are then looked up with what the machine has of the same glibc.
    Glibc,
}

impl Libc {
    fn target(self) -> String {
        match self {
            Self::Musl => format!("{ARCH}-unknown-linux-musl"),
            Self::Glibc => format!("{ARCH}-unknown-linux-gnu"),
        }
    }
}

/// Builds the program and packs it.
pub(crate) fn archive(workspace: &Workspace) -> Result<String> {
    let libc = libc()?;
    let program = build(workspace, libc)?;
    let bytes = fs::metadata(&program)?.len();
    if bytes > PROGRAM_BYTES_MAX {
        return Err(Failure::new(format!("the program has {bytes} bytes, more than {PROGRAM_BYTES_MAX}")));
    }
    is_static(&program)?;
    let name = format!("sagamart-{}-{}", env!("CARGO_PKG_VERSION"), libc.target());
    let archives = workspace.target().join("archives");
    let folder = archives.join(&name);
    fill(workspace.root(), &program, &folder)?;
    sbom::copy_to(workspace, &folder)?;
    let archive = pack(&archives, &name)?;
    Ok(format!("{}, the program has {:.1} MB", archive.display(), bytes as f64 / 1e6))
}

/// musl where there is Rust's library for it, or `rustup` brings it.
fn libc() -> Result<Libc> {
    let target = Libc::Musl.target();
    let added = Command::new("rustup").args(["target", "add", &target]).stdin(Stdio::null()).output();
    if !added.is_ok_and(|run| run.status.success()) {
        println!("rustup does not bring {target}: the program is linked with glibc instead");
        return Ok(Libc::Glibc);
    }
    // The parts in C need its compiler.
    if !process::installed("musl-gcc") {
        system::install(&["musl-tools"])?;
    }
    Ok(Libc::Musl)
}

/// Returns where the program is.
fn build(workspace: &Workspace, libc: Libc) -> Result<PathBuf> {
    let target = libc.target();
    let mut build =
        workspace.cargo(&["build", "--locked", "--profile", "dist", "--package", "sagamart", "--features", "tools"]);
    build.args(["--bin", "sagamart", "--target", &target]);
    if libc == Libc::Glibc {
        build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    process::run(&mut build, BUILD_TIMEOUT)?;
    Ok(workspace.target().join(target).join("dist/sagamart"))
}

/// Whether the program runs without any library of the machine.
fn is_static(program: &Path) -> Result<()> {
    let output = Command::new("ldd").arg(program).output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if ["statically linked", "not a dynamic executable"].iter().any(|words| said.contains(words)) {
        return Ok(());
    }
    Err(Failure::new(format!("{} is not linked statically: {said}", program.display())))
}

/// Makes the folder that is packed. What can be asked of the program is asked of the very one that is shipped.
fn fill(root: &Path, program: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    let shipped = folder.join("sagamart");
    fs::copy(program, &shipped)?;
    for document in DOCUMENTS {
        fs::copy(root.join(document), folder.join(document))?;
    }
    for (shell, file) in SHELLS {
        let output = Command::new(&shipped).args(["completions", shell]).output()?;
        if !output.status.success() || output.stdout.is_empty() {
            return Err(Failure::new(format!("sagamart completions {shell}: {}", output.status)));
        }
        fs::write(completions.join(file), output.stdout)?;
    }
    process::run(Command::new(&shipped).arg("manual").arg(folder.join("man")), PACK_TIMEOUT)
}

/// Returns the archive's path below `archives`.
fn pack(archives: &Path, name: &str) -> Result<PathBuf> {
    let file = format!("{name}.tar.gz");
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w"]);
    // gzip leaves out its own time, too.
    tar.args(["--use-compress-program", "gzip --best --no-name", "--file", &file, name]).current_dir(archives);
    process::run(&mut tar, PACK_TIMEOUT)?;
    let sum = Command::new("sha256sum").arg(&file).current_dir(archives).output()?;
    if !sum.status.success() {
        return Err(Failure::new(format!("sha256sum: {}", sum.status)));
    }
    fs::write(archives.join(format!("{file}.sha256")), sum.stdout)?;
    Ok(archives.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_is_always_packed_into_the_same_bytes() {
        let archives = tempfile::tempdir().unwrap();
        let folder = archives.path().join("shop");
        let packed = || {
            fs::create_dir_all(folder.join("man")).unwrap();
            for file in ["sagamart", "README.md", "man/sagamart.1"] {
                fs::write(folder.join(file), file).unwrap();
            }
            let archive = fs::read(pack(archives.path(), "shop").unwrap()).unwrap();
            fs::remove_dir_all(&folder).unwrap();
            (archive, fs::read_to_string(archives.path().join("shop.tar.gz.sha256")).unwrap())
        };
        let (first, sum) = packed();
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(packed(), (first, sum.clone()));
        assert!(sum.trim_end().ends_with("shop.tar.gz"), "{sum}");
        let mut check = Command::new("sha256sum");
        check.args(["--check", "--quiet", "shop.tar.gz.sha256"]).current_dir(archives.path());
        process::run(&mut check, PACK_TIMEOUT).expect("the sum is right");
    }

    #[test]
    fn what_needs_libraries_of_the_machine_is_not_shipped() {
        let failure = is_static(&std::env::current_exe().unwrap()).expect_err("tests are linked dynamically");
        assert!(failure.to_string().contains("is not linked statically"), "{failure}");
    }
}
