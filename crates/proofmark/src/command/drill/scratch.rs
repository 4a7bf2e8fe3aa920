//! A scratch copy of a system and its policy: what the drill breaks.
//!
//! Owns which files are copied and how the policy is turned for a drill. Must never touch the
//! folder of the system itself.

use std::fs;
use std::path::{Path, PathBuf};

use proofmark_evidence::durable::OsFs;
use proofmark_server::guard::KEYS_NAME;
use proofmark_server::keys::{KeyFile, NewKey, Scope};
use proofmark_server::policy::{Policy, Range, Source};

use crate::clock;
use crate::command::guard::setup::Setup;
use crate::failure::{Failure, OrFail, Outcome};
use crate::project::Project;
use crate::state::FOLDER;

/// The copy.
pub struct Scratch {
    _root: tempfile::TempDir,
    /// Its folder.
    pub dir: PathBuf,
    /// The policy of the system, as it stands.
    pub policy: Policy,
    /// SHA-256 of the policy file.
    pub policy_sha256: String,
    /// Name of the primary model's file in the copy.
    pub primary: PathBuf,
}

/// How the policy differs for an experiment.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Port of the model server in the place of the primary; none serves it in the guard.
    pub upstream: Option<u16>,
    /// Rows a second and key; none keeps those of the policy.
    pub rate: Option<u32>,
}

impl Scratch {
    /// Copies declaration, assets, evidence and keys of a system.
    pub fn of(setup: &Setup) -> Outcome<Self> {
        let root = tempfile::tempdir().or_fail("drill", "free space in the folder for scratch")?;
        let dir = root.path().join("system");
        let from = &setup.project;
        for path in files(from) {
            copy(&from.path(&path), &dir.join(&path))?;
        }
        let evidence = setup.state.dir();
        for folder in ["log", "artefacts", "keys"] {
            copy_tree(&evidence.join(folder), &dir.join(FOLDER).join(folder), 0)?;
        }
        let mut policy = setup.policy.clone();
        if let Range::Schema(path) = &policy.limits.range {
            copy(&setup.base.join(path), &dir.join(SCHEMA))?;
            policy.limits.range = Range::Schema(SCHEMA.to_owned());
        }
        let primary = from.system.model_named(&policy.primary.model).map(|m| dir.join(&m.path));
        let primary = primary.ok_or_else(|| {
            Failure::new("drill", "the policy names no declared model", "run `proofmark check`")
        })?;
        let policy_sha256 = setup.sha256.clone();
        Ok(Self { _root: root, dir, policy, policy_sha256, primary })
    }

    /// Folder of the guard's state.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join(FOLDER).join("guard")
    }

    /// The policy of the drill.
    pub fn policy_path(&self) -> PathBuf {
        self.dir.join("guard.toml")
    }

    /// Writes the policy of an experiment.
    pub fn write_policy(&self, turn: Turn) -> Outcome<()> {
        let text = policy_text(&self.policy, turn);
        fs::write(self.policy_path(), text).or_fail("drill", "free space for the scratch copy")
    }

    /// Makes keys that end after so many seconds each, in the place of all others.
    pub fn make_keys(&self, seconds: &[i64]) -> Outcome<Vec<NewKey>> {
        let path = self.state_dir().join(KEYS_NAME);
        let mut file = KeyFile::empty();
        let mut keys = Vec::new();
        for after in seconds {
            let expires = clock::in_seconds(*after);
            let expires = expires.ok_or_else(|| Failure::new("drill", "no such time", ""))?;
            let label = Some("drill".to_owned());
            let key = NewKey::generate(vec![Scope::Score], label, clock::now(), expires)
                .or_fail("drill", "")?;
            file.keys.push(key.record.clone());
            keys.push(key);
        }
        fs::create_dir_all(self.state_dir()).or_fail("drill", "free space")?;
        file.save(&OsFs, &path).or_fail("drill", "free space for the scratch copy")?;
        Ok(keys)
    }
}

