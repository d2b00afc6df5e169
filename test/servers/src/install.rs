//! Which programs there are, and how each is found or fetched.

use std::{
    collections::BTreeMap,
    env, fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::packages;

/// A kind of server. A new one needs its row in each `match` below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Valkey 8, which Debian 12 has in its backports.
    Valkey8,
    /// Redis 7.0, which is in Debian 12.
    Redis7,
    /// nginx, which is in Debian 12: for a [`Gateway`](crate::Gateway).
    Nginx,
    /// Prometheus, which is in Debian 12, with its `promtool`.
    Prometheus,
}

/// A program that can be started.
#[derive(Clone, Debug)]
pub struct Program {
    binary: PathBuf,
    /// Where its libraries are, if it was unpacked.
    libraries: Option<PathBuf>,
    version: String,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Valkey8 => "Valkey 8",
            Self::Redis7 => "Redis 7.0",
            Self::Nginx => "nginx",
            Self::Prometheus => "Prometheus",
        })
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Valkey8, Self::Redis7, Self::Nginx, Self::Prometheus];

    fn binary(self) -> &'static str {
        match self {
            Self::Valkey8 => "valkey-server",
            Self::Redis7 => "redis-server",
            Self::Nginx => "nginx",
            Self::Prometheus => "prometheus",
        }
    }

    /// Where its package has it.
    fn place(self) -> &'static str {
        match self {
            Self::Valkey8 | Self::Redis7 | Self::Prometheus => "usr/bin",
            Self::Nginx => "usr/sbin",
        }
    }

    /// How to ask for the version.
    fn version_flag(self) -> &'static str {
        match self {
            Self::Valkey8 | Self::Redis7 | Self::Prometheus => "--version",
            Self::Nginx => "-v",
        }
    }

    /// What `--version` says of the right one.
    fn is_version(self, version: &str) -> bool {
        match self {
            Self::Valkey8 => version.contains("v=8."),
            Self::Redis7 => version.contains("v=7.0."),
            Self::Nginx => version.contains("nginx/1."),
            Self::Prometheus => version.contains("prometheus, version "),
        }
    }

    /// The packages of Debian 12, and the suite that they are in.
    fn packages(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Valkey8 => ("bookworm-backports", &["valkey-server", "valkey-tools"]),
            Self::Redis7 => ("bookworm", &["redis-server", "redis-tools"]),
            Self::Nginx => ("bookworm", &["nginx"]),
            Self::Prometheus => ("bookworm", &["prometheus"]),
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Valkey8 => "valkey-8",
            Self::Redis7 => "redis-7.0",
            Self::Nginx => "nginx",
            Self::Prometheus => "prometheus",
        }
    }

    /// The program: the machine's own where that has the right version, else one that is fetched once and kept below the
    /// build directory. Tests that run at the same time, also in other processes, fetch it once.
    ///
    /// # Errors
    /// It is not there and cannot be fetched; says what to do.
    pub fn install(self) -> Result<Program, String> {
        static FOUND: Mutex<BTreeMap<Kind, Program>> = Mutex::new(BTreeMap::new());
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = found.get(&self) {
            return Ok(program.clone());
        }
        let program = self.find()?;
        found.insert(self, program.clone());
        Ok(program)
    }

    fn find(self) -> Result<Program, String> {
        let installed = Program::at(self.binary().into(), None, self.version_flag());
        if let Some(program) = installed.filter(|program| self.is_version(&program.version)) {
            return Ok(program);
        }
        let base = build_directory().join("test-servers");
        let advice = |reason: String| {
            let (suite, packages) = self.packages();
            format!(
                "{reason}; install {} ({} of Debian's {suite}) so that `{}` is in the PATH",
                self,
                packages.join(", "),
                self.binary()
            )
        };
        fs::create_dir_all(&base).map_err(|error| advice(format!("cannot make {}: {error}", base.display())))?;
        let _lock = lock(&base).map_err(|error| advice(format!("cannot lock {}: {error}", base.display())))?;
        let root = base.join(self.folder());
        if let Some(program) = self.unpacked(&root) {
            return Ok(program);
        }
        let (suite, names) = self.packages();
        packages::unpack(&base, suite, names, &root).map_err(advice)?;
        self.unpacked(&root).ok_or_else(|| advice(format!("what was fetched to {} does not run", root.display())))
    }

    fn unpacked(self, root: &Path) -> Option<Program> {
        // The folder of the machine's architecture is the only one that holds libraries; it may be that none is needed.
        let libraries = fs::read_dir(root.join("usr/lib"))
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-gnu")));
        let program = Program::at(root.join(self.place()).join(self.binary()), libraries, self.version_flag())?;
        self.is_version(&program.version).then_some(program)
    }
}

impl Program {
    fn at(binary: PathBuf, libraries: Option<PathBuf>, version_flag: &str) -> Option<Self> {
        let mut program = Self { binary, libraries, version: String::new() };
        let output = program.command().arg(version_flag).output().ok().filter(|output| output.status.success())?;
        // nginx says it on its error output.
        let said = [output.stdout, output.stderr].concat();
        program.version = String::from_utf8_lossy(&said).trim().to_owned();
        Some(program)
    }

    /// A command that starts it, still without arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// A command that starts another program of the same package, still without arguments.
    #[must_use]
    pub fn companion(&self, name: &str) -> Command {
        let companion = Self { binary: self.binary.with_file_name(name), ..self.clone() };
        companion.command()
    }

    /// What it says of itself.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Where cargo builds, which is where a test's own program lies.
fn build_directory() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}

/// Waits until no other process fetches something. Given back when the file is closed.
fn lock(base: &Path) -> std::io::Result<File> {
    let file = File::create(base.join("lock"))?;
    file.lock()?;
    Ok(file)
}
