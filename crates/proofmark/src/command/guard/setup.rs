//! From the policy to everything a guard is made of: declaration, models, assessed digests, keys.
//!
//! Owns reading these files and the rule that the served digest is the assessed one. Must never
//! serve, sign or print.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proofmark_dataset::table::{Cells, Column};
use proofmark_evidence::durable::{self, OsFs};
use proofmark_evidence::keys::{LogKey, StatementPublicKey};
use proofmark_schema::incident::{HOLD_FILE, HOLD_FORMAT, Hold};
use proofmark_schema::input_schema::{FORMAT as INPUT_SCHEMA, InputSchema};
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::FeatureKind;
use proofmark_server::guard::{LOG_KEY_NAME, Parts, ServedFile};
use proofmark_server::intake::Intake;
use proofmark_server::policy::effective::Circumstances;
use proofmark_server::policy::{Policy, Range, Source, parse};
use proofmark_server::recorder::Clock;
use proofmark_server::scorer::Rows as GuardRows;

use crate::command::dossier::{LATEST, assessment};
use crate::failure::{Failure, OrFail, Outcome};
use crate::loader::{self, Rows};
use crate::project::{Project, Refused, refused};
use crate::state::State;
use crate::{assets, clock, hints};

/// A policy with what it names.
pub struct Setup {
    /// The policy.
    pub policy: Policy,
    /// Its file.
    pub path: PathBuf,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Folder that its files are relative to.
    pub base: PathBuf,
    /// The declared system.
    pub project: Project,
    /// The evidence of the system.
    pub state: State,
}

/// What the last run assessed.
pub struct Assessed {
    /// Digests of the plan; `None`: no run has ended.
    pub assets: Option<Vec<AssetDigest>>,
    /// Whether the run was complete.
    pub complete: bool,
}

impl Setup {
    /// Reads the policy and the declaration it names.
    pub fn load(path: &Path) -> Outcome<Self> {
        if !path.is_file() {
            return Err(Failure::new(
                "no-policy",
                format!("there is no `{}`", path.display()),
                "write one (docs/guard.md shows it), or name it with --config",
            ));
        }
        let bytes = assets::read_limited(path, POLICY_BYTES_MAX)?;
        let sha256 = assets::sha256(&bytes);
        let text = String::from_utf8(bytes).or_fail("policy", "save the policy as UTF-8")?;
        let fail = |problems: Vec<_>| refused(path, &text, &problems, &REFUSED);
        let policy = parse(&text, None).map_err(fail)?;
        let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let project = Project::load(&base.join(&policy.system))?;
        project.decides("guard")?;
        let policy = parse(&text, Some(&project.system)).map_err(fail)?;
        let state = State::of(&project);
        Ok(Self { policy, path: path.to_path_buf(), sha256, base, project, state })
    }

    /// Folder of the guard's state.
    pub fn dir(&self) -> PathBuf {
        self.state.dir().join(FOLDER)
    }

    /// Origin of the guard's log.
    pub fn origin(&self) -> String {
        let system = &self.project.system;
        let demo = if system.demo { "DEMO/" } else { "" };
        format!("proofmark/{demo}{}/guard", system.name)
    }

    /// Digests of the last run that ended.
    pub fn assessed(&self) -> Outcome<Assessed> {
        let Ok(log) = self.state.log() else {
            return Ok(Assessed { assets: None, complete: false });
        };
        match assessment(&log, &self.state.store(), LATEST) {
            Ok(run) => Ok(Assessed { assets: Some(run.plan.assets), complete: run.complete }),
            Err(failure) if failure.code == "no-run" => {
                Ok(Assessed { assets: None, complete: false })
            }
            Err(failure) => Err(failure),
        }
    }

    /// The models that the policy names. `primary` is a file in the place of the primary's own.
    pub fn models(
        &self,
        assessed: &Assessed,
        primary: Option<&Path>,
    ) -> Outcome<Vec<(ServedFile, bool)>> {
        let mut files: Vec<(ServedFile, bool)> = Vec::new();
        for (at, source) in self.policy.sources().enumerate() {
            if files.iter().any(|(f, _)| f.asset.name == source.model) {
                continue;
            }
            files.push(self.model(source, assessed, primary.filter(|_| at == 0))?);
        }
        Ok(files)
    }

