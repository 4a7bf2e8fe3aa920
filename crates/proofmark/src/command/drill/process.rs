//! The processes of a drill: guards and model servers, which are this very program.
//!
//! Owns starting them, reading what they print first, and their signals. Every process that is
//! started here is ended here, also when an experiment fails.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::scratch::Scratch;
use crate::failure::{Failure, OrFail, Outcome};

/// A process of ours; killed when dropped.
pub struct Process {
    child: Child,
    stderr: PathBuf,
    /// What it printed when it was ready.
    pub said: Value,
}

/// A signal by name.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// Hold.
    Stop,
    /// Go on.
    Continue,
    /// End in order.
    Terminate,
}

/// A guard that serves.
pub struct Guard {
    /// Its process.
    pub process: Process,
    /// Where it answers.
    pub address: SocketAddr,
    /// Where it says its state.
    pub admin: SocketAddr,
}

/// Where the guard's state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// In the scratch copy.
    Plain,
    /// On a small file system of its own, seen by the guard only.
    Small,
}

impl Process {
    /// Starts a command and waits for the first JSON document on its standard output.
    pub fn start(mut command: Command, name: &str, dir: &Path) -> Outcome<Self> {
        let stderr = dir.join(format!("{name}.stderr"));
        let to = File::create(&stderr).or_fail("drill", "free space for the scratch copy")?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(to).spawn();
        let child = child.or_fail("drill", "this program could not start itself")?;
        let mut process = Self { child, stderr, said: Value::Null };
        let mut text = String::new();
        if let Some(stdout) = process.child.stdout.take() {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(Ok(line)) = lines.next() {
                text.push_str(&line);
                text.push('\n');
                if line == "}" {
                    break;
                }
            }
        }
        match serde_json::from_str::<Value>(&text) {
            // A failure is said in JSON as well; it has a code.
            Ok(said) if said.get("code").is_none() => process.said = said,
            _ => {
                let _ = process.wait(COMPLAINT_WAIT);
                let words = format!("the {name} did not start: {}", process.complaint());
                return Err(Failure::new("drill-start", words, "start it by hand to see why"));
            }
        }
        Ok(process)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Outcome<()> {
        let name = match signal {
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
            Signal::Terminate => "TERM",
        };
        // The library of the language sends SIGKILL only; the shell knows the others.
        let line = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &line]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            _ => Err(Failure::new("drill", format!("cannot run `{line}`"), "needs a POSIX shell")),
        }
    }

    /// Ends it in order; `None` when it did not within the time, in which case it is killed.
    pub fn end(&mut self, within: Duration) -> Outcome<Option<ExitStatus>> {
        self.signal(Signal::Terminate)?;
        let status = self.wait(within)?;
        if status.is_none() {
            self.kill();
        }
        Ok(status)
    }

    /// Waits for its end.
    pub fn wait(&mut self, within: Duration) -> Outcome<Option<ExitStatus>> {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().or_fail("drill", "")? {
                return Ok(Some(status));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
    }

    /// What it wrote on standard error, the last of it.
    pub fn complaint(&self) -> String {
        let text = std::fs::read_to_string(&self.stderr).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let last = lines.len().saturating_sub(COMPLAINT_LINES);
        lines.get(last..).unwrap_or_default().join("; ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Guard {
    /// Starts a guard on the scratch copy and waits until it listens.
    pub fn start(scratch: &Scratch, disk: Disk, unassessed: bool, name: &str) -> Outcome<Self> {
        let command = guard_command(scratch, disk, unassessed)?;
        let process = Process::start(command, name, &scratch.dir)?;
        let address = |key: &str| -> Outcome<SocketAddr> {
            let text = process.said.get(key).and_then(Value::as_str).unwrap_or_default();
            text.parse().or_fail("drill-start", "the guard did not say where it listens")
        };
        let (address, admin) = (address("address")?, address("admin")?);
        Ok(Self { address, admin, process })
    }

    /// Path of a file of its state as seen from here.
    pub fn seen(&self, path: &Path, disk: Disk) -> PathBuf {
        match disk {
            Disk::Plain => path.to_owned(),
            Disk::Small => {
                let root = PathBuf::from(format!("/proc/{}/root", self.process.id()));
                root.join(path.strip_prefix("/").unwrap_or(path))
            }
        }
    }
}

/// The command of a guard, not started.
pub fn guard_command(scratch: &Scratch, disk: Disk, unassessed: bool) -> Outcome<Command> {
    let program = std::env::current_exe().or_fail("drill", "this program does not find itself")?;
    let mut arguments: Vec<String> = ["--format", "json", "guard", "run", "--config"]
        .map(str::to_owned)
        .into_iter()
        .chain([scratch.policy_path().display().to_string()])
        .collect();
    if unassessed {
        arguments.push("--unassessed".to_owned());
    }
    if disk == Disk::Plain {
        let mut command = Command::new(program);
        command.args(arguments);
        return Ok(command);
    }
    // A mount of its own, gone with the process: the state is copied onto it first.
    let script = "mkdir -p \"$1.seed\" && cp -a \"$1/.\" \"$1.seed/\" && \
                  mount -t tmpfs -o size=\"$2\" tmpfs \"$1\" && cp -a \"$1.seed/.\" \"$1/\" && \
                  shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(namespace()).args(["sh", "-c", script, "sh"]);
    command.arg(scratch.state_dir()).arg(SMALL_DISK).arg(program).args(arguments);
    Ok(command)
}

/// Why no small disk can be had here; `None` when it can.
pub fn small_disk_missing() -> Option<String> {
    let tried = Command::new("unshare")
        .args(namespace())
        .args(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/tmp"])
        .stderr(Stdio::null())
        .status();
    match tried {
        Ok(status) if status.success() => None,
        Ok(_) => Some("no mount namespace may be made here (root or user namespaces)".to_owned()),
        Err(_) => Some("the program `unshare` is not here".to_owned()),
    }
}

fn namespace() -> Vec<&'static str> {
    // As root a mount namespace is enough; otherwise a user namespace gives the right to mount.
    let root = std::fs::metadata("/proc/self").is_ok_and(|facts| is_root(&facts));
    if root { vec!["--mount"] } else { vec!["--user", "--map-root-user", "--mount"] }
}

#[cfg(unix)]
fn is_root(facts: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(facts) == 0
}

#[cfg(not(unix))]
fn is_root(_: &std::fs::Metadata) -> bool {
    false
}

const POLL: Duration = Duration::from_millis(10);
const COMPLAINT_LINES: usize = 4;
/// A process that says why it does not start ends at once.
const COMPLAINT_WAIT: Duration = Duration::from_secs(2);
/// Room for the record of some minutes; small enough to be filled at once.
const SMALL_DISK: &str = "16m";