// Declaration and every asset that it names and that stays below its folder.
fn files(project: &Project) -> Vec<String> {
    let system = &project.system;
    let mut all = vec!["proofmark.toml".to_owned()];
    for data in &system.data {
        all.push(data.path.clone());
        all.extend(data.labels.clone());
    }
    for model in &system.models {
        all.push(model.path.clone());
        all.extend(model.expected.clone());
    }
    all.sort();
    all.dedup();
    all
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).or_fail("drill", "free space for the scratch copy")?;
    }
    let words = |e| Failure::new("drill", format!("cannot copy `{}`: {e}", from.display()), "");
    fs::copy(from, to).map(|_| ()).map_err(words)
}

/// Copies a folder; one that is absent is an empty one.
pub fn copy_tree(from: &Path, to: &Path, depth: usize) -> Outcome<()> {
    let Ok(items) = fs::read_dir(from) else { return Ok(()) };
    if depth > DEPTH_MAX {
        return Err(Failure::new("drill", format!("`{}` is too deep", from.display()), ""));
    }
    fs::create_dir_all(to).or_fail("drill", "free space for the scratch copy")?;
    for item in items.flatten() {
        let (path, name) = (item.path(), item.file_name());
        if path.is_dir() {
            copy_tree(&path, &to.join(name), depth + 1)?;
        } else {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

/// The policy as text, every key said. Listeners are on loopback with ports of the system's
/// choice, without TLS: what is drilled is the falling back, not the listener.
fn policy_text(policy: &Policy, turn: Turn) -> String {
    let text = |s: &str| serde_json::Value::from(s).to_string();
    let source = |s: &Source, upstream: Option<u16>| match upstream {
        Some(port) => format!(
            "model = {}\nupstream = \"http://127.0.0.1:{port}\"\nupstream_protocol = \"json\"\n",
            text(&s.model)
        ),
        None => format!("model = {}\n", text(&s.model)),
    };
    let (l, b, r, k) = (&policy.limits, &policy.breaker, &policy.release, &policy.known_answers);
    let rate = turn.rate.unwrap_or(l.requests_per_second);
    let burst = turn.rate.map_or(l.burst, |rate| l.burst.max(rate));
    let range = match &l.range {
        Range::Declared => text("declared"),
        Range::Schema(path) => text(path),
    };
    let backup = policy.backup.as_ref();
    let backup = backup.map(|s| format!("[backup]\n{}", source(s, None))).unwrap_or_default();
    format!(
        "format = \"proofmark.guard/1\"\nsystem = \".\"\n\
         [listen]\naddress = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         [primary]\n{}{backup}\
         [protocol]\noip = false\njson = \"/score\"\n\
         [limits]\nbody_bytes = {}\njson_depth = {}\nrows = {}\nheader_ms = {}\nbody_ms = {}\n\
         deadline_ms = {}\nrequests_per_second = {rate}\nburst = {burst}\nconnections = {}\n\
         range = {range}\nmissing = {}\n\
         [breaker]\nfailures = {}\nopen_ms = {}\nprobes = {}\n\
         [safe]\ndecision = {}\nmessage = {}\n\
         [release]\ndecimals = {}\nclip = {:?}\nscores = {}\nvote = {}\n\
         [known_answers]\nevery_ms = {}\nrows = {}\ntolerance = {:?}\n",
        source(&policy.primary, turn.upstream),
        l.body_bytes,
        l.json_depth,
        l.rows,
        l.header_ms,
        l.body_ms,
        l.deadline_ms,
        l.connections,
        l.missing,
        b.failures,
        b.open_ms,
        b.probes,
        text(&policy.safe.decision),
        text(&policy.safe.message),
        r.decimals,
        r.clip,
        r.scores,
        r.vote,
        known_every(policy),
        k.rows,
        k.tolerance,
    )
}

/// How often known answers are asked in a drill: as the policy says, but often enough that the
/// drill ends; the hypothesis says both.
pub fn known_every(policy: &Policy) -> u64 {
    policy.known_answers.every_ms.min(KNOWN_EVERY_MS_MAX)
}

const SCHEMA: &str = "input-schema.json";
/// The store nests three levels.
const DEPTH_MAX: usize = 8;
/// A drill waits for two checks; at the policy's half minute it would take minutes.
const KNOWN_EVERY_MS_MAX: u64 = 1_000;
