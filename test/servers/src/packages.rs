//! Packages of Debian 12, fetched with apt-get into a directory of their own: the system's package lists, and what is
//! installed, stay as they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The release whose packages are named in this crate.
const RELEASE: &str = "bookworm";

/// What signs Debian's archive, where Debian puts it.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Fetches `names` from `suite`, with everything they need that is not installed, and unpacks all of it to `root`, which
/// is there afterwards whole or not at all. `base` is the directory for what is needed meanwhile.
pub(crate) fn unpack(base: &Path, suite: &str, names: &[&str], root: &Path) -> Result<(), String> {
    let apt = Apt::new(base.join("apt"), suite)?;
    apt.run(&["update"])?;
    let wanted: Vec<String> = names.iter().map(|name| format!("{name}/{suite}")).collect();
    let mut words = vec!["install", "--yes", "--download-only", "--no-install-recommends"];
    // A version that the machine has already is not the one that is needed, or it would not be fetched.
    words.push("--reinstall");
    words.extend(wanted.iter().map(String::as_str));
    apt.run(&words)?;
    let half_done = base.join("unpacking");
    remove(&half_done)?;
    for package in apt.fetched()? {
        run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&half_done))?;
    }
    remove(root)?;
    fs::rename(&half_done, root).map_err(|error| format!("cannot rename to {}: {error}", root.display()))?;
    remove(&apt.directory)
}

struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(directory: PathBuf, suite: &str) -> Result<Self, String> {
        let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
        if !system.lines().any(|line| line == format!("VERSION_CODENAME={RELEASE}")) {
            return Err(format!("this machine is not Debian 12 ({RELEASE}), so nothing is fetched for it"));
        }
        remove(&directory)?;
        for folder in ["lists/partial", "archives/partial"] {
            let folder = directory.join(folder);
            fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        }
        let sources = sources(&archives()?, suite)?;
        let file = directory.join("sources.list");
        fs::write(&file, sources).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        Ok(Self { directory })
    }

    fn run(&self, words: &[&str]) -> Result<(), String> {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let options = [
            format!("Dir::Etc::SourceList={}", at("sources.list")),
            "Dir::Etc::SourceParts=-".to_owned(),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::Cache={}", self.directory.display()),
            format!("Dir::Cache::Archives={}", at("archives")),
            // Nothing of the system is changed, so neither is anybody else in the way.
            "Debug::NoLocking=1".to_owned(),
            // Its user for fetching need not be able to write here.
            "APT::Sandbox::User=".to_owned(),
            // One mirror that stumbles once is no reason to fail.
            "Acquire::Retries=3".to_owned(),
        ];
        let mut command = Command::new("apt-get");
        command.args(["--quiet", "--quiet"]).args(options.iter().flat_map(|option| ["-o", option]));
        run(command.args(words).env("DEBIAN_FRONTEND", "noninteractive"))
    }

    fn fetched(&self) -> Result<Vec<PathBuf>, String> {
        let folder = self.directory.join("archives");
        let files = fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        let files = files.filter_map(Result::ok).map(|entry| entry.path());
        Ok(files.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
    }
}

/// The archives that the machine's own apt is told to use, with the suite of each: works before any list was fetched.
fn archives() -> Result<Vec<(String, String)>, String> {
    let output = Command::new("apt-get").args(["update", "--print-uris"]).output();
    let output = output.map_err(|error| format!("apt-get cannot be started: {error}"))?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let release_files = lines.lines().filter_map(|line| line.strip_prefix('\'')?.split_once("/InRelease'"));
    Ok(release_files
        .filter_map(|(address, _)| address.rsplit_once("/dists/"))
        .map(|(archive, suite)| (archive.to_owned(), suite.to_owned()))
        .collect())
}

/// The release, its security fixes, and `suite`, which is in the same archive as the release.
fn sources(archives: &[(String, String)], suite: &str) -> Result<String, String> {
    let of = |wanted: &str| archives.iter().find(|(_, suite)| suite == wanted).map(|(archive, _)| archive.as_str());
    let main = of(RELEASE).ok_or_else(|| format!("apt has no source for {RELEASE}"))?;
    let signed = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
    let security = format!("{RELEASE}-security");
    let mut sources = format!("deb {signed}{main} {RELEASE} main\n");
    if suite != RELEASE {
        sources += &format!("deb {signed}{} {suite} main\n", of(suite).unwrap_or(main));
    }
    if let Some(archive) = of(&security) {
        sources += &format!("deb {signed}{archive} {security} main\n");
    }
    Ok(sources)
}

fn remove(directory: &Path) -> Result<(), String> {
    match fs::remove_dir_all(directory) {
        Err(error) if directory.exists() => Err(format!("cannot remove {}: {error}", directory.display())),
        _ => Ok(()),
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} ended with {}: {}", output.status, said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(archive: &str, suite: &str) -> (String, String) {
        (archive.to_owned(), suite.to_owned())
    }

    #[test]
    fn backports_are_looked_for_where_the_release_is() {
        let archives = [archive("http://mirror/debian", "bookworm"), archive("http://fixes", "bookworm-security")];
        let sources = sources(&archives, "bookworm-backports").expect("the release is there");
        assert!(sources.contains("http://mirror/debian bookworm main\n"), "{sources}");
        assert!(sources.contains("http://mirror/debian bookworm-backports main\n"), "{sources}");
        assert!(sources.contains("http://fixes bookworm-security main\n"), "{sources}");
    }

    #[test]
    fn a_machine_without_the_release_is_told_so() {
        let error = sources(&[archive("http://mirror/debian", "trixie")], "bookworm").expect_err("another release");
        assert!(error.contains("no source for bookworm"), "{error}");
    }
}