    fn model(
        &self,
        source: &Source,
        assessed: &Assessed,
        file: Option<&Path>,
    ) -> Outcome<(ServedFile, bool)> {
        let asset = self.project.system.model_named(&source.model);
        let asset = asset.ok_or_else(|| {
            let words = format!("models.{} is not declared", source.model);
            Failure::new("unknown-asset", words, "run `proofmark check`")
        })?;
        let loaded = match file {
            None => loader::model(&self.project, asset)?.model,
            Some(path) => assets::open_model_with(path, &hints::declared(asset))?,
        };
        let digest = loaded.digest();
        let name = format!("model/{}", asset.name);
        let fits = |a: &AssetDigest| a.name == name && a.sha256 == digest;
        let known = assessed.assets.as_ref().is_some_and(|all| all.iter().any(fits));
        let served =
            ServedFile { asset: asset.clone(), model: loaded, assessed: known.then_some(digest) };
        Ok((served, known))
    }

    /// The input schema that the policy names.
    pub fn input_schema(&self) -> Outcome<Option<InputSchema>> {
        let Range::Schema(path) = &self.policy.limits.range else { return Ok(None) };
        let path = self.base.join(path);
        let bytes = assets::read_limited(&path, SCHEMA_BYTES_MAX)?;
        let schema: InputSchema = serde_json::from_slice(&bytes).or_fail(
            "input-schema",
            "name the input schema that `proofmark harden` wrote, or `declared`",
        )?;
        let system = &self.project.system;
        if schema.format != INPUT_SCHEMA || schema.system != system.name {
            let words = format!("`{}` is no input schema of `{}`", path.display(), system.name);
            return Err(Failure::new("input-schema", words, "run `proofmark harden` again"));
        }
        Ok(Some(schema))
    }

    /// Rows of the test set without gaps, in batches, for known answers.
    pub fn known_rows(&self) -> Outcome<Vec<GuardRows>> {
        let size = self.policy.known_answers.rows;
        if size == 0 || self.policy.sources().all(|s| s.upstream.is_none()) {
            return Ok(Vec::new());
        }
        let Some(asset) = self.project.system.test_data() else { return Ok(Vec::new()) };
        let data = loader::data(&self.project, asset)?;
        let batch = |rows: &[usize]| match &data.rows {
            Rows::Table(table) => {
                let columns = table.columns.iter().map(|c| pick(c, rows)).collect();
                GuardRows::table(rows.len(), columns)
            }
            Rows::Images(images) => {
                let each = rows.iter().flat_map(|row| images.image(*row).iter().copied());
                GuardRows::images(rows.len(), images.shape, each.collect())
            }
            Rows::Series(_) => None,
        };
        let whole = |row: &usize| match &data.rows {
            Rows::Table(table) => table.columns.iter().all(|c| has(c, *row)),
            Rows::Images(_) | Rows::Series(_) => true,
        };
        let usable: Vec<usize> = (0..data.n()).filter(whole).take(KNOWN_ROWS_MAX).collect();
        Ok(usable.chunks(size).filter_map(batch).collect())
    }

    /// Key of the guard's log, made at first use. It lies there in clear, mode 0600: the guard
    /// starts without a person.
    pub fn log_key(&self) -> Outcome<LogKey> {
        let path = self.dir().join(LOG_KEY_NAME);
        durable::create_dir_all(&OsFs, &self.dir()).or_fail("guard-state", PERMISSIONS)?;
        if !path.exists() {
            let key = LogKey::generate().or_fail("guard-key", "")?;
            key.save_unattended(&OsFs, &path).or_fail("guard-key", PERMISSIONS)?;
        }
        LogKey::load_unattended(&path).or_fail("guard-key", "restore the key of the guard's log")
    }

    /// Who may restart: the public half of the provider's statement key, kept beside the guard so
    /// that it starts without a passphrase from its second start on.
    pub fn authority(&self) -> Outcome<StatementPublicKey> {
        let path = self.dir().join(AUTHORITY);
        if let Ok(pem) = std::fs::read_to_string(&path) {
            let help = "remove the file; the next start writes it from the provider's key";
            return StatementPublicKey::from_pem(&pem).or_fail("guard-authority", help);
        }
        let public = self.state.keys()?.statement.public();
        let pem = public.to_pem().or_fail("guard-authority", "")?;
        durable::create_dir_all(&OsFs, &self.dir())
            .and_then(|()| durable::write(&OsFs, &path, pem.as_bytes()))
            .or_fail("guard-authority", PERMISSIONS)?;
        Ok(public)
    }

