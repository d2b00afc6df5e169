//! A script on a stage: with stand-ins of the tools that it calls, and a record of what it asked of them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
};

use sagamart_deployment_tests::tools;
use tempfile::TempDir;

pub(crate) const MINIKUBE: &str = "deploy-charts-minikube.sh";
pub(crate) const CLUSTER: &str = "deploy-charts-cluster.sh";

/// A cluster that only remembers.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
}

impl Stage {
    /// With stand-ins for these tools.
    pub(crate) fn with(stand_ins: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let programs = folder.path().join("bin");
        fs::create_dir(&programs).expect("a folder");
        let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/stub.sh");
        for tool in stand_ins {
            symlink(&stub, programs.join(tool)).expect("a link");
        }
        // Whatever else a script calls is the system's; kubectl may be among that, but not where a stand-in is missing.
        for tool in ["bash", "sh", "env", "cat", "dirname", "head", "tr", "od", "sed", "grep", "rm", "mv"] {
            let found =
                ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
            symlink(found.unwrap_or_else(|| panic!("no {tool}")), programs.join(tool)).expect("a link");
        }
        Self { folder }
    }

    pub(crate) fn complete() -> Self {
        Self::with(&["kubectl", "helm", "minikube"])
    }

    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> Run {
        self.run_where(script, arguments, &[])
    }

    /// Runs a script from elsewhere than its folder, in an environment of its own.
    pub(crate) fn run_where(&self, script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let mut command = Command::new(tools::root().join(script));
        command.args(arguments).current_dir(self.folder.path());
        self.record(command, variables)
    }

    /// Types these commands, in the repository's root.
    pub(crate) fn type_in(&self, commands: &[&str]) -> Run {
        let mut command = Command::new("/bin/bash");
        command.args(["-euo", "pipefail", "-c", &commands.join("\n")]).current_dir(tools::root());
        self.record(command, &[])
    }

    fn record(&self, mut command: Command, variables: &[(&str, &str)]) -> Run {
        let calls = self.folder.path().join("calls");
        fs::write(&calls, "").expect("the record is emptied");
        command.env_clear().env("PATH", self.folder.path().join("bin")).envs(variables.iter().copied());
        command
            .env("STUB_CACHE", cache())
            .env("STUB_STATE", self.folder.path())
            .env("STUB_TOOLS", tools::folder().join("bin"));
        let output = command.output().expect("the script starts");
        let calls = fs::read_to_string(calls).expect("the record is there");
        Run { output, calls: calls.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect() }
    }

    pub(crate) fn password(&self, database: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join(format!("secret-{database}"))).ok()
    }
}

/// Where the stand-ins keep the real tools' helps, for all tests of this run.
pub(crate) fn cache() -> &'static Path {
    static CACHE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary directory"));
    CACHE.path()
}

/// What a script did.
pub(crate) struct Run {
    pub(crate) output: Output,
    pub(crate) calls: Vec<Vec<String>>,
}

impl Run {
    pub(crate) fn said(&self) -> String {
        tools::said(&self.output.stdout) + &tools::said(&self.output.stderr)
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert!(self.output.status.success(), "{}", self.said());
        self
    }

    /// It failed, said why, and had changed nothing.
    #[track_caller]
    pub(crate) fn refused(&self, why: &str) {
        assert_eq!(self.output.status.code(), Some(1), "{}", self.said());
        assert!(tools::said(&self.output.stderr).contains(why), "not `{why}`: {}", self.said());
        assert_eq!(self.changes(), Vec::<String>::new(), "{}", self.said());
    }

    /// The calls that change something, without the flags that say where.
    pub(crate) fn changes(&self) -> Vec<String> {
        let asks = ["version", "get", "status", "auth", "config"];
        let words = self.calls.iter().map(|call| without_place(call));
        words
            .filter(|call| {
                !call.get(1).is_some_and(|verb| asks.contains(&verb.as_str())) && !call.contains(&"rollout".to_owned())
            })
            .map(|call| call.join(" "))
            .collect()
    }

    pub(crate) fn change(&self, beginning: &str) -> Vec<String> {
        let found =
            self.calls.iter().map(|call| without_place(call)).find(|call| call.join(" ").starts_with(beginning));
        found.unwrap_or_else(|| panic!("no `{beginning}` in {:#?}", self.changes()))
    }
}

pub(crate) fn without_place(call: &[String]) -> Vec<String> {
    let mut words = call.iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "--context" | "--kube-context" | "--namespace" | "--profile") {
            words.next();
        } else {
            kept.push(word.clone());
        }
    }
    kept
}
