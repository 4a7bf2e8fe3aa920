//! What a run leaves: one signed statement in the log, its files in the store, and the folder.
//!
//! Owns the order: store, log, folder, the document of the folder last, so that a folder with
//! `harden.json` is whole. Must never write over a file that `harden` did not write.

use std::path::Path;

use proofmark_assess::events;
use proofmark_assess::predicate::ArtefactRef;
use proofmark_assess::register::Register;
use proofmark_assess::treatment::{Arm, Effect, Measure, Order, TREATMENTS, TreatmentsPredicate};
use proofmark_evidence::durable::{self, OsFs};
use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::Measurement;
use serde_json::json;

use super::arms::{self, Bench, System};
use super::scene::{Built, Scene, Taken};
use super::{Args, MeasureName, bug, effects, limits, rows, trees, votes};
use crate::command::assess::tool;
use crate::failure::{Failure, OrFail, Outcome};
use crate::state::State;
use crate::{assets, clock};

/// What is sealed.
pub struct Parts<'p, 'a> {
    pub scene: &'p Scene<'a>,
    pub bench: &'p Bench,
    pub effects: Vec<Effect>,
    pub figures: Vec<Measurement>,
    pub rows: Option<rows::Made>,
    pub started: String,
}

/// What was sealed.
pub struct Sealed {
    pub said: TreatmentsPredicate,
    pub statement: String,
    pub entry: u64,
    pub out: std::path::PathBuf,
    pub document: serde_json::Value,
}

/// The folder is new, empty, or holds nothing but what `harden` writes.
pub fn may_write(out: &Path) -> Outcome<()> {
    let refuse =
        |what: String| Err(Failure::new("out", what, "name a new or empty folder with --out"));
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return refuse(format!("`{}` is a file", out.display()));
    }
    let listing = std::fs::read_dir(out).or_fail("out", "check its permissions")?;
    for item in listing {
        let name = item.or_fail("out", "check its permissions")?.file_name();
        let name = name.to_string_lossy();
        if !is_ours(&name) && !durable::is_unfinished(&name) {
            let text = format!("`{}` holds `{name}`, which `harden` did not write", out.display());
            return refuse(text);
        }
    }
    Ok(())
}

/// Signs, logs and writes.
pub fn seal(args: &Args, state: &State, parts: Parts<'_, '_>) -> Outcome<Sealed> {
    let scene = parts.scene;
    let store = state.store();
    let mut files: Vec<&Built> = scene.built.iter().collect();
    files.extend(parts.rows.iter().flat_map(|r| &r.files));
    let refs: Vec<(MeasureName, ArtefactRef)> =
        files.iter().map(|f| Ok((f.measure, put(&store, f)?))).collect::<Outcome<_>>()?;
    let said = TreatmentsPredicate {
        id: id(&parts),
        system: scene.project.system.name.clone(),
        version: scene.project.system.version.clone(),
        tool: tool(),
        started: parts.started.clone(),
        ended: clock::now(),
        assets: scene.digests(),
        measures: scene
            .taken
            .iter()
            .map(|t| measure(t, &refs, parts.rows.as_ref(), scene))
            .collect(),
        arms: parts.bench.arms.iter().map(|a| arm(a, &parts)).collect(),
        effects: parts.effects.clone(),
        notes: notes(scene, parts.bench),
        figures: parts.figures.clone(),
        artefacts: witnesses(&store, &parts)?,
        seed: scene.project.system.seed,
        limit: scene.limit.map(|rows| rows as u64),
    };
    let (mut log, key) = state.log_for_writing(state.keys()?)?;
    let now = clock::now;
    let mut register =
        Register { log: &mut log, store: &store, key: &key, now: &now, tool: tool() };
    let logged =
        events::record(&mut register, EntryKind::Treatment, TREATMENTS, &said, &said.assets)
            .or_fail("log", "run `proofmark log fsck`")?;
    drop(log);
    let statement = logged.stored.statement.hex();
    let listed: Vec<_> = files
        .iter()
        .map(|f| {
            json!({"name": f.name, "measure": f.measure.id(), "sha256": assets::sha256(&f.bytes),
                "personal": f.personal})
        })
        .collect();
    let document = json!({
        "format": "proofmark.harden/1",
        "complete": true,
        "out": args.out.display().to_string(),
        "statement": statement,
        "entry": logged.index,
        "threat": scene.threat.name,
        "eps": scene.table_eps(),
        "files": listed,
        "treatments": said,
    });
    write(&args.out, &files, scene, &document)?;
    Ok(Sealed { said, statement, entry: logged.index, out: args.out.clone(), document })
}

