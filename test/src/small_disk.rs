//! A disk that can be filled without harm: a `tmpfs` in a mount namespace of its own, which no other process sees and
//! which is gone with its keeper.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// The disk, and the process that keeps it.
#[derive(Debug)]
pub struct SmallDisk {
    keeper: Child,
    mount: TempDir,
    user: &'static [&'static str],
}

impl SmallDisk {
    /// Makes a disk of so many mebibytes.
    ///
    /// # Panics
    /// The system lets nobody mount anything, not even in a namespace.
    #[must_use]
    pub fn new(mebibytes: u32) -> Self {
        let mount = tempfile::tempdir().expect("a directory can be made");
        // As root a mount namespace is enough; others become root in a user namespace.
        let ways: [(&[&str], &[&str]); 2] =
            [(&["--mount"], &[]), (&["--mount", "--map-root-user"], &["--user", "--preserve-credentials"])];
        for (unshare, user) in ways {
            if let Some(keeper) = keeper(unshare, mount.path(), mebibytes) {
                return Self { keeper, mount, user };
            }
        }
        panic!("this system lets no process mount a tmpfs, as root or in a user namespace");
    }

    /// The command that starts a program which sees the disk.
    #[must_use]
    pub fn wrapper(&self) -> Vec<String> {
        let target = self.keeper.id().to_string();
        let words = ["nsenter", "--target", &target, "--mount"].into_iter().chain(self.user.iter().copied());
        words.map(str::to_owned).collect()
    }

    /// Where such a program finds the disk.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.mount.path()
    }

    /// Writes a file beside everything else until not more than `bytes` are free.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn fill(&self, bytes: u64) {
        let status = Command::new("sh")
            .args(["-c", r#"dd if=/dev/zero of="$0/ballast" bs=4096 2>/dev/null; truncate -s "-$1" "$0/ballast""#])
            .arg(self.seen_from_outside())
            .arg(bytes.to_string())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "the disk can be filled");
    }

    /// Removes that file.
    ///
    /// # Panics
    /// There was none.
    pub fn free(&self) {
        fs::remove_file(self.seen_from_outside().join("ballast")).expect("the disk was filled");
    }

    fn seen_from_outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(self.mount.path().strip_prefix("/").unwrap_or(self.mount.path()))
    }
}

fn keeper(unshare: &[&str], mount: &Path, mebibytes: u32) -> Option<Child> {
    let script = r#"mount -t tmpfs -o "size=$1m" tmpfs "$0" && echo mounted && exec sleep 600"#;
    let mut keeper = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", script])
        .arg(mount)
        .arg(mebibytes.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut line = String::new();
    let said = BufReader::new(keeper.stdout.take()?).read_line(&mut line);
    if said.is_ok() && line == "mounted\n" {
        return Some(keeper);
    }
    // It has ended by itself.
    let _ = keeper.wait();
    None
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // An error means that it has ended, and the disk with it.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
