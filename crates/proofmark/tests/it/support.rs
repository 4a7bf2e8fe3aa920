//! A scratch copy of an example, and the binary with a scrubbed environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A copy of an example in a folder that goes away.
pub struct Scratch {
    root: tempfile::TempDir,
}

/// What a call gave.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Scratch {
    /// `examples/credit`, cut to so many test rows that a run takes seconds.
    pub fn credit(limit: usize) -> Self {
        let scratch = Self::copy_of("credit");
        scratch.edit("proofmark.toml", |text| {
            text.replacen("role = \"test\"", &format!("role = \"test\"\nlimit = {limit}"), 1)
                .replacen("queries = 2000", "queries = 300", 1)
        });
        // Scores of all rows no longer fit a part of them; parity has its own test.
        scratch.edit("proofmark.toml", |text| {
            text.lines().filter(|l| !l.starts_with("expected")).collect::<Vec<_>>().join("\n")
        });
        scratch
    }

    /// An untouched copy of an example.
    pub fn copy_of(example: &str) -> Self {
        Self::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example))
    }

    /// The files of a folder.
    pub fn of(from: &Path) -> Self {
        let root = tempfile::tempdir().expect("scratch folder");
        for entry in fs::read_dir(from).expect("example") {
            let path = entry.expect("entry").path();
            if path.is_file() {
                fs::copy(&path, root.path().join(path.file_name().expect("name"))).expect("copy");
            }
        }
        Self { root }
    }

    pub fn dir(&self) -> &Path {
        self.root.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Rewrites a text file; the text must change, so that no edit silently misses.
    pub fn edit(&self, name: &str, change: impl FnOnce(&str) -> String) {
        let path = self.path(name);
        let old = fs::read_to_string(&path).expect("text");
        let new = change(&old);
        assert_ne!(old, new, "the edit of {name} changed nothing");
        fs::write(path, new).expect("write");
    }

    /// Runs a verb with `-C` on the scratch folder.
    pub fn run(&self, args: &[&str]) -> Ran {
        let dir = self.dir().display().to_string();
        let mut all: Vec<&str> = args.to_vec();
        all.extend(["-C", &dir]);
        proofmark(&all)
    }

    /// Runs a verb with `--format json` and reads its document.
    pub fn json(&self, args: &[&str]) -> (i32, Value) {
        let ran = self.run(&[args, &["--format", "json"]].concat());
        let value = serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|e| panic!("{args:?}: {e}\n{}\n{}", ran.stdout, ran.stderr));
        (ran.code, value)
    }
}

/// Runs the binary; nothing of the caller's environment reaches it but PATH.
pub fn proofmark(args: &[&str]) -> Ran {
    proofmark_with(args, &[])
}

/// The same with variables set.
pub fn proofmark_with(args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofmark"));
    command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // What a machine happens to have installed must not decide what a test computes.
    command.env("PROOFMARK_ONNXRUNTIME", "off").envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    Ran {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Whether a file of the shared data is there; says aloud what is skipped.
#[expect(clippy::print_stderr, reason = "a skipped test is told aloud")]
pub fn is_shared(path: &Path) -> bool {
    let there = path.exists();
    if !there {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
    there
}

/// Whether a tool is there; says aloud what is skipped. With `PROOFMARK_REQUIRE_TOOLS` a missing
/// tool is an error.
#[expect(clippy::print_stderr, reason = "a skipped test is told aloud")]
pub fn tools(names: &[&str]) -> bool {
    for name in names {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {name}")])
            .output()
            .is_ok_and(|o| o.status.success());
        if !found {
            assert!(
                std::env::var_os("PROOFMARK_REQUIRE_TOOLS").is_none(),
                "`{name}` is required here and missing"
            );
            eprintln!("SKIPPED: `{name}` is not installed");
            return false;
        }
    }
    true
}