fn write(
    out: &Path,
    files: &[&Built],
    scene: &Scene<'_>,
    document: &serde_json::Value,
) -> Outcome<()> {
    let help = "the result is in the log; make room and run the command again";
    durable::create_dir_all(&OsFs, out).or_fail("out", help)?;
    for item in std::fs::read_dir(out).or_fail("out", help)? {
        let item = item.or_fail("out", help)?;
        if is_ours(&item.file_name().to_string_lossy()) {
            durable::remove(&OsFs, &item.path()).or_fail("out", help)?;
        }
    }
    let put = |name: &str, bytes: &[u8], personal: bool| {
        let path = out.join(name);
        let written = match personal {
            true => durable::write_private(&OsFs, &path, bytes),
            false => durable::write(&OsFs, &path, bytes),
        };
        written.or_fail("out", help)
    };
    for file in files {
        put(&file.name, &file.bytes, file.personal)?;
    }
    put(SETTINGS, settings(scene).as_bytes(), false)?;
    put(DECLARATION, declaration(scene).as_bytes(), false)?;
    let mut bytes = bug(serde_json::to_vec_pretty(document))?;
    bytes.push(b'\n');
    put(DOCUMENT, &bytes, false)
}

fn put(store: &Store, file: &Built) -> Outcome<ArtefactRef> {
    keep(store, &file.name, file.media_type, &file.bytes, file.personal)
}

fn keep(
    store: &Store,
    name: &str,
    media_type: &str,
    bytes: &[u8],
    personal: bool,
) -> Outcome<ArtefactRef> {
    let digest = store.put(bytes).or_fail("store", "make room, or mend the permissions")?;
    Ok(ArtefactRef {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        sha256: digest.hex(),
        personal,
    })
}

/// Witnesses of every system, once.
fn witnesses(store: &Store, parts: &Parts<'_, '_>) -> Outcome<Vec<ArtefactRef>> {
    let mut kept = Vec::new();
    for (at, (system, made)) in parts.bench.measured.iter().enumerate() {
        let dims = arms::subject(parts.scene, system.who).map_or(0, |s| s.dims());
        let bytes = arms::witnesses(&made.outcomes.records, dims)?;
        let name = format!("witnesses-{at}.npz");
        kept.push(keep(store, &name, "application/x-npz", &bytes, true)?);
    }
    Ok(kept)
}

/// Names the run by what it found.
fn id(parts: &Parts<'_, '_>) -> String {
    let values: Vec<String> = parts
        .effects
        .iter()
        .map(|e| format!("{} {} {} {} {}", e.measure, e.metric, e.with, e.gained, e.lost))
        .collect();
    let text = format!("{} {}", parts.started, values.join("\n"));
    format!("harden-{}", &assets::sha256(text.as_bytes())[..8])
}

fn measure(
    taken: &Taken,
    refs: &[(MeasureName, ArtefactRef)],
    rows: Option<&rows::Made>,
    scene: &Scene<'_>,
) -> Measure {
    let name = taken.name;
    let (title, order, cells): (&str, Order, &[&str]) = match name {
        MeasureName::AdversarialRows => {
            ("adversarial training rows", Order::Design, &["evasion/prevent"])
        }
        MeasureName::InputSchema => (
            "input schema from the training data",
            Order::Control,
            &["evasion/prevent", "evasion/control"],
        ),
        MeasureName::Vote => {
            ("vote of primary and backup", Order::Design, &["evasion/prevent", "evasion/control"])
        }
        MeasureName::Rounding => (
            "rounded release of scores",
            Order::Control,
            &["evasion/control", "confidentiality/prevent"],
        ),
        MeasureName::BackupTree => {
            ("smaller tree ensemble as backup", Order::Design, &["errors-and-faults/resolve"])
        }
    };
    let mut what = taken.what.clone();
    if let Some(rows) = rows.filter(|_| name == MeasureName::AdversarialRows) {
        what.push_str(&format!("; {}", rows.said));
    }
    Measure {
        id: name.id().to_owned(),
        title: title.to_owned(),
        order,
        cells: cells.iter().map(|c| (*c).to_owned()).collect(),
        artefacts: refs.iter().filter(|(m, _)| *m == name).map(|(_, r)| r.clone()).collect(),
        setting: match name {
            MeasureName::InputSchema => Some("limits.range".to_owned()),
            MeasureName::Vote => Some("release.vote".to_owned()),
            MeasureName::Rounding => Some(format!("release.decimals = {}", scene.decimals)),
            MeasureName::BackupTree => {
                Some("backup.model".to_owned()).filter(|_| scene.small.is_some())
            }
            MeasureName::AdversarialRows => None,
        },
        ships: match (&scene.retrained, name) {
            (Some(model), MeasureName::AdversarialRows) => {
                let digests = model.subject.digests().iter();
                digests.filter(|a| a.name.starts_with("model/")).cloned().collect()
            }
            _ => Vec::new(),
        },
        what,
        not_measured: taken.not_measured.clone(),
    }
}

fn arm(arm: &arms::Arm, parts: &Parts<'_, '_>) -> Arm {
    let slug = arm.name.replace(' ', "-");
    let measured = parts.bench.of(arm).map(|m| m.measurements.as_slice()).unwrap_or_default();
    Arm {
        name: arm.name.clone(),
        on: arm.on.iter().map(|m| m.id().to_owned()).collect(),
        what: arm.system.words(parts.scene),
        measurements: effects::renamed(&slug, measured),
    }
}

