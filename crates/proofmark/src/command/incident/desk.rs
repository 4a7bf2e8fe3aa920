//! What the verbs start from: project, log, cases; and what every deed ends with: the hold.
//!
//! Owns reading and freezing files, and the order "deed into the log, then hold into the file".

use std::path::{Path, PathBuf};

use proofmark_assess::guard_events::volumes;
use proofmark_assess::incident::{Actor, Deed, Freeze, Incident, hold, incidents, named, record};
use proofmark_assess::predicate::ArtefactRef;
use proofmark_assess::register::Register;
use proofmark_evidence::durable::{OsFs, read_bounded};
use proofmark_evidence::log::CHECKPOINT_NAME;
use proofmark_evidence::store::Store;
use proofmark_schema::incident::{Frozen, FrozenFile};
use proofmark_schema::measurement::AssetDigest;

use super::{By, Place};
use crate::command::assess::tool;
use crate::command::risk::desk::digests;
use crate::failure::{Failure, OrFail, Outcome};
use crate::project::{FILE, Project};
use crate::state::State;
use crate::{assets, clock};

/// A system with its cases.
pub struct Desk {
    /// The project.
    pub project: Project,
    /// Where its evidence lies.
    pub state: State,
}

impl Desk {
    /// Reads the declaration.
    pub fn open(place: &Place) -> Outcome<Self> {
        let project = Project::load(&place.dir)?;
        let state = State::of(&project);
        Ok(Self { project, state })
    }

    /// Every case; none where there is no log yet.
    pub fn incidents(&self) -> Outcome<Vec<Incident>> {
        if !self.state.has_log() {
            return Ok(Vec::new());
        }
        incidents(&self.state.log()?, &self.state.store())
            .or_fail("incident", "run `proofmark log fsck`")
    }

    /// The case of that id.
    pub fn incident(&self, id: &str) -> Outcome<Incident> {
        let all = self.incidents()?;
        named(&all, id).cloned().or_fail("incident", "`proofmark incident list` shows all cases")
    }

    /// The person who speaks.
    pub fn actor(&self, by: &By) -> Actor {
        let people = &self.project.system.people;
        match people.iter().find(|p| p.id == by.by) {
            Some(p) => {
                Actor { person: Some(p.id.clone()), name: p.name.clone(), role: p.role.clone() }
            }
            None => Actor { person: None, name: by.by.clone(), role: String::new() },
        }
    }

    /// Records a deed and writes the file of the hold anew.
    pub fn act(
        &self,
        id: &str,
        by: &By,
        make: impl FnOnce(&Store, &str) -> Outcome<(Deed, Vec<AssetDigest>)>,
    ) -> Outcome<Incident> {
        let (mut log, key) = self.state.log_for_writing(self.state.keys()?)?;
        let store = self.state.store();
        let (deed, mut subjects) = make(&store, log.checkpoint_text())?;
        subjects.push(self.project.digest());
        let now = clock::now;
        let mut register =
            Register { log: &mut log, store: &store, key: &key, now: &now, tool: tool() };
        let actor = self.actor(by);
        let system = &self.project.system;
        let incident = record(&mut register, system, id, &actor, deed, &subjects)
            .or_fail("incident", "nothing was recorded")?;
        let all = incidents(&log, &store).or_fail("incident", "run `proofmark log fsck`")?;
        self.save_hold(&all)?;
        Ok(incident)
    }

    /// Writes the file that the guard reads, from the log.
    pub fn save_hold(&self, all: &[Incident]) -> Outcome<()> {
        let current = hold::current(all, &self.project.system.name);
        hold::save(&OsFs, self.state.dir(), current.as_ref()).or_fail(
            "hold",
            "the deed is in the log; free some space, then `proofmark incident hold` writes the \
             file anew",
        )
    }

    /// Digests and copies of what is under investigation.
    pub fn freeze(&self, store: &Store, checkpoint: &str, guard: Option<&Path>) -> Outcome<Freeze> {
        let mut copies = Vec::new();
        let mut copy = |name: String, path: &Path, media_type: &str| -> Outcome<String> {
            let sha256 = store.put_file(path).or_fail("freeze", "check the free space")?.hex();
            let (media_type, personal) = (media_type.to_owned(), false);
            copies.push(ArtefactRef { name, media_type, sha256: sha256.clone(), personal });
            Ok(sha256)
        };
        let mut models = Vec::new();
        for digest in digests(&self.project)? {
            let Some(name) = digest.name.strip_prefix("model/") else { continue };
            let model = self.project.system.models.iter().find(|m| m.name == name);
            if let Some(model) = model {
                let path = self.project.path(&model.path);
                copy(digest.name.clone(), &path, "application/octet-stream")?;
            }
            models.push(FrozenFile { name: name.to_owned(), sha256: digest.sha256 });
        }
        let declaration = copy("declaration".into(), &self.project.path(FILE), "application/toml")?;
        let guard_policy = match self.policy(guard)? {
            Some(path) => Some(copy("guard-policy".into(), &path, "application/toml")?),
            None => None,
        };
        let frozen = Frozen {
            models,
            declaration,
            guard_policy,
            guard_checkpoint: self.guard_checkpoint()?,
            log_checkpoint: checkpoint.to_owned(),
        };
        Ok(Freeze { frozen, copies })
    }

    /// The guard's policy: the named file, or the one beside the declaration.
    fn policy(&self, named: Option<&Path>) -> Outcome<Option<PathBuf>> {
        match named {
            Some(path) if !path.is_file() => Err(Failure::new(
                "unreadable",
                format!("there is no `{}`", path.display()),
                "name the policy the guard runs with",
            )),
            Some(path) => Ok(Some(path.to_path_buf())),
            None => Ok(Some(self.project.path(POLICY)).filter(|p| p.is_file())),
        }
    }

    fn guard_checkpoint(&self) -> Outcome<Option<String>> {
        let Some(volume) = volumes(&self.state.dir().join("guard")).pop() else { return Ok(None) };
        let bytes = read_bounded(&volume.join(CHECKPOINT_NAME), CHECKPOINT_BYTES_MAX)
            .or_fail("guard-log", "check the permissions of `.proofmark/guard`")?;
        String::from_utf8(bytes).map(Some).or_fail("guard-log", "the guard's log is damaged")
    }
}

/// Keeps a file that came with a deed, e.g. a receipt. It can name people.
pub fn keep(store: &Store, path: &Path, media_type: &str) -> Outcome<ArtefactRef> {
    let bytes = assets::read_limited(path, ATTACHMENT_BYTES_MAX)?;
    let sha256 = store.put(&bytes).or_fail("store", "check the free space")?.hex();
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS).collect();
    Ok(ArtefactRef { name, media_type: media_type.to_owned(), sha256, personal: true })
}

/// Name of the guard's policy beside the declaration.
const POLICY: &str = "guard.toml";
/// A checkpoint has a few lines.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
/// A receipt is a page or some; more is another file.
const ATTACHMENT_BYTES_MAX: u64 = 64 << 20;
/// Names are shown in one line.
const NAME_CHARS: usize = 120;
