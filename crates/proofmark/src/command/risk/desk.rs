//! What the verbs on risks, the gate and what is due start from: project, log, world, overview.
//!
//! Owns the reading of all that is there now: files, the system's log, the guard's log, incidents.
//! Must never write. Called by `risk`, `gate`, `due` and whoever prints the matrix of today.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proofmark_assess::guard_events::read_guard;
use proofmark_assess::incident::incidents;
use proofmark_assess::matrix::{Matrix, live::live};
use proofmark_assess::risk::day;
use proofmark_assess::standing::{Overview, Present, World, overview};
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::AssetDigest;
use proofmark_server::policy::{Range, parse};
use serde_json::Value;

use crate::failure::{Failure, OrFail, Outcome};
use crate::project::Project;
use crate::state::State;
use crate::{assets, clock, hints};

/// Which system, and when.
#[derive(clap::Args, Clone, Debug)]
pub struct Place {
    /// Folder of the declaration.
    #[arg(short = 'C', default_value = ".")]
    pub dir: PathBuf,
}

/// Which system, and as of when.
#[derive(clap::Args, Clone, Debug)]
pub struct PlaceAndTime {
    #[command(flatten)]
    pub place: Place,
    /// As of this time instead of now, e.g. `2027-06-30T12:00:00Z`: for planning; the output says
    /// so, and nothing can be signed.
    #[arg(long, value_name = "TIME")]
    pub now: Option<String>,
}

/// All that is there now.
pub struct Desk {
    /// The project.
    pub project: Project,
    /// Where its evidence lies.
    pub state: State,
    /// The log, folded.
    pub world: World,
    /// Digests of the files as they are now.
    pub assets: Vec<AssetDigest>,
    /// The time it is about.
    pub now: String,
    /// Whether that time was given instead of read from the clock.
    pub overridden: bool,
}

impl Desk {
    /// Reads everything; an empty register where there is no evidence yet.
    pub fn open(place: &PlaceAndTime) -> Outcome<Self> {
        let project = Project::load(&place.place.dir)?;
        let state = State::of(&project);
        let world = match state.has_log() {
            true => world(&project, &state, &state.log()?, &state.store())?,
            false => World::default(),
        };
        let (now, overridden) = match &place.now {
            Some(text) => (time(text)?, true),
            None => (clock::now(), false),
        };
        let assets = digests(&project)?;
        Ok(Self { project, state, world, assets, now, overridden })
    }

    /// What is there now, as the library takes it.
    pub fn present(&self) -> Present<'_> {
        Present { system: &self.project.system, assets: &self.assets, now: &self.now }
    }

    /// Where the system stands.
    pub fn overview(&self) -> Overview {
        overview(&self.world, &self.present())
    }

    /// The matrix of today.
    pub fn matrix(&self, overview: &Overview) -> Matrix {
        live(&self.world, &self.present(), overview)
    }

    /// One line on a time that was given instead of read.
    pub fn as_of(&self) -> String {
        if self.overridden { format!("as of {} (--now)\n", self.now) } else { String::new() }
    }
}

/// The log and all that lies beside it, folded.
pub fn world(project: &Project, state: &State, log: &Log, store: &Store) -> Outcome<World> {
    let mut world = World::read(log, store).or_fail("log", "run `proofmark log fsck`")?;
    let policy = policy(project)?;
    world.policies.extend(policy.iter().map(|(sha256, _)| sha256.clone()));
    let guard = read_guard(&state.dir().join("guard"))
        .or_fail("guard-log", "the guard's log in `.proofmark/guard` is damaged; keep a copy")?;
    if let Some(fold) = guard {
        let (sha256, settings) = policy.unzip();
        world.with_guard(&fold, sha256.as_deref(), settings.unwrap_or_default());
    }
    let incidents = incidents(log, store).or_fail("log", "run `proofmark log fsck`")?;
    world.with_incidents(&incidents);
    Ok(world)
}

/// Digest and settings of the guard's policy beside the declaration. A policy that does not read
/// sets nothing: `guard check` says what is wrong with it.
fn policy(project: &Project) -> Outcome<Option<(String, BTreeMap<String, String>)>> {
    let path = project.path(POLICY);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = assets::read_limited(&path, POLICY_BYTES_MAX)?;
    let sha256 = assets::sha256(&bytes);
    let text = String::from_utf8_lossy(&bytes);
    let mut settings = BTreeMap::new();
    if let Ok(policy) = parse(&text, Some(&project.system)) {
        flatten("", &serde_json::to_value(&policy).unwrap_or_default(), &mut settings);
        if let Range::Schema(file) = &policy.limits.range
            && let Ok(bytes) = assets::read_limited(&project.path(file), POLICY_BYTES_MAX)
        {
            settings.insert("limits.range".to_owned(), assets::sha256(&bytes));
        }
    }
    Ok(Some((sha256, settings)))
}

/// Settings by dotted name, with their value as text.
fn flatten(name: &str, value: &Value, settings: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let dotted = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&dotted, value, settings);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            settings.insert(name.to_owned(), text.clone());
        }
        other => {
            settings.insert(name.to_owned(), other.to_string());
        }
    }
}

/// Digests of the declaration and of every file it names, as a plan names them. Nothing is typed
/// or bound: what does not load is found by `check`.
pub fn digests(project: &Project) -> Outcome<Vec<AssetDigest>> {
    let mut list = vec![project.digest()];
    let mut add = |name: String, sha256: String| list.push(AssetDigest { name, sha256 });
    let bytes = |path: &str| assets::read_data(&project.path(path));
    for data in &project.system.data {
        let sha256 = match data.is_folder() {
            true => crate::folder::digest(project, data)?,
            false => assets::sha256(&bytes(&data.path)?),
        };
        add(format!("data/{}", data.name), sha256);
        if let Some(labels) = &data.labels {
            add(format!("data/{}/labels", data.name), assets::sha256(&bytes(labels)?));
        }
    }
    for model in &project.system.models {
        let file = assets::open_model_with(&project.path(&model.path), &hints::declared(model))?;
        add(format!("model/{}", model.name), file.digest());
        if let Some(expected) = &model.expected {
            add(format!("expected/{}", model.name), assets::sha256(&bytes(expected)?));
        }
    }
    list.sort();
    Ok(list)
}

/// A time as it is written on the command line: an instant, or a day, which lasts to its end.
pub fn time(text: &str) -> Outcome<String> {
    day::until(text).ok_or_else(|| {
        Failure::new(
            "time",
            format!("`{text}` is not a time in UTC"),
            "write a day such as `2027-06-30`, or `2027-06-30T12:00:00Z`",
        )
    })
}

/// Name of the guard's policy beside the declaration.
const POLICY: &str = "guard.toml";
/// A policy or an input schema is a page or some.
const POLICY_BYTES_MAX: u64 = 16 << 20;