    /// The hold of an incident, when there is one.
    pub fn hold(&self) -> Outcome<Option<Hold>> {
        let path = self.state.dir().join(HOLD_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = assets::read_limited(&path, SCHEMA_BYTES_MAX)?;
        let help = "an incident may be under investigation: restore the file, or see \
                    `proofmark incident list`";
        let hold: Hold = serde_json::from_slice(&bytes).or_fail("hold", help)?;
        if hold.format != HOLD_FORMAT {
            return Err(Failure::new("hold", format!("`{}` is no hold", path.display()), help));
        }
        Ok(Some(hold))
    }

    /// What is known beside the policy.
    pub fn circumstances(
        &self,
        models: &[(ServedFile, bool)],
        assessed: &Assessed,
        known: &[GuardRows],
    ) -> Circumstances {
        let unassessed = models.iter().filter(|(_, known)| !known);
        let groups = self.project.system.features.iter().filter(|f| f.group);
        Circumstances {
            unassessed: unassessed.map(|(f, _)| f.asset.name.clone()).collect(),
            complete: assessed.complete,
            known_rows: !known.is_empty(),
            now: clock::now(),
            in_a_year: clock::in_days(DAYS_OF_A_YEAR).unwrap_or_default(),
            groups: groups.map(|f| f.name.clone()).collect(),
        }
    }

    /// The parts of a guard.
    pub fn parts(
        self,
        models: Vec<ServedFile>,
        known: Vec<GuardRows>,
        weak_points: Vec<String>,
    ) -> Outcome<Parts> {
        let (schema, authority) = (self.input_schema()?, self.authority()?);
        let now: Clock = Arc::new(clock::precise);
        Ok(Parts {
            log_key: self.log_key()?,
            dir: self.dir(),
            origin: self.origin(),
            policy: self.policy,
            policy_sha256: self.sha256,
            base: self.base,
            system: self.project.system,
            models,
            schema,
            known,
            authority: Some(authority),
            clock: now,
            program: format!("proofmark {}", env!("CARGO_PKG_VERSION")),
            weak_points,
        })
    }

    /// The form of requests, as the guard will hold it.
    pub fn intake(&self, models: &[(ServedFile, bool)]) -> Outcome<Intake> {
        let mut intake = proofmark_server::guard::intake(
            &self.project.system,
            &self.policy,
            models.iter().map(|(file, _)| file),
        );
        if let Some(schema) = self.input_schema()? {
            intake.narrow(&schema);
        }
        Ok(intake)
    }
}

fn pick(column: &Column, rows: &[usize]) -> Column {
    let cells = match &column.cells {
        Cells::Numbers(v) => {
            Cells::Numbers(rows.iter().filter_map(|r| v.get(*r).copied()).collect())
        }
        Cells::Texts(v) => Cells::Texts(rows.iter().filter_map(|r| v.get(*r).cloned()).collect()),
    };
    Column { name: column.name.clone(), kind: column.kind, cells }
}

fn has(column: &Column, row: usize) -> bool {
    match &column.cells {
        Cells::Numbers(v) => v.get(row).is_some_and(|v| v.is_finite()),
        Cells::Texts(v) => {
            column.kind == FeatureKind::Text || v.get(row).is_some_and(Option::is_some)
        }
    }
}

const REFUSED: Refused = Refused {
    code: "policy-refused",
    outcome: "nothing is served",
    help: "mend what is marked above and run `proofmark guard check` again",
};
/// Folder of the guard's state in `.proofmark`.
pub const FOLDER: &str = "guard";
/// Public key of whoever may restart.
const AUTHORITY: &str = "authority.pem";
const PERMISSIONS: &str = "check the permissions of `.proofmark/guard`";
/// A policy is written by hand.
const POLICY_BYTES_MAX: u64 = 256 << 10;
/// Ten thousand features with their values fit.
const SCHEMA_BYTES_MAX: u64 = 16 << 20;
/// Rows that known answers are taken from.
const KNOWN_ROWS_MAX: usize = 64;
const DAYS_OF_A_YEAR: u32 = 366;