fn notes(scene: &Scene<'_>, bench: &Bench) -> Vec<String> {
    let mut notes = vec![
        format!(
            "measured on data.{}: a measure chosen by this table is chosen on these rows; \
             `proofmark assess` on rows not seen before is the proof",
            scene.data.name
        ),
        "intervals are of one comparison each; none is corrected for their number".to_owned(),
    ];
    if let Some(limit) = scene.limit {
        notes.push(format!("only the first {limit} rows: a trial, which counts nowhere"));
    }
    if bench.measured.keys().any(|s| s.schema) {
        notes.push(
            "a row that the input schema refuses counts as not decided rightly: the person waits"
                .to_owned(),
        );
    }
    let same: Vec<&str> = bench
        .arms
        .iter()
        .filter(|a| a.system == System::PLAIN && !a.on.is_empty())
        .map(|a| a.name.as_str())
        .collect();
    if !same.is_empty() {
        notes.push(format!(
            "{}: nothing that answers differs from `none`, so its figures are those of `none`",
            same.join(", ")
        ));
    }
    notes
}

/// The settings of the guard, to be put into its configuration.
fn settings(scene: &Scene<'_>) -> String {
    let taken = |name| scene.taken.iter().any(|t| t.name == name);
    let mut text = String::from(
        "# Settings for the guard (proofmark.guard/1) that turn the measures on.\n\
         # Copy what you take; `proofmark guard check` shows the policy in force.\n",
    );
    if taken(MeasureName::InputSchema) && scene.schema.is_some() {
        text.push_str(&format!("\n[limits]\nrange = \"{}\"\n", limits::FILE));
    }
    if scene.small.is_some() {
        text.push_str("\n# With the smaller backup declared (declaration.toml):\n");
        text.push_str(&format!("# [backup]\n# model = \"{}\"\n", small_name(scene)));
    }
    let vote = taken(MeasureName::Vote) && scene.backup.is_some();
    if vote || taken(MeasureName::Rounding) {
        text.push_str("\n[release]\n");
        if taken(MeasureName::Rounding) {
            text.push_str(&format!("decimals = {}\n", scene.decimals));
        }
        if vote {
            text.push_str("vote = true\n");
        }
    }
    text
}

/// Tables for `proofmark.toml`, so that `assess` measures the composed files as models.
fn declaration(scene: &Scene<'_>) -> String {
    let mut text = String::from(
        "# Tables for proofmark.toml: copy the files beside it, then `proofmark assess`.\n",
    );
    let built = |measure| scene.built.iter().any(|b| b.measure == measure);
    if let Some(to) = scene.wanted().filter(|_| built(MeasureName::Vote)) {
        text.push_str(&table(&votes::declared(scene, usize::from(to == 0))));
    }
    if let Some(small) = scene.small.as_ref().filter(|_| built(MeasureName::BackupTree)) {
        text.push_str(&table(&small.asset));
    }
    text
}

fn small_name<'s>(scene: &'s Scene<'_>) -> &'s str {
    scene.small.as_ref().map_or("", |s| s.asset.name.as_str())
}

fn table(asset: &proofmark_schema::system::ModelAsset) -> String {
    use proofmark_schema::system::{Decision, OutputKind};
    let kind = match asset.output.kind {
        OutputKind::Probability => "probability",
        OutputKind::Logit => "logit",
        OutputKind::Score => "score",
        OutputKind::Label => "label",
        OutputKind::Value => "value",
    };
    let name = asset.output.name.as_ref().map_or(String::new(), |n| format!("name = {n:?}, "));
    let classes: Vec<String> = asset.output.classes.iter().map(|c| format!("{c:?}")).collect();
    let classes = match classes.is_empty() {
        true => String::new(),
        false => format!(", classes = [{}]", classes.join(", ")),
    };
    let column = asset.output.column.map_or(String::new(), |c| format!(", column = {c}"));
    let decision = match &asset.decision {
        Decision::Argmax => "\ndecision = \"argmax\"".to_owned(),
        Decision::Cutoff { class, at } => {
            format!("\ndecision = {{ class = {class:?}, at = {at:?} }}")
        }
        Decision::Value => String::new(),
    };
    format!(
        "\n[models.{}]\npath = {:?}\nrole = \"candidate\"\n\
         output = {{ {name}kind = \"{kind}\"{classes}{column} }}{decision}\n",
        asset.name, asset.path
    )
}

/// Name of the document; written last.
pub const DOCUMENT: &str = "harden.json";
const SETTINGS: &str = "guard-settings.toml";
const DECLARATION: &str = "declaration.toml";
/// Whether `harden` writes files of that name.
fn is_ours(name: &str) -> bool {
    NAMES.contains(&name) || name.ends_with(trees::ENDING)
}

/// Every fixed name that `harden` writes.
const NAMES: [&str; 9] = [
    DOCUMENT,
    SETTINGS,
    DECLARATION,
    limits::FILE,
    votes::FILE,
    rows::TABLE,
    rows::IMAGES,
    rows::LABELS,
    rows::LIST,
];
